"""Samples of any kind as pictures for a reader: bytes or numbers, signals and volumes, of any number of channels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["as_pixels"]

_TRACE: Final = (48, 96)  # rows and columns of the picture of a signal, at most


def as_pixels(sample: NDArray[Any]) -> NDArray[np.uint8]:
    """A sample `(C, *axes)` as an image `(H, W, 1 or 3)` of bytes.

    Bytes stay as they are; numbers are spread from the smallest, black, to the largest, white. Of more than three
    channels the first three are shown, of two the first; of a volume the plane in its middle, of a signal its course.
    """
    shown = sample[: 3 if len(sample) >= 3 else 1]
    if shown.ndim == 2:
        return _trace(shown[0])
    if shown.ndim == 4:
        shown = shown[:, shown.shape[1] // 2]
    pixels = shown if shown.dtype == np.uint8 else np.rint(255 * _spread(shown)).astype(np.uint8)
    return np.ascontiguousarray(np.moveaxis(pixels, 0, -1))


def _spread(values: NDArray[Any]) -> NDArray[np.float64]:
    """The numbers from 0 to 1; all 0 where they are equal."""
    wide = values.astype(np.float64)
    low, high = wide.min(), wide.max()
    return (wide - low) / (high - low) if high > low else np.zeros_like(wide)


def _trace(signal: NDArray[Any]) -> NDArray[np.uint8]:
    """A signal `(L,)` as a dark line on white: each column from the smallest to the largest of its values."""
    rows, columns = _TRACE
    places = np.rint((1 - _spread(signal)) * (rows - 1)).astype(np.int64)
    picture = np.full((rows, min(columns, len(places)), 1), 255, np.uint8)
    for column, part in enumerate(np.array_split(places, picture.shape[1])):
        picture[part.min() : part.max() + 1, column] = 0
    return picture
