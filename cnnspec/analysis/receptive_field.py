"""Receptive fields on any graph, exactly, in one pass from the input.

After Araujo, Norris and Sim, *Computing Receptive Fields of Convolutional Neural Networks* (Distill, 2019), made
general: along one axis `bands` says what units read. A join takes the union of its branches; branches whose strides
differ cannot be one band, so a field is a tuple of bands, and a unit reads what any of them reads.

Channels of one tensor may see different things: a `TensorField` says which of them see what.

A path through a global pool, or through a dense layer, sees everything: it sets `through_global`, and the bands go on
to describe the local paths. Where paths meet, those that are global count as context beside those that are not. A pool
over some of the axes alone gives strips: all of those axes, and still a place on the others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial
from itertools import chain, product
from typing import Final

from cnnspec.analysis.bands import (
    Band,
    Bands,
    broadcast,
    carried,
    distinct,
    moved_on,
    pixel,
    slide,
    smallest,
    take_turns,
    union,
    weight,
)
from cnnspec.analysis.field_axes import Rearranged, merged_axes, regrouped_axes, without_axes
from cnnspec.analysis.field_state import (
    ALL,
    MOST_CHANNELS,
    FieldState,
    Part,
    TensorField,
    joint_terms,
    regrouped,
    too_irregular,
    united,
)
from cnnspec.analysis.field_work import TooIrregular, Work
from cnnspec.graph import INPUT, Graph, Node
from cnnspec.ops import JOINS, REDUCTIONS, AnyOp, Shape
from cnnspec.ops.merge import Concat
from cnnspec.ops.norm import GRN, BatchNorm, GroupNorm, InstanceNorm
from cnnspec.ops.resample import PixelShuffle
from cnnspec.ops.reshape import Flatten, Permute
from cnnspec.ops.unflatten import Reshape, Unflatten
from cnnspec.ops.window import POINT, Global, Shuffled, Sliding, Window

__all__ = ["fields", "read_windows"]

MOST_PHASES_TOGETHER: Final = 2**20  # of all layers; those of one are bounded where bands are made


def fields(graph: Graph, work: Work | None = None) -> dict[str, TensorField]:
    """The field of every node, and of the input under its own name; `work` is what it may take, with whoever shares it.

    Raises SpecError for one that is too irregular.
    """
    return _Walk(graph, work or Work()).over(graph.nodes)


def read_windows(op: AnyOp, shape: Shape) -> tuple[Window, ...]:
    """What one output unit reads along each axis of the input, the first of which is the channels."""
    return (op.channel_window(shape), *op.windows(shape))


class _Walk:
    """One pass over the nodes. What was worked out is kept by identity: equal layers share operators and states."""

    def __init__(self, graph: Graph, work: Work) -> None:
        self.graph, self.work = graph, work
        pixels = tuple(pixel(axis) for axis in range(1, len(graph.input_shape)))
        self.start = TensorField((Part(ALL, FieldState(pixels, pixels)),), 0, True)
        # None: pointwise; and whether only channels are mixed
        self.windows: dict[tuple[int, Shape], tuple[tuple[Window, ...] | None, bool]] = {}
        self.bands: dict[tuple[int, Window, int], tuple[Bands, Bands]] = {}  # the value keeps the key's bands alive
        self.unions: dict[tuple[int, ...], tuple[Sequence[FieldState], FieldState]] = {}
        start = self.start.parts[0].state
        self.known: dict[FieldState, FieldState] = {start: start}  # equal states are one object
        self.phases = 0  # of all states

    def over(self, nodes: Iterable[Node]) -> dict[str, TensorField]:
        states = {INPUT: self.start}
        for node in nodes:
            try:
                if isinstance(node.op, JOINS):
                    states[node.name] = self.joined([states[name] for name in node.inputs], node)
                else:
                    states[node.name] = self.after(states[node.inputs[0]], node)
            except TooIrregular as error:
                raise too_irregular(node, self.graph, str(error)) from None
        return states

    def after(self, field: TensorField, node: Node) -> TensorField:
        """The field behind an operator with one input."""
        op, shape = node.op, node.input_shapes[0]
        if isinstance(op, Flatten):
            first, last = op.merged(shape)
            return field if first == last else self.placed(merged_axes(field, shape, first, last, self.merged))
        if isinstance(op, (Reshape, Unflatten)):
            groups = op.regroupings(shape)
            return self.placed(regrouped_axes(field, shape, node.shape, groups, self.merged, self.work))
        if isinstance(op, REDUCTIONS) and (gone := op.gone(shape)):
            kept = self.through(field, replace(node, shape=op.kept_shape(shape)))
            return self.placed(without_axes(kept, shape, gone))
        if isinstance(op, Permute):
            order = op.permuted(shape)
            moved = self.moved(field, lambda band: carried(band, order.index, len(shape)))
            return moved._replace(axis=order.index(field.axis))
        return self.through(field, node)

    def through(self, field: TensorField, node: Node) -> TensorField:
        """The field behind windows, on axes that stay where they are."""
        op, shape = node.op, node.input_shapes[0]
        key = id(op), shape
        if key not in self.windows:
            sizes = zip(read_windows(op, shape), shape, node.shape, strict=True)
            windows = tuple(
                POINT if isinstance(window, Global) and size == out == 1 else window for window, size, out in sizes
            )
            still = all(window == POINT for window in windows[1:]) and not _gathers(op)
            self.windows[key] = None if still and windows[0] == POINT else windows, still
        chosen, still = self.windows[key]
        if chosen is None:
            return field
        if len(field.parts) == 1:
            state = field.parts[0].state
            if still and not state.lies_on(0):
                return field
            return field._replace(parts=(Part(ALL, self.slid(state, op, chosen, shape)),))
        if isinstance(op, PixelShuffle) and field.axis == 0:
            return self.shuffled(field, op, chosen, node)
        groups = regrouped(field.parts, chosen[field.axis], shape[field.axis], node.shape[field.axis])
        parts = []
        for channels, states in groups:
            state = self.union(states)
            if not still or state.lies_on(0):
                state = self.slid(state, op, chosen, shape)
            parts.append(Part(channels, state))
        return self.tensor(parts, field.axis, node.shape)

    def tensor(self, parts: Iterable[Part], axis: int, shape: Shape) -> TensorField:
        """The field of channels with these states, for a tensor of this shape."""
        alike: dict[int, Part] = {}
        for part in parts:
            seen = alike.setdefault(id(part.state), part)
            if seen is not part:
                alike[id(part.state)] = Part(seen.channels | part.channels, part.state)
        union = self.union([part.state for part in alike.values()])
        if len(alike) == 1 or shape[axis] > MOST_CHANNELS:
            return TensorField((Part(ALL, union),), axis, union.aligned)
        return TensorField(tuple(alike.values()), axis, union.aligned)

    def moved(self, field: TensorField, band: Callable[[Band], Band]) -> TensorField:
        """The field with each band changed."""
        parts = tuple(part._replace(state=self.same(part.state.moved(band))) for part in field.parts)
        return field._replace(parts=parts)

    def placed(self, rearranged: Rearranged) -> TensorField:
        """The field on axes that lie elsewhere."""
        return self.moved(rearranged.field, rearranged.band)

    def same(self, state: FieldState) -> FieldState:
        """The state that is equal to this one."""
        if (known := self.known.get(state)) is not None:
            return known
        self.phases += sum(map(weight, state.wide))
        if self.phases > MOST_PHASES_TOGETHER:
            raise TooIrregular("so do those of many layers before it")
        self.known[state] = state
        return state

    def slid(self, state: FieldState, op: AnyOp, windows: tuple[Window, ...], shape: Shape) -> FieldState:
        """What is seen behind windows, on each axis of a tensor of this shape."""
        together = partial(union, work=self.work)
        closing = opening = False
        for bands in state.wide:
            for band in bands:
                if band.carrier < len(shape) and band.units(shape) > 1:
                    whole = _is_whole(windows[band.carrier], band)
                    closing, opening = closing or whole, opening or not whole
        everything = closing and not opening  # no axis is left on which the units have a place
        wide = tuple([self.slid_bands(bands, windows, shape, everything, together) for bands in state.wide])
        paths = wide
        if state.paths is not state.wide:
            paths = tuple(
                [
                    there
                    if bands is before and len(bands) == 1
                    else self.slid_bands(bands, windows, shape, everything, distinct if state.terms else smallest)
                    for bands, before, there in zip(state.paths, state.wide, wide, strict=True)
                ]
            )
        slid = (
            tuple(self.slid_bands((band,), windows, shape, everything, together)[0] for band in term)
            for term in state.terms
        )
        context = state.context or _gathers(op)
        return self.same(
            FieldState(wide, paths, state.through_global or everything, context, state.aligned, joint_terms([slid]))
        )

    def slid_bands(
        self,
        bands: Bands,
        windows: tuple[Window, ...],
        shape: Shape,
        everything: bool,
        together: Callable[[Iterable[Band]], Bands],
    ) -> Bands:
        if len(bands) == 1:
            (band,) = bands
            if band.carrier >= len(shape):
                return bands
            window = windows[band.carrier]
            if window == POINT or (band.lost and _keeps_apart(window)):
                return bands
            if _is_whole(window, band):
                if everything:
                    return bands
                window = Global()
            key = id(bands), window, band.units(shape) if isinstance(window, Global) else 0
            if key not in self.bands:
                self.bands[key] = bands, (slide(band, window, band.units(shape), self.work),)
            return self.bands[key][1]
        each = [self.slid_bands((band,), windows, shape, everything, together) for band in bands]
        return together(chain.from_iterable(each))

    def union(self, states: Sequence[FieldState]) -> FieldState:
        """What is seen where units of these states are read at one place: those that are local, if any is."""
        if len(states) == 1:
            return states[0]
        key = tuple(map(id, states))
        known = self.unions.get(key)
        if known is None:
            before = self.unions.get(key[:-1])  # dense concatenations grow by one state at a time
            together = united([before[1], states[-1]] if before else states, self.work)
            known = self.unions[key] = states, self.same(together)
        return known[1]

    def merged(self, field: TensorField) -> TensorField:
        """The field as if every channel saw what any does."""
        return field._replace(parts=(Part(ALL, self.union(field.all_states)),))

    def joined(self, before: list[TensorField], node: Node) -> TensorField:
        """The field of a sum, a product or a concatenation."""
        if isinstance(node.op, Concat):
            return self.concatenated(before, node)
        axis = before[0].axis
        if any(field.axis != axis for field in before):
            before = [self.merged(field) for field in before]
        parts: list[tuple[int, tuple[FieldState, ...]]] = [(ALL, ())]
        for field, shape in zip(before, node.input_shapes, strict=True):
            if shape != node.shape:
                field = self.moved(field, partial(broadcast, shape=shape, out=node.shape))
            parts = [
                (channels & others, states if state in states else (*states, state))
                for channels, states in parts
                for others, state in field.parts
                if channels & others
            ]
        return self.tensor([Part(channels, self.union(states)) for channels, states in parts], axis, node.shape)

    def concatenated(self, before: list[TensorField], node: Node) -> TensorField:
        """Their units one after the other, along one axis, which is that of the channels unless `dim` says another."""
        assert isinstance(node.op, Concat)
        axis = node.op.axis(node.shape)
        parts: list[Part] = []
        start = 0
        for field, shape in zip(before, node.input_shapes, strict=True):
            if field.axis != axis:
                field = self.merged(field)
            if start and any(state.lies_on(axis) for state in field.all_states):
                field = self.moved(field, partial(moved_on, axis=axis, start=start, work=self.work))
            if start or len(field.parts) == 1:
                every = (1 << shape[axis]) - 1 if node.shape[axis] <= MOST_CHANNELS else ALL
                parts += [Part((channels & every) << start, state) for channels, state in field.parts]
            else:
                parts += field.parts
            start += shape[axis]
        return self.tensor(parts, axis, node.shape)

    def shuffled(self, field: TensorField, op: PixelShuffle, windows: tuple[Window, ...], node: Node) -> TensorField:
        """What is seen where r*r channels that see different things become one: a unit reads one of them."""
        factor, shape = op.upscale_factor, node.input_shapes[0]
        parts = []
        for channel in range(node.shape[0]):
            states = [
                next(part.state for part in field.parts if part.channels >> read & 1)
                for read in range(channel * factor**2, (channel + 1) * factor**2)
            ]
            if all(state is states[0] for state in states):
                parts.append(Part(1 << channel, self.slid(states[0], op, windows, shape)))
            else:
                parts.append(Part(1 << channel, self.same(self.interleaved(states, factor))))
        return self.tensor(parts, 0, node.shape)

    def interleaved(self, states: Sequence[FieldState], factor: int) -> FieldState:
        """Unit (y, x) reads state number `(y % r)*r + x % r`."""
        whole = self.union(list(dict.fromkeys(states)))
        places: dict[FieldState, list[tuple[int, int]]] = {}
        for index, state in enumerate(states):
            if state.through_global == whole.through_global:
                places.setdefault(state, []).append(divmod(index, factor))
        wide, paths = [], []
        for axis in range(len(whole.wide)):
            all_bands = [
                take_turns(band, factor, turns) for state, turns in places.items() for band in state.wide[axis]
            ]
            least = [take_turns(band, factor, turns) for state, turns in places.items() for band in state.paths[axis]]
            wide.append(union(all_bands, self.work))
            paths.append(smallest(least))
        terms = joint_terms(
            [tuple(take_turns(band, factor, [place]) for band in term)]
            for state, turns in places.items()
            for place in turns
            for term in state.terms or product(*state.wide)
        )
        return whole._replace(wide=tuple(wide), paths=tuple(paths), terms=terms)


def _gathers(op: AnyOp) -> bool:
    """Whether every unit depends on statistics of all of its channel, or of its group."""
    return isinstance(op, (BatchNorm, GroupNorm, InstanceNorm, GRN)) and op.global_statistics


def _keeps_apart(window: Window) -> bool:
    """Whether each unit reads one unit, and no two the same."""
    return isinstance(window, Shuffled) or (isinstance(window, Sliding) and window.kernel == 1)


def _is_whole(window: Window, band: Band) -> bool:
    """Whether units read all of the band's axis. Which units are neighbours on a flattened axis is not known."""
    return isinstance(window, Global) or (band.lost > 0 and not _keeps_apart(window))
