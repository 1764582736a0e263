"""Opens a data set by its name or path."""

from __future__ import annotations

import hashlib
import os
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from cnnspec.data.collect import open_given
from cnnspec.data.folder import open_folder
from cnnspec.data.given import IN_PYTHON, Given
from cnnspec.data.labels import check_labels
from cnnspec.data.npz import read_npz
from cnnspec.data.sets import DataSet, Images, OpenOptions, check_classifier, check_fit, named_as, stratified
from cnnspec.errors import CnnspecError, UsageError, needs_extra
from cnnspec.files import expand_user
from cnnspec.graph import Graph
from cnnspec.hints import did_you_mean
from cnnspec.images import SUFFIXES, prepare
from cnnspec.ops import Shape

__all__ = ["NAMES", "OpenOptions", "open_data"]


# name: (torchvision's class, its arguments for the training and the test images, channels, classes)
_TORCHVISION: Final[dict[str, tuple[str, dict[str, Any], dict[str, Any], int, int]]] = {
    "mnist": ("MNIST", {"train": True}, {"train": False}, 1, 10),
    "fashion-mnist": ("FashionMNIST", {"train": True}, {"train": False}, 1, 10),
    "kmnist": ("KMNIST", {"train": True}, {"train": False}, 1, 10),
    "emnist": ("EMNIST", {"split": "balanced", "train": True}, {"split": "balanced", "train": False}, 1, 47),
    "cifar10": ("CIFAR10", {"train": True}, {"train": False}, 3, 10),
    "cifar100": ("CIFAR100", {"train": True}, {"train": False}, 3, 100),
    "svhn": ("SVHN", {"split": "train"}, {"split": "test"}, 3, 10),
    "stl10": ("STL10", {"split": "train"}, {"split": "test"}, 3, 10),
}
NAMES: Final = ("digits", *_TORCHVISION, "fake")
_DIGITS: Final = tuple("0123456789")
_TEST_FRACTION: Final = 0.2  # of digits, npz files and folders without test images of their own
_SPLIT_SEED: Final = 0  # the test images are the same whatever the seed of the run


def open_data(name: str | Given, graph: Graph, options: OpenOptions) -> DataSet:
    """The data set `name` for this network: one of NAMES, a folder of images, a `.npz` file, or samples from Python.

    With `options.classes`, its classes are those, found by their names. Raises UsageError where it does not exist or
    does not fit the network, and CnnspecError where it is damaged.
    """
    check_classifier(graph)
    data = _open(name, graph, options)
    return named_as(data, options.classes) if options.classes else data


def _open(name: str | Given, graph: Graph, options: OpenOptions) -> DataSet:
    if isinstance(name, Given):
        return open_given(name, graph, options)
    path = expand_user(name)
    if name == IN_PYTHON and not path.exists():
        raise UsageError(
            "these data were handed over in Python, and are nowhere else",
            hint="there: `cnnspec.resume(run, data=…)`, `cnnspec.evaluate(run, data=…)`; or `--data` with a folder",
        )
    if name == "digits":
        return _digits(graph, options)
    if name == "fake":
        return _fake(graph, options)
    if name in _TORCHVISION:
        return _torchvision(name, graph, options)
    if path.suffix == ".npz":
        return _npz(path, graph, options)
    if path.is_dir():
        return open_folder(path, graph, options)
    if path.exists():
        kind = "an image, not a folder of images" if path.suffix.lower() in SUFFIXES else "no folder and no .npz file"
        raise UsageError(f"--data: {name} is {kind}")
    hint = did_you_mean(name, NAMES) or f"there are: {', '.join(NAMES)}; or a folder of images, or a .npz file"
    raise UsageError(f"--data: there is no data set and no folder `{name}`", hint=hint)


def _digits(graph: Graph, options: OpenOptions) -> DataSet:
    """The 1,797 handwritten digits of 8x8 pixels that come with scikit-learn (Alpaydin and Kaynak 1998)."""
    check_fit(graph, "digits", (1,), 10, options.classes)
    with needs_extra("train"):
        from sklearn.datasets import load_digits
    digits = load_digits()
    pixels = torch.from_numpy((digits.images * (255 / 16)).round().astype(np.uint8)).unsqueeze(1)
    labels = torch.from_numpy(digits.target.astype(np.int64))
    kept, held = stratified(labels, _TEST_FRACTION, _SPLIT_SEED)
    images = fit_size(pixels, graph.input_shape)
    return in_memory("digits", _DIGITS, Images(images[kept], labels[kept]), Images(images[held], labels[held]), options)


def _torchvision(name: str, graph: Graph, options: OpenOptions) -> DataSet:
    kind, for_training, for_testing, channels, classes = _TORCHVISION[name]
    check_fit(graph, name, (channels,), classes, options.classes)
    from torchvision import datasets

    parts = []
    labels_of: tuple[str, ...] = ()
    for arguments in (for_training, for_testing):
        dataset = _read(getattr(datasets, kind), options.folder, name, arguments)
        parts.append(_as_images(dataset, name, classes, graph.input_shape))
        listed = getattr(dataset, "classes", None)
        if name not in ("mnist", "svhn") and listed is not None and len(listed) == classes:
            labels_of = tuple(str(label) for label in listed)
    return in_memory(name, labels_of or tuple(str(i) for i in range(classes)), parts[0], parts[1], options)


def _read(kind: Any, folder: Path, name: str, arguments: dict[str, Any]) -> Any:
    """torchvision's data set, downloaded where it is not there. Raises CnnspecError where that fails."""
    hint = "name a folder that holds the files with `--data-dir`, or delete what is damaged there and try again"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        try:
            return kind(str(folder), download=False, **arguments)
        except RuntimeError:  # torchvision says so both where files are missing and where one is damaged
            return kind(str(folder), download=True, **arguments)
    except (OSError, RuntimeError, ValueError, AssertionError, KeyError, EOFError, zlib.error) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise CnnspecError(f"{name} cannot be read from {folder}: {reason:.300}", hint=hint) from error


def _as_images(dataset: Any, name: str, classes: int, shape: Shape) -> Images:
    pixels = torch.as_tensor(np.asarray(dataset.data))
    if pixels.ndim == 3:
        pixels = pixels.unsqueeze(1)
    elif pixels.shape[-1] == 3:
        pixels = pixels.permute(0, 3, 1, 2)
    if name == "emnist":  # its files hold every image by columns, and torchvision leaves it so
        pixels = pixels.mT
    raw = dataset.labels if hasattr(dataset, "labels") else dataset.targets
    labels = torch.as_tensor(np.asarray(raw)).to(torch.int64)
    if len(pixels) == 0 or len(pixels) != len(labels) or pixels.dtype != torch.uint8:
        raise CnnspecError(f"{name} is damaged: {len(pixels)} images and {len(labels)} labels")
    check_labels(labels, classes, name)
    return Images(fit_size(pixels.contiguous(), shape), labels)


def _npz(path: Path, graph: Graph, options: OpenOptions) -> DataSet:
    """Arrays `x` and `y`: uint8 images `(N, H, W)`, `(N, H, W, C)` or `(N, C, H, W)`, and whole numbers from 0."""
    if not path.is_file():
        what = f"{path} is not a regular file" if path.exists() else f"there is no file {path}"
        raise UsageError(f"--data: {what}")
    x, y = read_npz(path)
    if y.ndim != 1:
        raise CnnspecError(f"{path}: `y` is one whole number per image, not {y.dtype} {y.shape}")
    if x.ndim not in (3, 4) or len(x) != len(y):
        raise CnnspecError(f"{path}: `x` is {x.shape} and `y` is {y.shape}; they are (N, H, W, C) and (N,)")
    if len(x) < 2 or 0 in x.shape:
        raise CnnspecError(f"{path} holds {len(x)} images of {x.shape[1:]}; that is nothing to train on")
    pixels = torch.from_numpy(np.ascontiguousarray(x))
    if x.ndim == 3:
        pixels = pixels.unsqueeze(1)
    elif x.shape[-1] in (1, 3):
        pixels = pixels.permute(0, 3, 1, 2).contiguous()
    elif x.shape[1] not in (1, 3):
        raise CnnspecError(f"{path}: `x` is {x.shape}; one axis is the channels, 1 or 3")
    labels = torch.from_numpy(y.astype(np.int64))
    classes = graph.output_shape[0]
    check_fit(graph, path.name, (pixels.shape[1],), classes)
    check_labels(labels, classes, path.name)
    missing = sorted(set(range(classes)) - set(labels.tolist()))
    if missing and not options.classes:
        raise CnnspecError(f"{path.name} has no image of class {missing[0]}, and {graph.name} has {classes} classes")
    kept, held = stratified(labels, _TEST_FRACTION, _SPLIT_SEED)
    images = fit_size(pixels, graph.input_shape)
    names = graph.classes if len(graph.classes) == classes else tuple(str(i) for i in range(classes))
    train, test = Images(images[kept], labels[kept]), Images(images[held], labels[held])
    return replace(in_memory(path.name, names, train, test, options), place=Path(os.path.abspath(path)))


def _fake(graph: Graph, options: OpenOptions) -> DataSet:
    """Noise around one pattern per class, the same on every machine: for benchmarks and tests."""
    check_fit(graph, "fake", None, graph.output_shape[0])
    classes, shape = graph.output_shape[0], graph.input_shape
    generator = torch.Generator().manual_seed(0)
    patterns = torch.randint(0, 256, (classes, *shape), generator=generator, dtype=torch.int16)

    def make(count: int) -> Images:
        labels = torch.arange(count) % classes
        noise = torch.randint(-64, 65, (count, *shape), generator=generator, dtype=torch.int16)
        return Images((patterns[labels] // 2 + 64 + noise).clamp(0, 255).to(torch.uint8), labels)

    count = max(1024, 4 * classes)
    names = graph.classes if len(graph.classes) == classes else tuple(str(i) for i in range(classes))
    return in_memory("fake", names, make(count), make(count // 4), options)


def in_memory(name: str, classes: tuple[str, ...], train: Images, test: Images | None, options: OpenOptions) -> DataSet:
    """A data set of which all images are in memory, with validation images taken from the training images."""
    kept, held = stratified(train.labels, options.val_fraction, options.seed)
    size = train.images.nbytes + (test.images.nbytes if test else 0)
    remark = (
        f"{name}: {len(kept):,} images to train, {len(held):,} to validate, {len(test) if test else 0:,} to test;"
        f" {size / 1e6:,.1f} MB, all in memory"
    )
    contents = hashlib.blake2b(train.images.contiguous().numpy().data).hexdigest()
    return DataSet(name, classes, train, kept, train, held, test, remark, contents)


def fit_size(pixels: Tensor, shape: Shape) -> Tensor:
    """`(N, C, h, w)` uint8 resized to the network's input by the rule that inference uses too."""
    if tuple(pixels.shape[1:]) == shape:
        return pixels
    fitted = torch.empty((len(pixels), *shape), dtype=torch.uint8)
    for row, image in enumerate(pixels):
        plane = image[0] if shape[0] == 1 else image.permute(1, 2, 0)
        fitted[row] = torch.from_numpy(prepare(Image.fromarray(plane.numpy()), shape).copy()).permute(2, 0, 1)
    return fitted
