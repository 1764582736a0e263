"""Where what is seen lies after the axes of a tensor are merged, cut or dropped.

Each function gives a field whose parts lie where they should, and what becomes of each band.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from math import prod
from typing import NamedTuple

from cnnspec.analysis.bands import GONE, Band, slide
from cnnspec.analysis.field_state import MOST_CHANNELS, Part, TensorField
from cnnspec.ops import Shape
from cnnspec.ops.unflatten import Regrouping
from cnnspec.ops.window import GLOBAL

__all__ = ["Rearranged", "merged_axes", "regrouped_axes", "without_axes"]

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
    field: TensorField, shape: Shape, out: Shape, groups: Collection[Regrouping], merge: Merge
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
            field = _cut_channels(field, shape, out, group, before, after, merge)

    def moved(band: Band) -> Band:
        carrier = band.carrier
        if carrier >= len(shape):
            return band
        if carrier in cut:
            return slide(band, GLOBAL, band.units(shape))._replace(carrier=GONE, lost=0)
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
    before: list[int],
    after: list[int],
    merge: Merge,
) -> TensorField:
    """The parts of a field along one of the axes that the channels become, merged where no axis tells them apart."""
    if len(after) < 2 or len(field.parts) == 1:
        merged = merged_axes(field, shape, group.first, group.stop - 1, merge).field
        return merged._replace(axis=after[0] if after else group.out_first)
    size = shape[field.axis]
    for axis in after if before == [field.axis] else []:
        each = prod(out[axis + 1 : group.out_stop])
        parts = [(_taken(part.channels, size, each, out[axis]), part.state) for part in field.parts]
        if sum(channels.bit_count() for channels, _ in parts) == out[axis]:
            return field._replace(parts=tuple(Part(*part) for part in parts), axis=axis)
    return merge(field)._replace(axis=after[0])


def _taken(channels: int, size: int, each: int, units: int) -> int:
    """The units along one of the new axes that some of these channels become."""
    found = 0
    for channel in range(size):
        if channels >> channel & 1:
            found |= 1 << channel // each % units
    return found
