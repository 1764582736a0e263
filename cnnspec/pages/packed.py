"""Numbers in a page: float32 as they are, maps in eight bits, deflated and as text."""

from __future__ import annotations

import base64
import zlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Packed", "deflated", "quantized", "shrunk"]

STEPS: Final = 255


@dataclass
class Packed:
    """Arrays one behind the other, of which a page knows the sizes: first all in float32, then all bytes."""

    floats: list[NDArray[np.float32]] = field(default_factory=list)
    bytes_: list[NDArray[np.uint8]] = field(default_factory=list)

    def add(self, values: NDArray[np.float32] | NDArray[np.uint8]) -> None:
        """One more array."""
        if values.dtype == np.uint8:
            self.bytes_.append(np.asarray(values, np.uint8))
        else:
            self.floats.append(np.asarray(values, "<f4"))

    def text(self) -> str:
        """All of them, deflated, in base64."""
        raw = b"".join([array.tobytes() for array in self.floats] + [array.tobytes() for array in self.bytes_])
        return deflated(raw)


def deflated(raw: bytes) -> str:
    """Bytes as text that every browser unpacks by itself: deflated, in base64."""
    squeeze = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    return base64.b64encode(squeeze.compress(raw) + squeeze.flush()).decode("ascii")


def quantized(values: NDArray[np.float32]) -> tuple[NDArray[np.uint8], float, float]:
    """Values in eight bits, and the smallest and the largest of them: byte b is `low + b / 255 * (high - low)`.

    What is not finite counts as 0.
    """
    finite = np.nan_to_num(values.astype(np.float64), nan=0.0, posinf=0.0, neginf=0.0)
    low, high = float(finite.min()), float(finite.max())
    steps = np.zeros(finite.shape) if low == high else (finite - low) * (STEPS / (high - low))
    return steps.round().astype(np.uint8), low, high


def shrunk(values: NDArray[np.float32], side: int) -> NDArray[np.float32]:
    """The last two axes at most `side` long: means of cells that are as equal as they can be."""
    for axis in (values.ndim - 2, values.ndim - 1):
        size = values.shape[axis]
        if size > side:
            starts = np.arange(side) * size // side
            counts = np.diff(np.append(starts, size))
            shape = [1] * values.ndim
            shape[axis] = side
            values = np.asarray(np.add.reduceat(values, starts, axis) / counts.reshape(shape), np.float32)
    return values
