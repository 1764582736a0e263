"""The images that a page shows a network at work on."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from cnnspec.arrays import normalised
from cnnspec.errors import CnnspecError, UsageError
from cnnspec.graph import Graph
from cnnspec.images import MAX_PIXELS, NCHW_TO_NHWC, check_shape, normalize, read_image
from cnnspec.runtime.sources import expand

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cnnspec.data.sets import DataSet

__all__ = ["MOST", "Samples", "blank", "noise", "of_data", "of_files"]

MOST: Final = 10  # images that are shown unless more are named
_SEED: Final = 0


@dataclass(frozen=True)
class Samples:
    """Inputs of a network, what they are called, and their true classes where those are known."""

    raw: NDArray[np.uint8] | NDArray[np.float32]  # (N, H, W, C) bytes of images, or (N, ...) as the network takes it
    names: tuple[str, ...]
    labels: tuple[int | None, ...]

    def __len__(self) -> int:
        return len(self.raw)

    def inputs(self, graph: Graph) -> NDArray[np.float32]:
        """What the network reads, `(N, C, ...)`."""
        if self.raw.dtype == np.uint8:
            return normalize(np.asarray(self.raw, np.uint8), graph.mean, graph.std)
        return np.asarray(self.raw, np.float32)


def of_files(graph: Graph, images: Sequence[str], *, invert: bool = False, max_pixels: int | None = None) -> Samples:
    """Image files, folders and patterns. Raises UsageError where there are none, CnnspecError for a bad one."""
    shape = check_shape(graph.input_shape)
    paths = list(expand(list(images)))
    if not paths:
        raise UsageError("there are no images there", hint="`--images` takes files, folders and patterns")
    pixels = [
        read_image(path, shape, intake=graph.intake, invert=invert, max_pixels=max_pixels or MAX_PIXELS)
        for path in paths
    ]
    return Samples(np.stack(pixels), tuple(_name(path) for path in paths), (None,) * len(paths))


def _name(path: str | bytes) -> str:
    return "-" if isinstance(path, bytes) else os.path.basename(path)


def of_data(graph: Graph, data: DataSet, count: int = MOST) -> Samples:
    """Samples of the test part of a data set, or else of its validation part: the first of each class.

    Of more classes than `count` as many as that, spread over all; of fewer classes further images of each. Where a
    sample is taught something else than one class, simply the first.
    """
    import torch

    from cnnspec.data.batches import batches

    source, split = (data.test, "test") if data.test is not None else (data.val, "validation")
    rows = torch.arange(len(source)) if data.test is not None else data.val_rows
    labels = source.targets[rows].numpy()
    if not len(labels):
        raise CnnspecError(f"{data.name} has no {split} images", hint="`--images` names some")
    is_of_classes = labels.ndim == 1 and labels.dtype.kind == "i"
    places = _one_of_each(labels, count) if is_of_classes else np.arange(min(count, len(labels)))
    parts = [images for images, _ in batches(source, rows[torch.from_numpy(places)], count, torch.device("cpu"))]
    values = torch.cat(parts).numpy()
    is_image = values.dtype == np.uint8 and values.ndim == 4 and values.shape[1] in (1, 3)
    return Samples(
        np.ascontiguousarray(values.transpose(NCHW_TO_NHWC)) if is_image else normalised(values, graph.mean, graph.std),
        tuple(f"{split} image {place}" for place in places.tolist()),
        tuple(int(label) for label in labels[places]) if is_of_classes else (None,) * len(places),
    )


def _one_of_each(labels: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """Places of `count` images in the order of their classes."""
    classes = np.unique(labels)
    if len(classes) > count:
        classes = classes[np.linspace(0, len(classes) - 1, count).round().astype(np.int64)]
    turns = [np.flatnonzero(labels == label) for label in classes]
    found: list[int] = []
    for turn in range(max(map(len, turns))):
        found += [int(places[turn]) for places in turns if turn < len(places)]
        if len(found) >= count:
            break
    chosen = np.array(found[:count], np.int64)
    return chosen[np.argsort(labels[chosen], kind="stable")]


def blank(graph: Graph) -> Samples:
    """One black image, for a page that is drawn on and has no others. Raises UsageError as `check_shape`."""
    channels, height, width = check_shape(graph.input_shape)
    return Samples(np.zeros((1, height, width, channels), np.uint8), ("nothing",), (None,))


def noise(graph: Graph, count: int = 1) -> Samples:
    """Normal numbers, for networks that read no images."""
    raw = np.random.default_rng(_SEED).standard_normal((count, *graph.input_shape), np.float32)
    return Samples(raw, tuple(f"noise {number}" for number in range(1, count + 1)), (None,) * count)
