"""The figures of a receptive field as reports have them: of a tensor, and of its channels where they differ."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from itertools import pairwise
from typing import Any, NamedTuple

from cnnspec.analysis.band_figures import centre, hull, joint_figures, pixels_read, span
from cnnspec.analysis.bands import Band, Bands
from cnnspec.analysis.field_state import FieldState, TensorField
from cnnspec.ops import Shape, show_shape

__all__ = [
    "ChannelField",
    "FieldFigures",
    "FieldParts",
    "FieldViews",
    "channel_fields",
    "channel_ranges",
    "plain_number",
]


class FieldFigures(NamedTuple):
    """What units see, per spatial axis of the input, in pixels: the largest over the units."""

    receptive_field: tuple[int, ...]
    effective_stride: tuple[Fraction, ...]
    effective_padding: tuple[int, ...]
    min_receptive_field: tuple[int, ...]
    pixels_read: tuple[int, ...]  # of the span: less than it where dilation leaves holes
    centre: tuple[Fraction, ...]  # of unit 0, averaged over the units of one period
    sees_everything: bool  # every path leads through a global pool or a dense layer
    global_context: bool  # some path does
    aligned: bool  # all paths have one stride and one centre

    @property
    def text(self) -> str:
        """The receptive field as tables have it: `7x7`, `7x7*` with global context beside it, `all`."""
        if not self.receptive_field:
            return "-"
        if self.sees_everything:
            return "all"
        return show_shape(self.receptive_field) + ("*" if self.global_context else "")

    def to_dict(self) -> dict[str, Any]:
        """The figures as `--format json` prints them."""
        return {
            "receptive_field": list(self.receptive_field),
            "effective_stride": [plain_number(stride) for stride in self.effective_stride],
            "effective_padding": list(self.effective_padding),
            "min_receptive_field": list(self.min_receptive_field),
            "pixels_read": list(self.pixels_read),
            "centre": [plain_number(place) for place in self.centre],
            "global_context": self.global_context,
            "sees_everything": self.sees_everything,
            "aligned": self.aligned,
        }


class ChannelField(NamedTuple):
    """What some channels of a layer see, where not all see the same. Each range is (start, stop, step), as Python's."""

    channels: tuple[tuple[int, int, int], ...]
    figures: FieldFigures

    def to_dict(self) -> dict[str, Any]:
        """The channels and their figures as `--format json` prints them."""
        return {"channels": [list(part) for part in self.channels], **self.figures.to_dict()}


FieldParts = tuple[tuple[int, FieldFigures], ...]  # channels as bits, and what they see; () where all see the same


def channel_fields(parts: FieldParts) -> tuple[ChannelField, ...]:
    """The parts with their channels written out."""
    return tuple(ChannelField(channel_ranges(channels), figures) for channels, figures in parts)


class FieldViews:
    """The figures of the tensors of one graph; those that see alike are worked out once."""

    def __init__(self) -> None:
        self._states: dict[tuple[int, Shape, int], FieldFigures] = {}
        self._tensors: dict[tuple[int, Shape], tuple[FieldFigures, FieldParts]] = {}

    def of(self, field: TensorField, shape: Shape) -> tuple[FieldFigures, FieldParts]:
        """The figures of a tensor of this shape, and those of its channels where they differ.

        `field` must live as long as this object.
        """
        key = id(field), shape
        if key not in self._tensors:
            self._tensors[key] = self._worked_out(field, shape)
        return self._tensors[key]

    def _worked_out(self, field: TensorField, shape: Shape) -> tuple[FieldFigures, FieldParts]:
        if len(field.parts) == 1:
            return self._figures(field.parts[0].state, shape), ()
        known, inner = self._states, shape[1:]
        parts = tuple(
            [
                (channels, known.get((id(state), inner, 0)) or self._figures(state, shape))
                for channels, state in field.parts
            ]
        )
        local = [figures for _, figures in parts if not figures.sees_everything]
        along = field.axis > 0 and any(state.lies_on(field.axis) for _, state in field.parts)  # places, not channels
        return _largest(local or [parts[0][1]], field.global_context, field.aligned), () if along else parts

    def _figures(self, state: FieldState, shape: Shape) -> FieldFigures:
        """What a state's units see; the number of channels matters only where an axis lies along them."""
        key = (id(state), shape, 1) if state.lies_on(0) else (id(state), shape[1:], 0)
        if key not in self._states:
            self._states[key] = _figures(state, shape)
        return self._states[key]


def _figures(state: FieldState, shape: Shape) -> FieldFigures:
    wide = tuple([span(bands, shape) for bands in state.wide])
    least = wide
    if state.paths is not state.wide:
        least = tuple([min(span((band,), shape) for band in bands) for bands in _read_paths(state, shape)])
    read = tuple([pixels_read(bands, shape, size) for bands, size in zip(state.wide, wide, strict=True)])
    if state.terms and (joint := joint_figures(state.terms, shape)):
        wide, read = (tuple(figures) for figures in zip(*joint, strict=True))
    firsts = [hull(bands, 0) for bands in state.wide]
    return FieldFigures(
        receptive_field=wide,
        effective_stride=tuple([max([band.stride for band in bands]) for bands in state.wide]),
        effective_padding=tuple([-first.low if first else 0 for first in firsts]),
        min_receptive_field=least,
        pixels_read=read,
        centre=tuple([centre(bands[0]) for bands in state.wide]),
        sees_everything=state.through_global,
        global_context=state.global_context,
        aligned=state.aligned,
    )


def _read_paths(state: FieldState, shape: Shape) -> tuple[Bands, ...]:
    """The paths on each axis, without those by which nothing is read: on another axis their units are left out."""
    read: list[set[Band]] = [set() for _ in state.paths]
    unread: list[set[Band]] = [set() for _ in state.paths]
    for term in state.terms:
        kept = read if all(span((band,), shape) for band in term) else unread
        for seen, band in zip(kept, term, strict=True):
            seen.add(band)
    alternatives: list[Bands] = []
    for bands, alive, dead in zip(state.paths, read, unread, strict=True):
        left = tuple([band for band in bands if band in alive or band not in dead])
        alternatives.append(left or bands)
    return tuple(alternatives)


def _largest(parts: Sequence[FieldFigures], context: bool, aligned: bool) -> FieldFigures:
    """On each axis the figures of the channels that see most."""
    if not parts[0].receptive_field:
        return parts[0]
    spans = zip(*[part.receptive_field for part in parts], strict=True)
    pixels = list(zip(*[part.pixels_read for part in parts], strict=True))
    most = []
    for axis, sizes in enumerate(spans):
        size = max(sizes)
        alike = [number for number, other in enumerate(sizes) if other == size] if sizes.count(size) > 1 else ()
        most.append(max(alike, key=lambda number: (pixels[axis][number], number)) if alike else sizes.index(size))
    of_axis = [(axis, parts[number]) for axis, number in enumerate(most)]
    return FieldFigures(
        receptive_field=tuple([part.receptive_field[axis] for axis, part in of_axis]),
        effective_stride=tuple([part.effective_stride[axis] for axis, part in of_axis]),
        effective_padding=tuple([part.effective_padding[axis] for axis, part in of_axis]),
        min_receptive_field=tuple(map(min, *[part.min_receptive_field for part in parts]))
        if len(parts) > 1
        else parts[0].min_receptive_field,
        pixels_read=tuple(map(max, pixels)),
        centre=tuple([part.centre[axis] for axis, part in of_axis]),
        sees_everything=parts[0].sees_everything,
        global_context=context,
        aligned=aligned,
    )


def channel_ranges(bits: int) -> tuple[tuple[int, int, int], ...]:
    """Channels as (start, stop, step): neighbours, or single ones at one distance, are one range."""
    ranges: list[tuple[int, int, int]] = []
    start = 0
    while bits:
        skipped = (bits & -bits).bit_length() - 1
        bits >>= skipped
        length = (~bits & (bits + 1)).bit_length() - 1
        bits >>= length
        start += skipped
        ranges.append((start, start + length, 1))
        start += length
    gaps = {later[0] - earlier[0] for earlier, later in pairwise(ranges)}
    if len(gaps) == 1 and all(stop - first == 1 for first, stop, _ in ranges):
        return ((ranges[0][0], ranges[-1][1], gaps.pop()),)
    return tuple(ranges)


def plain_number(value: Fraction) -> int | float:
    """A fraction as JSON has it: a whole number where it is one."""
    return int(value) if value.denominator == 1 else float(value)
