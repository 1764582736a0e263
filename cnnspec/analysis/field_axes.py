"""Where what is seen lies after the axes of a tensor are merged, cut or dropped.

Each function gives a field whose parts lie where they should, and what becomes of each band.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from math import prod
from typing import Final, NamedTuple

from cnnspec.analysis.bands import GONE, Band, slide
from cnnspec.analysis.field_state import MOST_CHANNELS, Part, TensorField
from cnnspec.analysis.field_work import Work
from cnnspec.ops import Shape
from cnnspec.ops.unflatten import Regrouping
from cnnspec.ops.window import GLOBAL

__all__ = ["Rearranged", "merged_axes", "regrouped_axes", "without_axes"]

ELEMENTS: Final = 8  # looked at one by one, that take as long as a union

Merge = Callable[[TensorField], TensorField]  # as if every channel saw what any does


class Rearranged(NamedTuple):
    """A field with its parts in place, and where its bands go."""

    field: TensorField
    band: Callable[[Band], Band]


def merged_axes(field: TensorField, shape: Shape, first: int, last: int, merge: Merge) -> Rearranged:
    """The axes from `first` to `last` as one: they are lost, unless they held one unit."""
    size = prod(shape[first : last + 1])

    def flat(band: Band) -> Band:
        carrier = band.carrier
        if not first <= carrier <= last:
            return band._replace(carrier=carrier - (last - first)) if last < carrier < len(shape) else band
        if shape[carrier] == 1:
            return band._replace(carrier=GONE)
        return band._replace(carrier=first, lost=band.lost or (shape[carrier] if shape[carrier] < size else 0))

    inside = first <= field.axis <= last
    if inside and size > MOST_CHANNELS:
        field = merge(field)
    parts = field.parts
    if inside and len(parts) > 1 and size > shape[field.axis]:
        around = prod(shape[first : field.axis]), prod(shape[field.axis + 1 : last + 1])
        parts = tuple(Part(_repeated(channels, shape[field.axis], *around), state) for channels, state in parts)
    axis = first if inside else field.axis - (last - first) if field.axis > last else field.axis
    return Rearranged(field._replace(parts=parts, axis=axis), flat)


def _repeated(channels: int, size: int, times: int, each: int) -> int:
    """Channels as features, where all of them come so many times, each with so many features."""
    return int("".join(bit * each for bit in f"{channels:0{size}b}") * times, 2)


def without_axes(field: TensorField, shape: Shape, gone: Collection[int]) -> Rearranged:
    """Some axes dropped, which have one unit each."""
    kept = [axis for axis in range(len(shape)) if axis not in gone]

    def moved(band: Band) -> Band:
        if band.carrier in gone:
            return band._replace(carrier=GONE, lost=0)
        return band._replace(carrier=kept.index(band.carrier)) if band.carrier < len(shape) else band

    return Rearranged(field._replace(axis=kept.index(field.axis) if field.axis in kept else 0), moved)


def regrouped_axes(
    field: TensorField, shape: Shape, out: Shape, groups: Collection[Regrouping], merge: Merge, work: Work
) -> Rearranged:
    """Axes that become others. One that is cut has no place on any of those it becomes: each unit counts as reading all
    of it. Channels that are cut stay apart where they see alike along all of the new axes but one."""
    places: dict[int, int] = {}  # the axes whose units still lie along one axis; there they may be lost
    cut: set[int] = set()
    for group in groups:
        before, after = _long(shape, group.first, group.stop), _long(out, group.out_first, group.out_stop)
        if len(after) == 1:
            places |= dict.fromkeys(before, after[0])
        else:
            cut.update(before)
        if group.first <= field.axis < group.stop:
            field = _cut_channels(field, shape, out, group, after, merge, work)

    def moved(band: Band) -> Band:
        carrier = band.carrier
        if carrier >= len(shape):
            return band
        if carrier in cut:
            return slide(band, GLOBAL, band.units(shape), work)._replace(carrier=GONE, lost=0)
        if carrier not in places:
            return band._replace(carrier=GONE)
        place = places[carrier]
        return band._replace(carrier=place, lost=band.lost or (shape[carrier] if shape[carrier] < out[place] else 0))

    return Rearranged(field, moved)


def _long(shape: Shape, first: int, stop: int) -> list[int]:
    """The axes with more than one unit."""
    return [axis for axis in range(first, stop) if shape[axis] > 1]


def _cut_channels(
    field: TensorField,
    shape: Shape,
    out: Shape,
    group: Regrouping,
    after: list[int],
    merge: Merge,
    work: Work,
) -> TensorField:
    """The parts of a field along one of the axes that the channels become, merged where no axis tells them apart."""
    if len(after) < 2 or len(field.parts) == 1:
        merged = merged_axes(field, shape, group.first, group.stop - 1, merge).field
        return merged._replace(axis=after[0] if after else group.out_first)
    elements = prod(out[group.out_first : group.out_stop])
    for axis in after if elements <= MOST_CHANNELS else []:
        work.spend(elements // ELEMENTS)
        parts = _told_apart(field, shape, out, group, axis)
        if parts is not None:
            return field._replace(parts=parts, axis=axis)
    return merge(field)._replace(axis=after[0])


def _told_apart(field: TensorField, shape: Shape, out: Shape, group: Regrouping, axis: int) -> tuple[Part, ...] | None:
    """The parts along one of the new axes; None where one of its units is made of channels of several."""
    part_of = [0] * shape[field.axis]
    for number, part in enumerate(field.parts):
        for channel, bit in enumerate(reversed(f"{part.channels:b}")):
            if bit == "1":
                part_of[channel] = number
    around, each = prod(shape[field.axis + 1 : group.stop]), prod(out[axis + 1 : group.out_stop])
    found: list[set[int]] = [set() for _ in range(out[axis])]
    for element in range(prod(out[group.out_first : group.out_stop])):
        found[element // each % out[axis]].add(part_of[element // around % shape[field.axis]])
    if any(len(numbers) > 1 for numbers in found):
        return None
    channels = [0] * len(field.parts)
    for unit, (number,) in enumerate(found):
        channels[number] |= 1 << unit
    return tuple(Part(*pair) for pair in zip(channels, (part.state for part in field.parts), strict=True))
