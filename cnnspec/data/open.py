"""Opens a data set by its name or path."""

from __future__ import annotations

import os
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch

from cnnspec.data.archive import ARCHIVES, PACKED, open_archive
from cnnspec.data.arrays import fit_size, in_memory
from cnnspec.data.collect import open_given
from cnnspec.data.folder import open_folder
from cnnspec.data.given import IN_PYTHON, Given
from cnnspec.data.listed import has_masks, open_masks, open_table
from cnnspec.data.npy import npy_parts
from cnnspec.data.npz import read_npz
from cnnspec.data.parquet import ParquetRows
from cnnspec.data.sets import DataSet, Images, OpenOptions, check_fit, check_trainable, class_names, named_as
from cnnspec.data.shards import shards_of
from cnnspec.data.splits import TEST_FRACTION, stratified
from cnnspec.data.tar_rows import TarRows, has_pairs
from cnnspec.data.targets import check_labels
from cnnspec.errors import CnnspecError, UsageError, needs_extra
from cnnspec.files import expand_user
from cnnspec.graph import Graph
from cnnspec.hints import did_you_mean
from cnnspec.images import SUFFIXES
from cnnspec.ops import Shape, show_shape

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


def open_data(name: str | Given, graph: Graph, options: OpenOptions) -> DataSet:
    """The data set `name` for this network: one of NAMES, a folder of images, a `.npz` file, or samples from Python.

    With `options.classes`, its classes are those, found by their names. Raises UsageError where it does not exist or
    does not fit the network, and CnnspecError where it is damaged.
    """
    check_trainable(graph)
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
    if name in NAMES:
        _wants_classes(name, graph)
    if name == "digits":
        return _digits(graph, options)
    if name == "fake":
        return _fake(graph, options)
    if name in _TORCHVISION:
        return _torchvision(name, graph, options)
    if (shards := shards_of(name)) is not None:
        return _sharded(shards, path, graph, options)
    if path.suffix == ".npz":
        return _npz(path, graph, options)
    if path.is_dir():
        if (arrays := npy_parts(path)) is not None:
            return _located(open_given(arrays, graph, options, path.resolve().name), path)
        if has_masks(path):
            return open_masks(path, graph, check_trainable(graph), options)
        _wants_classes(str(path), graph, sounds=True)
        return open_folder(path, graph, options)
    if path.suffix.lower() == ".csv" and path.is_file():
        return open_table(path, graph, check_trainable(graph), options)
    if path.suffix.lower() in (*ARCHIVES, *PACKED) and path.exists():
        top = open_archive(path)
        if has_pairs(top):
            return _located(open_given(Given(TarRows([top])), graph, options, path.name), path)
        _wants_classes(str(path), graph, sounds=True)
        return open_folder(top, graph, options)
    if path.exists():
        kind = (
            "an image, not a folder of images"
            if path.suffix.lower() in SUFFIXES
            else "no folder, no .npz file and no archive"
        )
        raise UsageError(f"--data: {name} is {kind}")
    hint = (
        did_you_mean(name, NAMES)
        or f"there are: {', '.join(NAMES)}; or a folder of images, a .npz, .csv or .parquet file, a .zip or .tar"
    )
    raise UsageError(f"--data: there is no data set and no folder `{name}`", hint=hint)


def _digits(graph: Graph, options: OpenOptions) -> DataSet:
    """The 1,797 handwritten digits of 8x8 pixels that come with scikit-learn (Alpaydin and Kaynak 1998)."""
    check_fit(graph, "digits", (1,), 10, options.classes)
    with needs_extra("train"):
        from sklearn.datasets import load_digits
    digits = load_digits()
    pixels = torch.from_numpy((digits.images * (255 / 16)).round().astype(np.uint8)).unsqueeze(1)
    labels = torch.from_numpy(digits.target.astype(np.int64))
    kept, held = stratified(labels, TEST_FRACTION, 0)
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
    """Arrays `x`, uint8 `(N, C, *axes)`, and `y` as the network's task is taught."""
    if not path.is_file():
        what = f"{path} is not a regular file" if path.exists() else f"there is no file {path}"
        raise UsageError(f"--data: {what}")
    arrays = read_npz(path, check_trainable(graph))
    return _located(open_given(Given(arrays), graph, options, path.name), path)


def _sharded(shards: dict[str, list[Path]], path: Path, graph: Graph, options: OpenOptions) -> DataSet:
    """Samples that lie in several files."""
    kind = ParquetRows if next(iter(shards.values()))[0].suffix == ".parquet" else TarRows
    given = Given(**{split: kind(files) for split, files in shards.items()})
    return _located(open_given(given, graph, options, path.name), path)


def _located(data: DataSet, path: Path) -> DataSet:
    return replace(data, place=Path(os.path.abspath(path)))


def _wants_classes(name: str, graph: Graph, *, sounds: bool = False) -> None:
    """Raise UsageError where a data set of pictures, each of one class, is not what a network is taught by."""
    task = check_trainable(graph)
    if task.target != "class":
        raise UsageError(
            f"{name} teaches one class of each image, and {graph.name} is for {task.name}, which is taught"
            f" {task.taught}",
            hint="`task: classification` in the spec"
            if len(graph.output_shape) == 1
            else "a folder with `images` and `masks`, or a .npz file of arrays `x` and `y`",
        )
    if len(graph.input_shape) not in ((2, 3) if sounds else (3,)):
        raise UsageError(
            f"{name} has images, CxHxW, and {graph.name} reads {show_shape(graph.input_shape)}",
            hint="a .npz file of arrays `x` and `y` may have any shape",
        )


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
    return in_memory("fake", class_names(graph), make(count), make(count // 4), options)
