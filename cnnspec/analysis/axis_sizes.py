"""The sizes of one axis of the input: which are valid, what they give, and which of them give a wanted output.

Which sizes are valid need not be a range (additions of branches make them a comb), so that all are tried, as far as
there are some thousands of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any, Final

from cnnspec.analysis.skeleton import Seen
from cnnspec.ops import Shape

__all__ = ["FURTHEST", "TRIED", "WIDEST", "AxisSizes", "Line", "SizeRange", "size_ranges"]

WIDEST: Final = 2_000  # sizes of the range that is shown unless one is asked for
FURTHEST: Final = 2**20  # the largest input that is tried for a wanted output
TRIED: Final = 8192  # sizes of which each is tried
FURTHEST_GAP: Final = 1024  # how far apart two valid sizes may be


@dataclass(frozen=True, slots=True)
class SizeRange:
    """The sizes from `first` to `last`, each `step` after the one before; with the output they all give, if asked."""

    first: int
    last: int
    step: int = 1
    output: int | None = None

    def to_dict(self) -> dict[str, int]:
        """The range as `--format json` prints it."""
        size_range = {"from": self.first, "to": self.last, "step": self.step}
        return size_range if self.output is None else {**size_range, "output": self.output}


@dataclass(frozen=True, slots=True)
class AxisSizes:
    """What the sizes of one axis do, while the other axes keep theirs."""

    axis: str
    declared: int
    smallest: int
    span: tuple[int, int]  # the sizes that the ranges are about, both ends included
    outputs: tuple[SizeRange, ...]  # the valid sizes in the span, and what they give
    clean: tuple[SizeRange, ...]  # those at which no layer drops a border pixel
    fitting: tuple[SizeRange, ...] | None  # those that the weights of the declared input fit; None: all valid ones
    wanted: tuple[SizeRange, ...] | None  # the inputs that give the wanted output, wherever they are
    nearest: tuple[int, ...] = ()  # where there are none: the outputs below and above it

    def to_dict(self) -> dict[str, Any]:
        """The axis as `--format json` prints it."""

        def plain(ranges: tuple[SizeRange, ...] | None) -> list[dict[str, int]] | None:
            return None if ranges is None else [one.to_dict() for one in ranges]

        return {
            "axis": self.axis,
            "declared": self.declared,
            "smallest": self.smallest,
            "range": list(self.span),
            "outputs": plain(self.outputs),
            "no_border_dropped": plain(self.clean),
            "weights_fit": plain(self.fitting),
            "wanted": plain(self.wanted),
            "nearest_outputs": list(self.nearest),
        }


class Line:
    """The sizes of one axis, the others as declared."""

    def __init__(
        self, tried: Callable[[Shape], Seen | None], base: Shape, axis: int, carrier: int, widest: int
    ) -> None:
        self.tried, self.base, self.axis, self.carrier, self.widest = tried, base, axis, carrier, widest

    def seen(self, size: int) -> Seen | None:
        return self.tried((*self.base[: self.axis + 1], size, *self.base[self.axis + 2 :]))

    def out(self, size: int) -> int | None:
        seen = self.seen(size)
        return None if seen is None else seen.out[self.carrier]

    def answers(
        self,
        axis: str,
        declared: int,
        has_weights: bool,
        span: tuple[int, int] | None,
        wanted: tuple[int, ...] | None,
    ) -> AxisSizes:
        here = self.base[self.axis + 1]
        smallest = self.smallest(here)
        first, last = span or self.span(smallest, here)
        valid = [(size, seen) for size in range(first, last + 1) if (seen := self.seen(size)) is not None]
        fitting = [size for size, seen in valid if not seen.differing]
        outputs = [
            replace(one, output=output)
            for output, group in groupby(valid, key=lambda pair: pair[1].out[self.carrier])
            for one in size_ranges(size for size, _ in group)
        ]
        giving, nearest = (None, ()) if wanted is None else self.giving(wanted[self.axis], smallest)
        return AxisSizes(
            axis,
            declared,
            smallest,
            (first, last),
            tuple(outputs),
            size_ranges(size for size, seen in valid if self.axis not in seen.losing),
            size_ranges(fitting) if has_weights and len(fitting) < len(valid) else None,
            giving,
            nearest,
        )

    def smallest(self, here: int) -> int:
        """The first valid size. Beyond the first thousands a size is taken whose predecessor is not valid."""
        first = next((size for size in range(1, min(here, TRIED) + 1) if self.seen(size) is not None), None)
        if first is not None:
            return first
        refused = TRIED
        while here - refused > 1:
            middle = (refused + here) // 2
            if self.seen(middle) is None:
                refused = middle
            else:
                here = middle
        return here

    def span(self, smallest: int, here: int) -> tuple[int, int]:
        """From the smallest to twice the declared size, or the part of that around the declared size."""
        if 2 * here - smallest < self.widest:
            return smallest, 2 * here
        first = max(smallest, here - self.widest // 2)
        return first, first + self.widest - 1

    def giving(self, wanted: int, smallest: int) -> tuple[tuple[SizeRange, ...], tuple[int, ...]]:
        """The sizes that give this output; where there are none, the outputs below and above it.

        Every layer gives no less for a larger input, so that the first size is found by halving.
        """
        low = self.first_with(lambda out: out >= wanted, smallest)
        high = self.first_with(lambda out: out > wanted, low)
        if high > FURTHEST and self.out(self.next_valid(low)) == wanted:
            return (SizeRange(self.next_valid(low), FURTHEST),), ()
        if high - low > TRIED and self.out(low) == self.out(high - 1) == wanted:
            return (SizeRange(low, high - 1),), ()
        exact = [size for size in range(low, high) if self.out(size) == wanted]
        if exact:
            return size_ranges(exact), ()
        below = next((out for size in range(low - 1, smallest - 1, -1) if (out := self.out(size)) is not None), None)
        above = self.out(self.next_valid(low)) if low <= FURTHEST else None
        return (), tuple(out for out in (below, above) if out is not None)

    def first_with(self, enough: Callable[[int], bool], low: int) -> int:
        """The smallest valid size from `low` on whose output is enough; beyond FURTHEST where there is none."""
        high = low + 1
        while high <= FURTHEST and not self.holds(enough, high):
            high = 2 * high
        if high > FURTHEST and not self.holds(enough, FURTHEST):
            return FURTHEST + 1
        high = min(high, FURTHEST)
        while low < high:
            middle = (low + high) // 2
            if self.holds(enough, middle):
                high = middle
            else:
                low = middle + 1
        return self.next_valid(low)

    def holds(self, enough: Callable[[int], bool], size: int) -> bool:
        out = self.out(self.next_valid(size))
        return out is None or enough(out)

    def next_valid(self, size: int) -> int:
        """The first valid size from `size` on; `size` itself where none follows soon."""
        return next((other for other in range(size, size + FURTHEST_GAP) if self.seen(other) is not None), size)


def size_ranges(values: Iterable[int]) -> tuple[SizeRange, ...]:
    """Rising numbers as ranges: neighbours, or three and more that are equally far apart."""
    numbers = list(values)
    ranges = []
    begin = 0
    while begin < len(numbers):
        end = begin + 1
        step = numbers[end] - numbers[begin] if end < len(numbers) else 1
        while end < len(numbers) and numbers[end] - numbers[end - 1] == step:
            end += 1
        if end - begin < 3 and step > 1:
            end = begin + 1
        ranges.append(SizeRange(numbers[begin], numbers[end - 1], step if end - begin > 1 else 1))
        begin = end
    return tuple(ranges)
