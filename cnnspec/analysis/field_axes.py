"""Where what is seen lies after the axes of a tensor are merged, cut or dropped.

Each function gives a field whose parts lie where they should, and what becomes of each band.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from math import prod
from typing import NamedTuple

from cnnspec.analysis.bands import GONE, Band
from cnnspec.analysis.field_state import MOST_CHANNELS, Part, TensorField
from cnnspec.ops import Shape

__all__ = ["Rearranged", "merged_axes", "without_axes"]

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
