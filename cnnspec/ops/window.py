"""What one unit of a layer reads along one axis: the one statement behind size, field and explanation.

An operator answers `windows()` with one of these per spatial axis, or with `GLOBAL` where every unit sees the
whole axis. Pointwise operators answer with `POINT`, a window of one.

Every local kind says the same three things: `reads(i)`, the inputs of unit `i` (not clipped to the axis), and that the
pattern repeats: `reads(i + period)` is `reads(i)`, `advance` inputs further on.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import gcd
from typing import Final

__all__ = ["GLOBAL", "POINT", "Adaptive", "Global", "Sliding", "Transposed", "Window"]


@dataclass(frozen=True, slots=True)
class Sliding:
    """Unit `i` reads the inputs `i*stride - before + k*dilation` for `k` in `0..kernel-1`."""

    kernel: int
    stride: int = 1
    dilation: int = 1
    before: int = 0
    after: int = 0
    ceil_mode: bool = False

    @property
    def period(self) -> int:
        """After how many units the pattern repeats."""
        return 1

    @property
    def advance(self) -> int:
        """How many inputs further on it then reads."""
        return self.stride

    def reads(self, i: int) -> range:
        """The inputs of unit `i`, unclipped."""
        first = i * self.stride - self.before
        return range(first, first + self.extent, self.dilation)

    @property
    def extent(self) -> int:
        """How many input pixels the window spans: `D*(F-1) + 1`."""
        return self.dilation * (self.kernel - 1) + 1

    def out_size(self, size: int) -> int:
        """`floor((W - D*(F-1) - 1 + P) / S) + 1`, with `P` the padding of both sides (Dumoulin and Visin 2016).

        `ceil_mode` is torch's: the division rounds up, and a window that would start in the padding at the far
        end is dropped. A result below 1 means that the window does not fit.
        """
        span = size + self.before + self.after - self.extent
        if not self.ceil_mode:
            return span // self.stride + 1
        out = (span + self.stride - 1) // self.stride + 1
        if (out - 1) * self.stride >= size + self.before:
            out -= 1
        return out

    def unread(self, size: int) -> int:
        """How many pixels at the far border (padding included) no window reaches."""
        out = self.out_size(size)
        return max(0, size + self.before + self.after - ((out - 1) * self.stride + self.extent))


@dataclass(frozen=True, slots=True)
class Transposed:
    """Input `i` is written to the outputs `i*stride - padding + k*dilation` for `k` in `0..kernel-1`."""

    kernel: int
    stride: int = 1
    dilation: int = 1
    padding: int = 0
    output_padding: int = 0

    @property
    def period(self) -> int:
        """After how many units the pattern repeats."""
        return self.stride

    @property
    def advance(self) -> int:
        """How many inputs further on it then reads."""
        return 1

    def reads(self, i: int) -> list[int]:
        """The inputs of unit `i`, unclipped: those that have a tap which lands on it. May be none."""
        last = i + self.padding
        taps = range(last - self.dilation * (self.kernel - 1), last + 1, self.dilation)
        return [tap // self.stride for tap in taps if tap % self.stride == 0]

    def out_size(self, size: int) -> int:
        """`(W-1)*S - 2P + D*(F-1) + output_padding + 1`."""
        return (size - 1) * self.stride - 2 * self.padding + self.dilation * (self.kernel - 1) + self.output_padding + 1


@dataclass(frozen=True, slots=True)
class Adaptive:
    """Unit `i` of `out` reads the inputs `floor(i*W/out)` to `ceil((i+1)*W/out) - 1`, as torch's adaptive pools."""

    size: int
    out: int

    @property
    def period(self) -> int:
        """After how many units the pattern repeats."""
        return self.out // gcd(self.size, self.out)

    @property
    def advance(self) -> int:
        """How many inputs further on it then reads."""
        return self.size // gcd(self.size, self.out)

    def reads(self, i: int) -> range:
        """The inputs of unit `i`."""
        first, last = self.bounds(i)
        return range(first, last + 1)

    def bounds(self, i: int) -> tuple[int, int]:
        """First and last input of unit `i`."""
        return i * self.size // self.out, -(-(i + 1) * self.size // self.out) - 1

    @property
    def widths(self) -> list[int]:
        """How many inputs each unit reads."""
        return [last - first + 1 for first, last in (self.bounds(i) for i in range(self.out))]


@dataclass(frozen=True, slots=True)
class Global:
    """Every unit sees the whole axis."""


Window = Sliding | Transposed | Adaptive | Global

POINT: Final = Sliding(1)
GLOBAL: Final = Global()
