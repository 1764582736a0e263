"""What is measured on training images before a run: their mean and spread, and what about them may be a mistake."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import torch
from torch import Tensor

from cnnspec.data.batches import batches
from cnnspec.data.classes import some
from cnnspec.data.duplicates import count_learned
from cnnspec.data.sets import DataSet, Images, ImageSet

__all__ = ["measure", "suspicions"]

_LOOKED_AT: Final = 4096  # images, spread over all of them
_DIGITS: Final = 6  # of a mean and a spread: they are written into files, and read again
_FEW: Final = 10  # training images of a class, below which it is told
_CHUNK: Final = 1024  # images that are looked at together
_GLANCE: Final = 16  # values of a channel that are looked at before all of them are
_LEAST: Final = 1e-6  # spread of a channel that is the same everywhere


def _some_rows(rows: Tensor, count: int = _LOOKED_AT) -> Tensor:
    """Up to `count` of these rows, spread over all of them."""
    return rows[:: max(1, -(-len(rows) // count))]


def measure(data: DataSet) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of each channel over the training inputs, or many of them: of bytes, over 255.

    They are the same on every machine. Raises CnnspecError where an image cannot be read.
    """
    total, squares, count = torch.zeros(()), torch.zeros(()), 0
    for images, _ in batches(data.train, _some_rows(data.train_rows), 64, torch.device("cpu")):
        flat = images.transpose(0, 1).flatten(1).double()
        flat = flat / 255 if images.dtype == torch.uint8 else flat
        total, squares, count = total + flat.sum(1), squares + (flat * flat).sum(1), count + flat.shape[1]
    mean = total / count
    spread = (squares / count - mean * mean).clamp(min=0).sqrt().clamp(min=_LEAST)
    return _rounded(mean), _rounded(spread)


def _rounded(values: Tensor) -> tuple[float, ...]:
    return tuple(float(f"{value:.{_DIGITS}g}") for value in values.tolist())


def suspicions(data: DataSet) -> Iterator[str]:
    """What about the data may be a mistake, a line each: it does not keep a run from training."""
    if data.task.target in ("class", "labels"):
        counts = zip(data.classes, data.counts.tolist(), strict=False)
        if few := [f"{name} {count}" for name, count in counts if count < _FEW]:
            yield f"classes with fewer than {_FEW} training images: {some(few)}"
    for split, source in (("training", data.train), ("validation", data.val), ("test", data.test)):
        if source is None or (split == "validation" and source is data.train):
            continue
        if plain := _of_one_value(source):
            listed = some([_shown(source, row) for row in plain])
            yield f"{split} images of one colour or value throughout: {len(plain):,}, {listed}"
    if learned := count_learned(data):
        yield f"{learned:,} of {len(data.val):,} validation images are training images too"


def _of_one_value(source: ImageSet) -> list[int]:
    """The rows in memory that are the same everywhere; what stays in files is looked at where it is decoded."""
    if not isinstance(source, Images) or source.mapped:
        return []
    found: list[int] = []
    for first in range(0, len(source), _CHUNK):
        flat = source.images[first : first + _CHUNK].flatten(2)
        rows = _alike(flat[..., :_GLANCE])
        found += (first + rows[_alike(flat[rows])]).tolist()
    return found


def _alike(flat: Tensor) -> Tensor:
    """The rows of `(N, C, values)` whose channels each have one value."""
    return (flat == flat[..., :1]).all(2).all(1).nonzero().squeeze(1)


def _shown(source: ImageSet, row: int) -> str:
    return str(source.paths[row]) if source.paths else f"number {row}"
