"""What one unit of a layer reads along one axis: the one statement behind size, field and explanation.

An operator answers `windows()` with one of these per spatial axis and `channel_window()` with one for the channels, or
with `GLOBAL` where every unit sees the whole axis. Pointwise operators answer with `POINT`, a window of one.

Every local kind says the same three things: `reads(i)`, the inputs of unit `i` (not clipped to the axis), and that the
pattern repeats: `reads(i + period)` is `reads(i)`, `advance` inputs further on.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from math import floor, gcd, isclose
from struct import pack, unpack
from typing import Final, Literal

__all__ = [
    "GLOBAL",
    "POINT",
    "Adaptive",
    "Border",
    "Global",
    "Grouped",
    "Resized",
    "Shuffled",
    "Sliding",
    "Transposed",
    "Window",
]


Border = Literal["constant", "reflect", "replicate", "circular"]


@dataclass(frozen=True, slots=True)
class Sliding:
    """Unit `i` reads the inputs `i*stride - before + k*dilation` for `k` in `0..kernel-1`.

    `before` and `after` are the padding at both ends; a negative one crops. What stands in it, its `border`, is a
    constant or copies of the axis. `reads` goes on beyond the axis all the same; `copied` says what is read there.
    """

    kernel: int
    stride: int = 1
    dilation: int = 1
    before: int = 0
    after: int = 0
    ceil_mode: bool = False
    border: Border = "constant"

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

    def copied(self, tap: int, size: int) -> int | None:
        """The input that stands at `tap`, of an axis of this size; None where it is in a constant padding."""
        if 0 <= tap < size:
            return tap
        match self.border:
            case "constant":
                return None
            case "reflect":
                return -tap if tap < 0 else 2 * (size - 1) - tap
            case "replicate":
                return 0 if tap < 0 else size - 1
            case "circular":  # what a crop has left goes round
                first = max(0, -self.before)
                return first + (tap - first) % (size - first - max(0, -self.after))

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

    def reads(self, i: int) -> range:
        """The inputs of unit `i`, unclipped: those that have a tap which lands on it. May be none.

        Tap `k` of input `(i + padding - k*dilation) / stride` lands on it, where that is a whole number.
        """
        last = i + self.padding
        common = gcd(self.dilation, self.stride)
        every = self.stride // common  # of the taps, one in so many can
        first = last // common * pow(self.dilation // common, -1, every) % every
        if last % common or first >= self.kernel:
            return range(0)
        nearest = (last - first * self.dilation) // self.stride
        step = every * self.dilation // self.stride
        return range(nearest - (self.kernel - 1 - first) // every * step, nearest + 1, step)

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
class Resized:
    """An axis of `size` inputs, resampled to `out` units that are `scale` inputs apart, as torch's `interpolate`.

    - repeat: unit `i` reads the input `floor(i*size/out)`, in whole numbers;
    - nearest: the input `floor(i*scale)`; nearest-exact: `floor((i + 1/2)*scale)`, in 32-bit numbers as torch, which
      (`copies`) on two axes forgets the scale of nearest where the size stays or doubles. On one and three axes its
      gradient does so too, though its output does not: what a unit reads is what its output is made of;
    - linear and cubic: the 2 or 4 inputs around `x = (i + 1/2)*scale - 1/2` (`x = i*(size-1)/(out-1)` with
      `align_corners`), without those of weight 0: a whole `x` reads one input. Linear copies an axis whose size stays.
      Beyond the border torch reads the border once more, so that clipping what a unit reads to the axis gives what it
      really reads.

    Rounding to 32 bits, which decides what nearest reads, is followed for the units that there are; beyond them, where
    a later layer pads, the rule goes on in exact numbers. What linear and cubic read is exact: a weight that is 0 but
    for rounding is 0.
    """

    size: int
    out: int
    scale: float
    method: Literal["repeat", "nearest", "nearest-exact", "linear", "cubic"] = "repeat"
    align_corners: bool = False
    copies: bool = False

    @property
    def period(self) -> int:
        """After how many units the pattern repeats: beyond all that there are, where rounding spoils it."""
        return _rhythm(self)[0]

    @property
    def advance(self) -> int:
        """How many inputs further on it then reads."""
        return _rhythm(self)[1]

    @property
    def step(self) -> Fraction:
        """How many inputs apart two units are."""
        if self._copied:
            return Fraction(self.size, self.out)
        if self.align_corners and self.method in ("linear", "cubic"):
            return Fraction(self.size - 1, max(1, self.out - 1))
        if isclose(self.scale * self.out, self.size, rel_tol=1e-9):
            return Fraction(self.size, self.out)
        return Fraction(self.scale).limit_denominator(4096)

    @property
    def _copied(self) -> bool:
        """Whether torch reads the input `floor(i*size/out)` and looks at no scale."""
        if self.method == "nearest":
            return self.copies and self.out in (self.size, 2 * self.size)
        return self.method == "repeat" or (self.method == "linear" and self.out == self.size)

    def reads(self, i: int) -> Sequence[int]:
        """The inputs of unit `i`, unclipped."""
        if self._copied:
            return (i * self.size // self.out,)
        if self.method.startswith("nearest"):
            return (self._nearest(i) if 0 <= i < self.out else self._nearest_exactly(i),)
        every, step = _rhythm(self)  # in whole numbers: fractions take several times as long
        below, beyond = divmod(i * step, every) if self.align_corners else divmod((2 * i + 1) * step - every, 2 * every)
        if not beyond:
            return (below,)
        return (below, below + 1) if self.method == "linear" else range(below - 1, below + 3)

    def _nearest(self, i: int) -> int:
        half = 0.0 if self.method == "nearest" else 0.5
        return min(floor(_single((i + half) * _single(self.scale))), self.size - 1)

    def _nearest_exactly(self, i: int) -> int:
        return floor((i if self.method == "nearest" else i + _HALF) * self.step)


@lru_cache(maxsize=256)
def _rhythm(window: Resized) -> tuple[int, int]:
    """Period and advance of the step as a fraction; so many of them that no unit is repeated, where one is rounded."""
    step = window.step
    period, advance = step.denominator, step.numerator
    rounded = window.method.startswith("nearest") and not window._copied
    if not rounded or window.out > 2**14:  # so long an axis is taken to be regular
        return period, advance
    if any(window._nearest(i) != window._nearest_exactly(i) for i in range(window.out)):
        turns = -(-window.out // period)
        return period * turns, advance * turns
    return period, advance


_HALF: Final = Fraction(1, 2)


def _single(value: float) -> float:
    """`value` rounded to 32 bits."""
    return float(unpack("f", pack("f", value))[0])


@dataclass(frozen=True, slots=True)
class Grouped:
    """The axis in groups: unit `i` reads the `size` inputs of its group, which has `out` units."""

    size: int
    out: int

    @property
    def period(self) -> int:
        """After how many units the pattern repeats."""
        return self.out

    @property
    def advance(self) -> int:
        """How many inputs further on it then reads."""
        return self.size

    def reads(self, i: int) -> range:
        """The inputs of unit `i`."""
        first = i // self.out * self.size
        return range(first, first + self.size)


@dataclass(frozen=True, slots=True)
class Shuffled:
    """An axis of `size` dealt out anew: unit `i` reads the input `(i % groups) * (size/groups) + i // groups`."""

    size: int
    groups: int

    @property
    def period(self) -> int:
        """After how many units the pattern repeats."""
        return self.groups

    @property
    def advance(self) -> int:
        """How many inputs further on it then reads."""
        return 1

    def reads(self, i: int) -> tuple[int]:
        """The input of unit `i`."""
        return (i % self.groups * (self.size // self.groups) + i // self.groups,)


@dataclass(frozen=True, slots=True)
class Global:
    """Every unit sees the whole axis."""


Window = Sliding | Transposed | Adaptive | Resized | Grouped | Shuffled | Global

POINT: Final = Sliding(1)
GLOBAL: Final = Global()
