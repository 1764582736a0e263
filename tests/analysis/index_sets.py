"""An oracle without floating-point numbers: for every unit of every tensor, the set of input pixels that it reads.

Sets are bits of 64-bit words, carried through the network layer by layer in running order, clipped at each layer as a
run would: a unit in the padding does not exist. Channels are kept apart. A unit holds two sets: `local`, what it reads
by paths that have not seen everything, and `every`, what it depends on at all, statistics of norms included.

Which paths see everything is the rule of `docs/analysis.md`: an operator that reads the whole of an axis gives strips
while another axis of more than one unit is left, and everything otherwise. Where local paths meet such paths, those
that have seen everything are context beside them.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from itertools import pairwise
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import torch
from taps import clipped, taps, whole_axes

from cnnspec.graph import INPUT, Graph, Node
from cnnspec.ops import JOINS, Shape, conv, merge, norm, pool
from cnnspec.ops.linear import Linear
from cnnspec.ops.reshape import ChannelShuffle, Flatten, Permute, Slice

sys.path.insert(0, str(Path(__file__).parent.parent / "ops"))
from references import reference

__all__ = ["Layout", "Seen", "index_sets", "sees_all", "transform"]

Array = np.ndarray[Any, Any]
_WINDOWS = (
    "Conv",
    "StdConv",
    "ScaledStdConv",
    "ConvTranspose",
    "MaxPool",
    "AvgPool",
    "LPPool",
    "AdaptiveAvgPool",
    "AdaptiveMaxPool",
    "BlurPool",
)
_PADS = ("ZeroPad", "ConstantPad")
_COPYING = ("ReflectionPad", "ReplicationPad", "CircularPad")


@dataclass(frozen=True)
class Layout:
    """Where the spatial axes of the network's input lie on a tensor."""

    place: tuple[int | None, ...]  # the tensor's axis (0 is the channels); None: one unit, taken in by Flatten
    units: tuple[int, ...]  # along each axis of the input; of a lost one, those that it had
    lost: frozenset[int] = frozenset()  # axes of the input that Flatten made one with others
    odd: bool = False  # a spatial axis was treated as channels, or branches do not agree: no field to speak of


@dataclass(frozen=True)
class Seen:
    """What the units of one tensor read; arrays begin with the tensor's axes."""

    local: Array  # uint64 words; 0 where a unit sees everything
    every: Array
    everything: Array  # bool
    context: Array  # bool
    layout: Layout
    pixels: Shape  # of the network's input

    @property
    def sees_everything(self) -> bool:
        return bool(self.everything.all())

    @property
    def global_context(self) -> bool:
        return bool((self.everything | self.context).any())

    def reads(self, channel: int | None = None) -> Array:
        """A bool for each unit (along the axes of the input, in order) and each pixel; over all channels, or of one.

        Channels that see everything count only where no other is.
        """
        flags = self.everything
        local, every = self.local, self.every
        if channel is not None:
            flags, local, every = (array[channel : channel + 1] for array in (flags, local, every))
        places = [place for place in self.layout.place if place is not None]
        rest = tuple(axis for axis in range(flags.ndim) if axis not in places)
        order = (*places, *rest)
        words = every if flags.all() else local
        joined = np.bitwise_or.reduce(words.transpose(*order, flags.ndim), axis=tuple(range(len(places), flags.ndim)))
        bits = np.unpackbits(np.ascontiguousarray(joined).view(np.uint8), axis=-1, bitorder="little")
        return bits[..., : prod(self.pixels)].astype(bool).reshape(*self.layout.units, *self.pixels)


def _moved(node: Node) -> Array | None:
    """Of an operator that only moves values: the flat input index of each output, as torch moves a ramp."""
    op, shape = node.op, node.input_shapes[0]
    name = type(op).__name__
    if name not in ("Slice", "ChannelShuffle", "PixelShuffle", "Permute", "Flatten", "Reshape", "Unflatten", *_COPYING):
        return None
    ramp = torch.arange(prod(shape), dtype=torch.float64).reshape(1, *shape)
    given = {key: getattr(op, key) for key in type(op).fields() if key != "rank"}
    found = reference(op.op_name, given, (shape,))(ramp)
    index: Array = found[0].to(torch.int64).numpy()
    return index


def transform(node: Node, inputs: list[Array], union: Any, *, clamp: bool = False) -> Array:
    """What becomes of an array over the units of what a node reads: `union` over the inputs of each unit.

    Axes behind those of the tensor are left alone. With `clamp`, a unit in the padding counts as the one at the border.
    """
    op, x, rank = node.op, inputs[0], len(node.input_shapes[0])
    if isinstance(op, merge.Concat):
        return np.concatenate(inputs, axis=op.axis(node.shape))
    if isinstance(op, merge.ELEMENTWISE):
        for other in inputs[1:]:
            x = union(x, other)
        return x
    if (index := _moved(node)) is not None:
        return x.reshape(-1, *x.shape[rank:])[index]
    if isinstance(op, (conv.AbstractSlidingConv, conv.ConvTranspose)):
        grouped = union.reduce(x.reshape(op.groups, -1, *x.shape[1:]), axis=1)
        x = np.repeat(grouped, op.out_channels // op.groups, axis=0)
    elif isinstance(op, norm.LocalResponseNorm):
        table = [
            [c for c in range(at - op.size // 2, at + (op.size - 1) // 2 + 1) if 0 <= c < len(x)]
            for at in range(len(x))
        ]
        x = _gather(x, 0, table, union)
    gone = _gone(node)
    given = iter(node.shape)
    out = tuple(1 if axis in gone else next(given) for axis in range(len(node.input_shapes[0])))
    for axis in range(len(node.input_shapes[0])):
        if axis == 0 and isinstance(op, (conv.AbstractSlidingConv, conv.ConvTranspose, norm.LocalResponseNorm)):
            continue
        size, units = node.input_shapes[0][axis], out[axis]
        if axis in whole_axes(node):
            joined = union.reduce(x, axis=axis, keepdims=True)
            x = np.repeat(joined, units, axis=axis)
        elif size == 1 < units and isinstance(op, Linear):
            x = np.repeat(x, units, axis=axis)
        elif axis > 0 and (type(op).__name__ in (*_WINDOWS, *_PADS, "Upsample")):
            found = taps(node, axis)
            table = clipped(found, size, units)
            if isinstance(op, pool.BlurPool):
                table = [sorted({_copied(tap, size, "reflect") for tap in found.reads(i)}) for i in range(units)]
            if getattr(op, "padding_mode", "zeros") != "zeros":
                table = [sorted({_copied(tap, size, op.padding_mode) for tap in found.reads(i)}) for i in range(units)]
            if clamp:
                table = [row or [min(max(next(iter(found.reads(i)), 0), 0), size - 1)] for i, row in enumerate(table)]
            x = _gather(x, axis, table, union)
    return x.reshape(*node.shape, *x.shape[rank:])


def _copied(tap: int, size: int, mode: str) -> int:
    """The input of which a copy stands at `tap`, which may lie outside."""
    if mode == "circular":
        return tap % size
    if mode == "replicate":
        return min(max(tap, 0), size - 1)
    return abs(tap) if tap < size else 2 * (size - 1) - tap


def _gone(node: Node) -> set[int]:
    """The axes of the input that a mean, a sum or an extreme drops."""
    op, rank = node.op, len(node.input_shapes[0])
    if type(op).__name__ not in ("Mean", "Sum", "Amax", "Amin") or op.keepdim:  # type: ignore[union-attr]
        return set()
    return {(dim - 1) % (rank + 1) for dim in op.dim}  # type: ignore[union-attr]


def _gather(x: Array, axis: int, table: list[list[int]], union: Any) -> Array:
    """The union over the inputs listed for each output along an axis; zeros where none is listed."""
    longest = max(1, *map(len, table))
    rows = np.array([row + row[-1:] * (longest - len(row)) if row else [0] * longest for row in table])
    taken = np.take(x, rows.reshape(-1), axis=axis)
    joined: Array = union.reduce(taken.reshape(*x.shape[:axis], *rows.shape, *x.shape[axis + 1 :]), axis=axis + 1)
    joined[(slice(None),) * axis + (np.array([not row for row in table]),)] = 0
    return joined


def index_sets(graph: Graph) -> dict[str, Seen]:
    """What every node's units see, and the input's own under its name."""
    shape = graph.input_shape
    pixels, count = shape[1:], prod(shape[1:])
    start = np.zeros((count, -(-count // 64)), np.uint64)
    for pixel in range(count):
        start[pixel, pixel // 64] = np.uint64(1 << pixel % 64)
    bits = np.broadcast_to(start.reshape(*pixels, -1), (*shape, start.shape[1]))
    no = np.zeros(shape, bool)
    states = {INPUT: Seen(bits, bits, no, no, Layout(tuple(range(1, len(shape))), pixels), pixels)}
    for node in graph:
        states[node.name] = _after(node, [states[name] for name in node.inputs])
    return states


def _after(node: Node, before: list[Seen]) -> Seen:
    local = transform(node, [state.local for state in before], np.bitwise_or)
    shared = all(state.every is state.local for state in before)
    every = local if shared else transform(node, [state.every for state in before], np.bitwise_or)
    everything = transform(node, [state.everything for state in before], np.logical_and, clamp=True)
    context = transform(node, [state.context | state.everything for state in before], np.logical_or, clamp=True)
    layout = _layout(node, before)
    op = node.op
    if isinstance(op, (norm.BatchNorm, norm.GroupNorm, norm.InstanceNorm, norm.GRN)) and op.global_statistics:
        groups = op.num_groups if isinstance(op, norm.GroupNorm) else 1 if isinstance(op, norm.GRN) else node.shape[0]
        split = every.reshape(groups, -1, every.shape[-1])
        joined = np.bitwise_or.reduce(split, axis=1, keepdims=True)
        every, context = np.broadcast_to(joined, split.shape).reshape(every.shape), np.ones_like(context)
    if isinstance(op, merge.Concat):  # channels stay apart
        context = np.concatenate([state.context for state in before], axis=op.axis(node.shape))
    if sees_all(node, before[0].layout):
        everything, local = np.ones_like(everything), np.zeros_like(local)
    if everything.any() and local is not every:
        local = np.where(everything[..., None], np.uint64(0), local)
    elif everything.any():
        every, local = local, np.where(everything[..., None], np.uint64(0), local)
    return Seen(local, every, everything, context, layout, before[0].pixels)


def sees_all(node: Node, layout: Layout) -> bool:
    """Whether a node reads all that is left of what its input has seen."""
    shape = node.input_shapes[0]
    carrying = {place for place in layout.place if place is not None and shape[place] > 1}
    merged = {layout.place[axis] for axis in layout.lost}
    if type(node.op).__name__ in (*_WINDOWS, *_PADS, *_COPYING, "Upsample"):
        for axis in merged - {0, None}:
            if taps(node, axis or 0).reads(0) != (0,):  # which pixels are neighbours there is not known
                return True
    whole = whole_axes(node) & carrying
    return bool(whole) and not carrying - whole


def _layout(node: Node, before: list[Seen]) -> Layout:
    op, shape = node.op, node.input_shapes[0]
    layout = before[0].layout
    if isinstance(op, JOINS):
        local = [state for state in before if not state.sees_everything] or before
        layout = local[0].layout
        alike = {(state.layout.place, state.layout.lost) for state in local}
        odd = len(alike) > 1 or any(state.layout.odd for state in local)
        layout = replace(layout, odd=odd or (isinstance(op, merge.Concat) and op.axis(node.shape) in layout.place))
    elif isinstance(op, Permute):
        order = op.permuted(shape)
        return replace(layout, place=tuple(None if at is None else order.index(at) for at in layout.place))
    elif isinstance(op, Flatten):
        return _flattened(layout, op, shape)
    elif isinstance(op, Slice) and (cut := op.axis(shape)):
        layout = replace(layout, odd=layout.odd or any(layout.place[axis] == cut for axis in layout.lost))
    elif type(op).__name__ in ("Reshape", "Unflatten"):
        return _reshaped(layout, shape, node.shape)
    elif gone := _gone(node):
        kept = [axis for axis in range(len(shape)) if axis not in gone]
        place = tuple(None if at is None or at in gone else kept.index(at) for at in layout.place)
        units = tuple(1 if at in gone else count for at, count in zip(layout.place, layout.units, strict=True))
        lost = {axis for axis in layout.lost if layout.place[axis] not in gone}
        return replace(layout, place=place, units=units, lost=frozenset(lost))
    elif isinstance(op, (Slice, ChannelShuffle, norm.LocalResponseNorm)) or getattr(op, "groups", 1) > 1:
        carried = any(at == 0 and shape[0] > 1 for at in layout.place)
        layout = replace(layout, odd=layout.odd or carried)
    elif type(op).__name__ == "PixelShuffle":
        layout = replace(layout, odd=layout.odd or 0 in layout.place)
    places = enumerate(zip(layout.place, layout.units, strict=True))
    units = (count if at is None or axis in layout.lost else node.shape[at] for axis, (at, count) in places)
    return replace(layout, units=tuple(units))


def _flattened(layout: Layout, op: Flatten, shape: Shape) -> Layout:
    first, last = op.merged(shape)
    total = prod(shape[first : last + 1])
    place: list[int | None] = []
    lost = set(layout.lost)
    for axis, at in enumerate(layout.place):
        if at is None or at < first:
            place.append(at)
        elif at > last:
            place.append(at - (last - first))
        elif shape[at] == 1:
            place.append(None)
        else:
            place.append(first)
            if shape[at] < total:
                lost.add(axis)
    return replace(layout, place=tuple(place), lost=frozenset(lost))


def cut_axes(shape: Shape, out: Shape) -> dict[int, int | None]:
    """For each axis of more than one unit the axis that it becomes a part of; None where it becomes several."""
    borders, ends = ({prod(sizes[:stop]) for stop in range(len(sizes) + 1)} for sizes in (shape, out))
    common = sorted(borders & ends)
    found: dict[int, int | None] = {}
    for low, high in pairwise(common):
        axes = [axis for axis, size in enumerate(shape) if size > 1 and low <= prod(shape[:axis]) < high]
        own = [axis for axis, size in enumerate(out) if size > 1 and low <= prod(out[:axis]) < high]
        found |= dict.fromkeys(axes, own[0] if len(own) == 1 else None)
    return found


def _reshaped(layout: Layout, shape: Shape, out: Shape) -> Layout:
    """Axes that are cut count as read whole; those that are merged with others are lost."""
    becomes = cut_axes(shape, out)
    place: list[int | None] = []
    units = list(layout.units)
    lost = set(layout.lost)
    for axis, at in enumerate(layout.place):
        to = None if at is None else becomes.get(at)
        place.append(to)
        if to is None:
            units[axis] = 1 if at is not None else units[axis]
            lost -= {axis} if at is not None else set()
        elif at is not None and shape[at] < out[to]:
            lost.add(axis)
    return replace(layout, place=tuple(place), units=tuple(units), lost=frozenset(lost))
