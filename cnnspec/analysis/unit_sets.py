"""Sets of units of one axis, held as the bits of an integer, and which units of the axis before it they read.

What is long to work out is counted: each function is given `charge`, which it tells of its work as it goes and which
raises where that is too much.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from math import prod
from typing import Final

from cnnspec.analysis.field_state import ALL
from cnnspec.ops import Shape
from cnnspec.ops.window import POINT, Adaptive, Global, Grouped, Shuffled, Sliding, Transposed, Window

__all__ = [
    "WORD",
    "Product",
    "as_bits",
    "before_shuffle",
    "flattened",
    "inside",
    "through",
    "unflattened",
    "units",
    "within",
]

WORD: Final = 2**15  # places of an axis that are no more work than one

Product = tuple[int, ...]  # for each axis of a tensor, the units needed as bits
Charge = Callable[[int], None]


def within(bits: int, size: int) -> int:
    """The units that an axis of this size has, and no mask as long as the axis where it would do nothing."""
    return bits if bits >= 0 and bits.bit_length() <= size else bits & (1 << size) - 1


def units(bits: int, size: int) -> Iterator[int]:
    """The numbers of the units, of an axis of this size."""
    bits = within(bits, size)
    while bits:
        low = bits & -bits
        bits ^= low
        yield low.bit_length() - 1


def _are_all(bits: int, size: int) -> bool:
    return bits == ALL or (bits.bit_count() >= size and bits & (full := (1 << size) - 1) == full)


def through(window: Window, bits: int, size: int, own: int, charge: Charge) -> int:
    """Of an axis of `size`, what a window reads for a set of its `own` units; what lies outside does not exist."""
    if window == POINT or not bits:
        return bits
    if isinstance(window, Global):
        return ALL if size > 1 else 1
    each = 1 + max(size, own) // WORD
    if isinstance(window, Sliding) and window.border != "constant":
        return _with_copies(window, bits, size, own, charge)
    if isinstance(window, Sliding) and window.kernel == window.stride == 1:  # a crop, a pad, a slice
        charge(each)
        moved = within(bits, own) >> window.before if window.before > 0 else within(bits, own) << -window.before
        return within(moved, size)
    if (whole := _are_all(bits, own)) and isinstance(window, (Grouped, Shuffled, Adaptive)):
        return ALL if size > 1 else 1
    read = 0
    run = range(own) if whole else _run(within(bits, own))
    if run and isinstance(window, (Sliding, Transposed)):  # Resized may round, unit by unit
        together = _read_by_run(window, run)
    else:
        together = map(window.reads, units(bits, own))
    for taps in together:
        charge(each)
        if len(taps := inside(taps, size)) == size:
            return ALL if size > 1 else 1
        read |= as_bits(taps)
    return read


def _with_copies(window: Sliding, bits: int, size: int, own: int, charge: Charge) -> int:
    """The same for a window whose padding is copies of the axis: of units in it, the inputs that are copied."""
    read = through(replace(window, border="constant"), bits, size, own, charge)
    if read == ALL:
        return read
    first = -(-max(window.before, 0) // window.stride)  # of the units that reach into no padding before the axis
    last = (size - window.extent + window.before) // window.stride  # or behind it
    for outside in (bits & (1 << min(first, own)) - 1, bits >> last + 1 << last + 1) if last >= first else (bits,):
        for unit in units(outside, own):
            taps = window.reads(unit)
            copies = [*taps[: -(taps.start // taps.step)], *taps[max(0, -((taps.start - size) // taps.step)) :]]
            charge(1 + len(copies) + max(size, own) // WORD)
            read |= as_bits([copied for tap in copies if (copied := window.copied(tap, size)) is not None])
    return read


def _run(bits: int) -> range:
    """The units, where they lie side by side; else none."""
    first = (bits & -bits).bit_length() - 1
    return range(first, bits.bit_length()) if bits and bits.bit_count() == bits.bit_length() - first else range(0)


def _read_by_run(window: Sliding | Transposed, run: range) -> Iterator[Sequence[int]]:
    """What the units of a run read: one after the other, or where there are fewer taps tap by tap."""
    period, advance = window.period, window.advance
    for first in run[:period]:
        taps, turns = window.reads(first), (run.stop - first - 1) // period + 1
        behind = (turns - 1) * advance
        if taps and taps.step == 1 and advance <= len(taps):
            yield range(taps.start, taps.stop + behind)
        elif len(taps) <= turns:
            yield from (range(tap, tap + behind + 1, advance) for tap in taps)
        else:
            yield from map(window.reads, range(first, run.stop, period))


def as_bits(taps: Sequence[int]) -> int:
    """The taps as bits; those of a range by doubling, so that a huge window is no work."""
    if not isinstance(taps, range):
        return sum({1 << tap for tap in taps})
    if not taps:
        return 0
    if taps.step == 1:
        return (1 << len(taps)) - 1 << taps.start
    bits, made = 1, 1
    while made < len(taps):
        more = min(made, len(taps) - made)
        bits |= bits << (taps.step * more)
        made += more
    return bits << taps.start


def inside(taps: Sequence[int], size: int) -> Sequence[int]:
    """The taps that exist."""
    if isinstance(taps, range):
        before = -(min(0, taps.start) // taps.step)  # the taps below 0
        return range(taps.start + before * taps.step, min(taps.stop, size), taps.step)
    return [tap for tap in taps if 0 <= tap < size]


def before_shuffle(factor: int, shape: Shape, needed: Product, charge: Charge) -> Iterator[Product]:
    """What PixelShuffle needs: unit (y, x) of channel c is unit (y//r, x//r) of channel `c*r*r + (y%r)*r + x%r`."""
    channels, *places = needed
    axes = [_dealt(bits, size, factor, charge) for bits, size in zip(places, shape[1:], strict=True)]
    every = factor**2
    whole = _are_all(channels, shape[0] // every)
    kept = 0  # the first of the channels that each of those needed is made of
    for channel in () if whole else units(channels, shape[0] // every):
        charge(1 + shape[0] // WORD)
        kept |= 1 << channel * every
    if whole:
        kept = as_bits(range(0, shape[0], every))
    for y, rows in enumerate(axes[0]):
        for x, columns in enumerate(axes[1]):
            if rows and columns:
                charge(1 + shape[0] // WORD)
                yield kept << (y * factor + x), rows, columns


def _dealt(bits: int, size: int, factor: int, charge: Charge) -> list[int]:
    """Unit `factor*i + phase` as unit `i`, for each phase."""
    if _are_all(bits, size * factor):
        return [(1 << size) - 1] * factor
    phases = [0] * factor
    for unit in units(bits, size * factor):
        charge(1 + size * factor // WORD)
        phases[unit % factor] |= 1 << unit // factor
    return phases


def unflattened(bits: int, shape: Shape, charge: Charge) -> Iterator[Product]:
    """The units of a flat axis as products over the axes that it was made of."""
    if bits == ALL:
        yield tuple(ALL if size > 1 else 1 for size in shape)
        return
    if len(shape) == 1:
        yield (bits,)
        return
    each = prod(shape[1:])
    parts: dict[int, int] = {}  # what is needed of the other axes -> of which units of the first
    if each == 1:
        parts, bits = {1: bits}, 0
    while bits:
        charge(1 + bits.bit_length() // WORD)
        unit = ((bits & -bits).bit_length() - 1) // each
        needed = (bits >> (unit * each)) & ((1 << each) - 1)
        bits ^= needed << (unit * each)
        parts[needed] = parts.get(needed, 0) | 1 << unit
    for needed, first in parts.items():
        for rest in unflattened(needed, shape[1:], charge):
            yield (first, *rest)


def flattened(needed: Sequence[int], shape: Shape, charge: Charge) -> int:
    """A product over some axes as units of the flat axis that they make."""
    if all(map(_are_all, needed, shape)):
        return ALL if prod(shape) > 1 else 1
    bits, each = within(needed[-1], shape[-1]), shape[-1]
    for axis in reversed(range(len(shape) - 1)):
        rows = 0
        for unit in units(needed[axis], shape[axis]):
            charge(1 + each * shape[axis] // WORD)
            rows |= bits << unit * each
        bits, each = rows, each * shape[axis]
    return bits
