"""What the units of one axis read of the input: the arithmetic behind receptive fields, along one axis.

A `Band` says what the units of one path read: the pixels repeat with the unit, so that those of one period say it all.
One path through convolutions and pools has period 1; upsampling makes the period longer. Bands are put together in two
ways: a *union* is read as a whole (what all paths see together), *alternatives* are read one by one (each path alone).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from fractions import Fraction
from functools import cache
from math import gcd, lcm
from typing import Final, NamedTuple, TypeGuard

from cnnspec.analysis.field_work import TooIrregular, Work
from cnnspec.ops import Shape
from cnnspec.ops.window import Global, Sliding, Window

__all__ = [
    "GONE",
    "Band",
    "Bands",
    "Reads",
    "broadcast",
    "carried",
    "distinct",
    "fraction",
    "merged",
    "moved_on",
    "pixel",
    "slide",
    "smallest",
    "take_turns",
    "union",
    "weight",
]

GONE: Final = 9  # the axis of a band whose axis had one unit and was flattened away: no tensor has so many
FEW_TAPS: Final = 64
HOLES_UP_TO: Final = 2**22  # pixels of a span; in a larger one holes are not looked for
LONGEST_PERIOD: Final = 4096  # beyond it two alternatives are not compared phase by phase
MOST_PHASES: Final = 2**18  # units after which what they read has to repeat
FURTHEST_STEP: Final = 2**63  # pixels: figures of thousands of digits are no figures
BITS: Final = 2048  # of a mask that count as much as one more unit
MOST_PATHS: Final = 64  # alternatives that are followed: beyond them those of today's smallest spans


class Reads(NamedTuple):
    """The pixels `low` to `high`; `mask` has bit `k` set where `low + k` is read, None where all of them are."""

    low: int
    high: int
    mask: int | None = None

    def shifted(self, pixels: int) -> Reads:
        """The same pixels, so many further on."""
        return Reads(self.low + pixels, self.high + pixels, self.mask)

    @property
    def size(self) -> int:
        """From the first to the last pixel."""
        return self.high - self.low + 1

    @property
    def pixels(self) -> int:
        """How many pixels they are."""
        return self.size if self.mask is None else self.mask.bit_count()

    @property
    def bits(self) -> int:
        """The pixels as bits, the first of them bit 0."""
        return (1 << self.size) - 1 if self.mask is None else self.mask


class Band(NamedTuple):
    """What the units of one path read: `phases[i % period]`, shifted by `step` pixels for each whole period.

    The units lie on the tensor's axis `carrier`. Where Flatten has made that axis one with others, `lost` is the number
    of units there were, and which unit of the flat axis is which is not known. A step of 0: all units read the same.
    """

    step: int
    phases: tuple[Reads | None, ...]  # None: a unit that reads no pixel
    carrier: int
    lost: int = 0

    def at(self, i: int) -> Reads | None:
        """The pixels that unit `i` reads, not clipped to the input."""
        turns, phase = divmod(i, len(self.phases))
        reads = self.phases[phase]
        return reads.shifted(turns * self.step) if reads and turns else reads

    @property
    def stride(self) -> Fraction:
        """Pixels per unit."""
        return fraction(self.step, len(self.phases))

    @property
    def holed(self) -> bool:
        """Whether some units read no pixel."""
        return None in self.phases

    @property
    def pace(self) -> tuple[int, int]:
        """The stride as two numbers without a common factor, which are compared at once."""
        period = len(self.phases)
        if period == 1:
            return self.step, 1
        common = gcd(self.step, period)
        return self.step // common, period // common

    def units(self, shape: Shape) -> int:
        """How many units there are in a tensor of this shape."""
        return self.lost or (shape[self.carrier] if self.carrier < len(shape) else 1)


Bands = tuple[Band, ...]


@cache
def fraction(numerator: int, denominator: int) -> Fraction:
    return Fraction(numerator, denominator)


def pixel(carrier: int) -> Bands:
    """The input itself: unit `i` reads pixel `i`."""
    return (Band(1, (Reads(0, 0),), carrier),)


def merged(parts: Iterable[Reads | None]) -> Reads | None:
    """All pixels together."""
    given = [part for part in parts if part is not None]
    if len(given) < 2:
        return given[0] if given else None
    given.sort(key=lambda part: part.low)
    low, high = given[0].low, max(part.high for part in given)
    if len(given) == 2 and given[0].mask is given[1].mask is None and given[1].low <= given[0].high + 1:
        return Reads(low, high)
    reached, solid = low - 1, True
    for part in given:
        solid = solid and part.mask is None and part.low <= reached + 1
        reached = max(reached, part.high)
    if solid or high - low >= HOLES_UP_TO:
        return Reads(low, high)
    mask = 0
    for part in given:
        mask |= part.bits << (part.low - low)
    return Reads(low, high, None if mask == (1 << (high - low + 1)) - 1 else mask)


def _shortest(step: int, phases: list[Reads | None], like: Band) -> Band:
    """The band with the smallest period that says the same."""
    period = len(phases)
    for length in range(1, period // 2 + 1):
        turns = period // length
        if period % length or step % turns:
            continue
        shift = step // turns
        if all(_is_shifted(phases[i], phases[i % length], i // length * shift) for i in range(length, period)):
            return like._replace(step=shift, phases=tuple(phases[:length]))
    return like._replace(step=step, phases=tuple(phases))


def _is_shifted(reads: Reads | None, base: Reads | None, shift: int) -> bool:
    if reads is None or base is None:
        return reads is base
    return reads.low == base.low + shift and reads.high == base.high + shift and reads.mask == base.mask


def weight(bands: Bands) -> int:
    """How much it takes to keep what units read by all paths, in phases. Raises TooIrregular where it is too much."""
    if any(abs(band.step) > FURTHEST_STEP for band in bands):
        raise TooIrregular("its units are more than 2^63 pixels apart")
    if len(bands) > 1 and (period := lcm(*[len(band.phases) for band in bands])) > MOST_PHASES:
        raise TooIrregular(f"what its units read by all paths repeats after {period:,} of them only")
    return sum(_weight(reads) for band in bands for reads in band.phases)


def _weight(reads: Reads | None) -> int:
    return 1 if reads is None or reads.mask is None else 1 + (reads.high - reads.low) // BITS


def _listed(phases: Iterable[Reads | None]) -> list[Reads | None]:
    """The phases, which are made while they are not too much together."""
    listed, heavy = [], 0
    for reads in phases:
        listed.append(reads)
        heavy += _weight(reads)
        if heavy > MOST_PHASES:
            raise TooIrregular(f"there are too many holes in what its units read, of which {len(listed):,} differ")
    return listed


def slide(band: Band, window: Window, units: int, work: Work) -> Band:
    """What the units behind `window` read, given what the `units` before it read."""
    if isinstance(window, Global):
        work.spend(min(units, len(band.phases)))
        return band._replace(step=0, phases=(_union(band, range(units)),))
    if isinstance(window, Sliding) and len(band.phases) == 1 and (only := band.phases[0]) is not None:
        taps = window.dilation * band.step
        if only.mask is None and (window.kernel == 1 or taps <= only.size):  # one path of solid windows
            low = only.low - window.before * band.step
            reads = Reads(low, low + only.size - 1 + (window.kernel - 1) * taps)
            return Band(band.step * window.stride, (reads,), band.carrier, band.lost)
    period, advance = window.period, window.advance
    turns = len(band.phases) // gcd(advance, len(band.phases))
    if period * turns > MOST_PHASES:
        raise TooIrregular(f"what its units read repeats after {period * turns:,} of them only")
    taps_read = window.reads(0)
    parts = min(len(taps_read), len(band.phases)) if _is_comb(taps_read) else len(taps_read)
    distance = (taps_read[-1] - taps_read[0]) * abs(band.step) // len(band.phases) if taps_read else 0
    work.spend(period * turns * parts, min(distance + _widest(band), HOLES_UP_TO))
    phases = _listed(_union(band, window.reads(i)) for i in range(period * turns))
    return _shortest(band.step * advance * turns // len(band.phases), phases, band)


def _is_comb(taps: Sequence[int]) -> TypeGuard[range]:
    """Whether they are many and regular, so that not each has to be taken by itself."""
    return isinstance(taps, range) and len(taps) > FEW_TAPS


def _widest(band: Band) -> int:
    """The longest span of pixels that a unit reads."""
    return max([reads.size for reads in band.phases if reads], default=0)


def _union(band: Band, taps: Sequence[int]) -> Reads | None:
    """What the units `taps` read together."""
    if not _is_comb(taps):
        return merged([band.at(tap) for tap in taps])
    if len(band.phases) > 1:  # each phase of the band in turn
        turns = len(band.phases) // gcd(taps.step, len(band.phases))
        parts = [taps[start::turns] for start in range(min(turns, len(taps)))]
        return merged([_comb(band.at(part[0]), _step(band, part), len(part)) for part in parts])
    return _comb(band.at(taps[0]), _step(band, taps), len(taps))


def _step(band: Band, taps: range) -> int:
    """Pixels from one tap to the next, for taps that are whole periods apart."""
    return band.step * taps.step // len(band.phases)


def _comb(reads: Reads | None, step: int, copies: int) -> Reads | None:
    """The union of so many copies, each `step` pixels further on: by doubling, so that a huge kernel is no work."""
    if reads is None:
        return None
    high = reads.high + step * (copies - 1)
    if high - reads.low >= HOLES_UP_TO or (reads.mask is None and step <= reads.size):
        return Reads(reads.low, high)
    mask, made = reads.bits, 1
    while made < copies:
        more = min(made, copies - made)
        mask |= mask << (step * more)
        made += more
    return Reads(reads.low, high, mask)


def union(parts: Iterable[Band], work: Work) -> Bands:
    """What all of them read together: bands of one stride on one axis become one."""
    alike: dict[tuple[int, int, tuple[int, int]], list[Band]] = {}
    for band in dict.fromkeys(parts):
        alike.setdefault((band.carrier, band.lost, band.pace), []).append(band)
    joined = []
    for (*_, (pixels, units)), bands in alike.items():
        if len(bands) == 1:
            joined.append(bands[0])
            continue
        period = lcm(*[len(band.phases) for band in bands])
        if period == 1:
            joined.append(bands[0]._replace(phases=(merged([band.phases[0] for band in bands]),)))
            continue
        if period > MOST_PHASES:
            raise TooIrregular(f"what its units read repeats after {period:,} of them only")
        work.spend(period * len(bands), min(max(map(_widest, bands)), HOLES_UP_TO))
        phases = _listed(merged([band.at(i) for band in bands]) for i in range(period))
        joined.append(_shortest(pixels * period // units, phases, bands[0]))
    return tuple(joined)


def smallest(alternatives: Iterable[Band]) -> Bands:
    """The alternatives that read something, without those that no later layer can make the smallest."""
    kept: list[Band] = []
    bands = set(alternatives)
    if len(bands) == 1:
        return tuple(bands)
    for band in sorted([band for band in bands if any(band.phases)] or bands, key=_size):
        if not any(_never_larger(other, band) for other in kept):
            kept.append(band)
            if len(kept) == MOST_PATHS:
                break
    return tuple(kept)


def distinct(alternatives: Iterable[Band]) -> Bands:
    """All of the alternatives: a larger one is the smallest where another axis leaves out the units of the others."""
    return tuple(sorted(dict.fromkeys(alternatives), key=_size))[:MOST_PATHS]


def _size(band: Band) -> tuple[int, int, int]:
    sizes = [reads.size if reads else 0 for reads in band.phases]
    return max(sizes), sum(sizes), band.step


def _never_larger(small: Band, large: Band) -> bool:
    """Whether whatever later layers read through `small` spans no more than through `large`."""
    if small[2:] != large[2:]:
        return False
    one, other = small.phases, large.phases
    if len(one) == len(other) == 1 and one[0] and other[0]:
        return one[0].size <= other[0].size and abs(small.step) <= abs(large.step)
    period = lcm(len(one), len(other))
    if small.pace != large.pace or period > LONGEST_PERIOD:
        return False
    before, after = [], []  # how far the one reaches beyond the other, wherever it is moved to
    for i in range(period):
        reads, around = small.at(i), large.at(i)
        if reads is None or around is None:
            if reads is not around:
                return False  # later layers may read what the other leaves out, and nothing else
            continue
        before.append(reads.low - around.low)
        after.append(reads.high - around.high)
    return not before or max(after) <= min(before)


def broadcast(band: Band, shape: Shape, out: Shape) -> Band:
    """The band of a branch whose axis of size 1 is read by every unit of the result."""
    if band.carrier < len(shape) and shape[band.carrier] == 1 < out[band.carrier]:
        return band._replace(step=0, phases=(band.at(0),))
    return band


def moved_on(band: Band, axis: int, start: int, work: Work) -> Band:
    """The band of a tensor that a concatenation puts `start` units further on, where its axis lies along that one."""
    return band if band.carrier != axis or band.lost else slide(band, Sliding(1, before=start), 0, work)


def take_turns(band: Band, factor: int, places: Sequence[tuple[int, int]]) -> Band:
    """The band behind PixelShuffle: unit `r*i + phase` reads what `i` read, for the phases of these places (y, x)."""
    if band.carrier not in (1, 2):
        return band
    phases: list[Reads | None] = [None] * (factor * len(band.phases))
    for place in places:
        phases[place[band.carrier - 1] :: factor] = band.phases
    return band._replace(phases=tuple(phases))


def carried(band: Band, index: Callable[[int], int], axes: int) -> Band:
    return band._replace(carrier=index(band.carrier)) if band.carrier < axes else band
