"""Receptive fields on any graph, exactly, in one pass from the input.

After Araujo, Norris and Sim, *Computing Receptive Fields of Convolutional Neural Networks* (Distill, 2019), made
general. Along one axis, the pixels that unit `i` reads repeat with `i`: a `Band` says them for the units of one
period, and how many pixels further on the next period reads. One path through convolutions and pools is one band of
period 1. Upsampling makes the period longer. A join takes the union of its branches; branches whose strides differ
cannot be one band, so a field is a tuple of bands, and a unit reads what any of them reads.

A path through a global pool, or through a dense layer, sees everything: it sets `through_global`, and the bands go on
to describe the local paths. At a join, paths that are global count as context beside those that are not.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from functools import cache
from math import gcd, lcm, prod
from typing import Final, NamedTuple

from cnnspec.graph import INPUT, Graph, Node
from cnnspec.ops import JOINS, AnyOp, Shape
from cnnspec.ops.activation import Softmax
from cnnspec.ops.conv import Conv, ConvTranspose
from cnnspec.ops.linear import Linear
from cnnspec.ops.norm import GroupNorm, InstanceNorm, LayerNorm
from cnnspec.ops.reshape import Flatten, Permute
from cnnspec.ops.window import POINT, Global, Sliding, Window

__all__ = ["AxisField", "Band", "FieldState", "fields", "hull", "pixels_read", "span", "spans"]

FEW_TAPS: Final = 64
HOLES_UP_TO: Final = 2**22  # pixels of a span; in a larger one holes are not looked for


class Reads(NamedTuple):
    """The pixels `low` to `high`; `mask` has bit `k` set where `low + k` is read, None where all of them are."""

    low: int
    high: int
    mask: int | None = None

    def shifted(self, pixels: int) -> Reads:
        return Reads(self.low + pixels, self.high + pixels, self.mask)

    @property
    def size(self) -> int:
        return self.high - self.low + 1

    @property
    def bits(self) -> int:
        return (1 << self.size) - 1 if self.mask is None else self.mask


class Band(NamedTuple):
    """What the units of one path read: `phases[i % period]`, shifted by `step` pixels for each whole period."""

    step: int
    phases: tuple[Reads | None, ...]  # None: a unit that reads no pixel

    def at(self, i: int) -> Reads | None:
        """The pixels that unit `i` reads, not clipped to the input."""
        turns, phase = divmod(i, len(self.phases))
        reads = self.phases[phase]
        return reads.shifted(turns * self.step) if reads and turns else reads

    @property
    def stride(self) -> Fraction:
        """Pixels per unit."""
        return _fraction(self.step, len(self.phases))


@cache
def _fraction(numerator: int, denominator: int) -> Fraction:
    return Fraction(numerator, denominator)


AxisField = tuple[Band, ...]
_Windows = dict[tuple[int, Shape], tuple[Window, ...] | None]  # of an operator, by identity; None: pointwise
_Memo = dict[tuple[int, Window], tuple[AxisField, AxisField]]  # by identity; the value keeps the key's field alive

PIXEL: Final[AxisField] = (Band(1, (Reads(0, 0),)),)


def _merge(parts: Sequence[Reads | None]) -> Reads | None:
    """The union."""
    found = [part for part in parts if part is not None]
    if not found:
        return None
    if len(found) == 1:
        return found[0]
    found.sort(key=lambda part: part.low)
    low, high = found[0].low, max(part.high for part in found)
    reached, solid = low - 1, True
    for part in found:
        solid = solid and part.mask is None and part.low <= reached + 1
        reached = max(reached, part.high)
    if solid:
        return Reads(low, high)
    mask = 0
    for part in found:
        mask |= part.bits << (part.low - low)
    return Reads(low, high, None if mask == (1 << (high - low + 1)) - 1 else mask)


def _shortest(step: int, phases: list[Reads | None]) -> Band:
    """The band with the smallest period that says the same."""
    period = len(phases)
    for length in range(1, period // 2 + 1):
        turns = period // length
        if period % length or step % turns:
            continue
        shift = step // turns
        if all(_is_shifted(phases[i], phases[i % length], i // length * shift) for i in range(length, period)):
            return Band(shift, tuple(phases[:length]))
    return Band(step, tuple(phases))


def _is_shifted(reads: Reads | None, base: Reads | None, shift: int) -> bool:
    if reads is None or base is None:
        return reads is base
    return reads.low == base.low + shift and reads.high == base.high + shift and reads.mask == base.mask


def _slide(band: Band, window: Window) -> Band:
    """What the units behind `window` read, given what the units before it read."""
    assert not isinstance(window, Global)
    if isinstance(window, Sliding) and len(band.phases) == 1 and (only := band.phases[0]) is not None:
        taps = window.dilation * band.step
        if only.mask is None and (window.kernel == 1 or taps <= only.size):  # one path of solid windows
            low = only.low - window.before * band.step
            return Band(band.step * window.stride, (Reads(low, low + only.size - 1 + (window.kernel - 1) * taps),))
    period, advance = window.period, window.advance
    turns = len(band.phases) // gcd(advance, len(band.phases))
    phases = [_union(band, window.reads(i)) for i in range(period * turns)]
    return _shortest(band.step * advance * turns // len(band.phases), phases)


def _union(band: Band, taps: Sequence[int]) -> Reads | None:
    """What the units `taps` read together."""
    if not isinstance(taps, range) or len(taps) <= FEW_TAPS:
        return _merge([band.at(tap) for tap in taps])
    if len(band.phases) > 1:  # each phase of the band in turn
        turns = len(band.phases) // gcd(taps.step, len(band.phases))
        parts = [taps[start::turns] for start in range(min(turns, len(taps)))]
        return _merge([_comb(band.at(part[0]), _step(band, part), len(part)) for part in parts])
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


def _join(fields: Sequence[AxisField]) -> AxisField:
    """The union of several fields: bands of one stride become one."""
    by_stride: dict[Fraction, list[Band]] = {}
    for field in fields:
        for band in field:
            same = by_stride.setdefault(band.stride, [])
            if band not in same:
                same.append(band)
    joined = []
    for stride, bands in by_stride.items():
        if len(bands) == 1:
            joined.append(bands[0])
            continue
        period = lcm(*(len(band.phases) for band in bands))
        phases = [_merge([band.at(i) for band in bands]) for i in range(period)]
        joined.append(_shortest(int(stride * period), phases))
    return tuple(joined)


def hull(field: AxisField, i: int) -> Reads | None:
    """The pixels that unit `i` reads over all paths, not clipped to the input."""
    return field[0].at(i) if len(field) == 1 else _merge([band.at(i) for band in field])


def _telling_units(field: AxisField, units: int) -> list[int]:
    """Units among which the largest span is: along whole periods a span is convex, so it is largest at an end."""
    period = lcm(*(len(band.phases) for band in field))
    if len(field) == 1 or units <= 2 * period:
        return list(range(min(units, period if len(field) == 1 else units)))
    return [*range(period), *range(units - period, units)]


def span(field: AxisField, units: int) -> int:
    """The receptive field in pixels: the largest over the units of an axis of this size."""
    if len(field) == 1 and len(field[0].phases) == 1:
        only = field[0].phases[0]
        return only.size if only else 0
    return max((reads.size for i in _telling_units(field, units) if (reads := hull(field, i))), default=0)


def pixels_read(field: AxisField, units: int) -> int:
    """How many pixels of the span are really read; less than `span` where dilation leaves holes."""
    if len(field) == 1 and len(field[0].phases) == 1 and (only := field[0].phases[0]) and only.mask is None:
        return only.size
    telling = _telling_units(field, units)
    return max((reads.bits.bit_count() for i in telling if (reads := hull(field, i))), default=0)


class FieldState(NamedTuple):
    """What the units of one tensor see, for each spatial axis of the network's input."""

    wide: tuple[AxisField, ...]  # the union over all local paths
    narrow: tuple[AxisField, ...]  # the path that sees least
    carriers: tuple[int, ...]  # which axis of the tensor each input axis lies on; beyond them where it had one unit
    lost: tuple[int, ...]  # 0, or the units that an input axis had when Flatten made it one with others
    through_global: bool = False  # every path leads through a global pool or a dense layer
    context: bool = False  # some path does
    aligned: bool = True  # all paths have one stride and one centre

    def units(self, shape: Shape) -> list[int]:
        """How many units a tensor of this shape has along each input axis."""
        places = zip(self.carriers, self.lost, strict=True)
        return [lost or (shape[carrier] if carrier < len(shape) else 1) for carrier, lost in places]

    @property
    def global_context(self) -> bool:
        """Whether some path sees the whole input."""
        return self.context or self.through_global


def spans(axes: tuple[AxisField, ...], state: FieldState, shape: Shape) -> list[int]:
    """The span on each input axis, for a tensor of this shape."""
    return [span(field, count) for field, count in zip(axes, state.units(shape), strict=True)]


def fields(graph: Graph) -> dict[str, FieldState]:
    """The field of every node, and of the input under its own name."""
    axes = len(graph.input_shape) - 1
    pixel = (PIXEL,) * axes
    start = FieldState(pixel, pixel, tuple(range(1, axes + 1)), (0,) * axes)
    states = {INPUT: start}
    memo: _Memo = {}
    known: _Windows = {}
    for node in graph.nodes:
        if isinstance(node.op, JOINS):
            states[node.name] = _after_join([states[name] for name in node.inputs], node)
        else:
            states[node.name] = _after(states[node.inputs[0]], node, memo, known)
    return states


def _after(state: FieldState, node: Node, memo: _Memo, known: _Windows) -> FieldState:
    """The field behind an operator with one input."""
    op, shape = node.op, node.input_shapes[0]
    if isinstance(op, Flatten):
        return _flattened(state, op, shape)
    if isinstance(op, Permute):
        order = op.permuted(shape)
        carriers = (order.index(carrier) if carrier < len(shape) else carrier for carrier in state.carriers)
        return state._replace(carriers=tuple(carriers))
    key = (id(op), shape)
    if key not in known:
        known[key] = None if _is_pointwise(op, shape) else op.windows(shape)
    windows = known[key]
    if windows is None:
        return state
    mixes_all = isinstance(op, (Conv, ConvTranspose))
    sees_all = False
    single = state.narrow is state.wide
    wide, narrow = list(state.wide), list(state.narrow)
    for axis, (carrier, lost) in enumerate(zip(state.carriers, state.lost, strict=True)):
        if carrier >= len(shape):
            continue  # an axis of one unit that Flatten has taken in
        if carrier == len(shape) - 1 and isinstance(op, (Linear, LayerNorm)) and (lost or isinstance(op, Linear)):
            sees_all |= shape[carrier] > 1
        elif carrier == 0:
            sees_all |= mixes_all or (isinstance(op, Softmax) and op.dim in (1, -len(shape)))
        elif lost:
            sees_all |= windows[carrier - 1] != POINT  # which pixels are neighbours there is not known
        elif isinstance(window := windows[carrier - 1], Global) and not _leaves_axes(state, shape, windows):
            sees_all = True
        else:
            if isinstance(window, Global):
                window = Sliding(shape[carrier], shape[carrier])
            same = narrow[axis] is wide[axis]
            wide[axis] = _slide_all(wide[axis], window, memo)
            narrow[axis] = wide[axis] if same else _slide_all(narrow[axis], window, memo)
    union = tuple(wide)
    return FieldState(
        union,
        union if single else tuple(narrow),
        state.carriers,
        state.lost,
        state.through_global or sees_all,
        state.context or (isinstance(op, (GroupNorm, InstanceNorm)) and op.global_statistics),
        state.aligned,
    )


def _leaves_axes(state: FieldState, shape: Shape, windows: Sequence[Window]) -> bool:
    """Whether some axis is local: a pool over the other axes alone gives strips, and does not see everything."""
    return any(
        carrier == 0 or not isinstance(windows[carrier - 1], Global)
        for carrier in state.carriers
        if carrier < len(shape) and shape[carrier] > 1
    )


def _is_pointwise(op: AnyOp, shape: Shape) -> bool:
    """Whether every unit reads the unit at its own place, and no other."""
    if isinstance(op, (Conv, ConvTranspose, Linear, Softmax, GroupNorm, InstanceNorm, LayerNorm)):
        return False
    return all(window == POINT for window in op.windows(shape))


def _slide_all(field: AxisField, window: Window, memo: _Memo) -> AxisField:
    if isinstance(window, Sliding) and window.kernel == 1 == window.stride and not window.before:
        return field
    key = (id(field), window)
    if key not in memo:
        bands = [(_slide(band, window),) for band in field]
        memo[key] = field, _join(bands) if len(bands) > 1 else bands[0]
    return memo[key][1]


def _flattened(state: FieldState, op: Flatten, shape: Shape) -> FieldState:
    """Axes that become one with others are lost, unless they held one unit."""
    first, last = op.merged(shape)
    size = prod(shape[first : last + 1])
    carriers, lost = [], []
    for carrier, units in zip(state.carriers, state.lost, strict=True):
        inside = first <= carrier <= last
        if inside and shape[carrier] == 1:
            carriers.append(len(shape))
        else:
            carriers.append(first if inside else carrier - (last - first) if carrier > last else carrier)
        lost.append(units or (shape[carrier] if inside and 1 < shape[carrier] < size else 0))
    return state._replace(carriers=tuple(carriers), lost=tuple(lost))


def _after_join(before: list[FieldState], node: Node) -> FieldState:
    """The union over the branches that are local, if any is."""
    branches = list(zip(before, node.input_shapes, strict=True))
    local = [(state, shape) for state, shape in branches if not state.through_global] or branches
    context = any(state.context for state in before) or len(local) < len(before)
    aligned = all(state.aligned for state, _ in local)
    first = local[0][0]
    if all(state.wide is first.wide and state.narrow is first.narrow for state, _ in local):
        return first._replace(context=context, aligned=aligned)
    wide, narrow = [], []
    for axis in range(len(first.wide)):
        unions = [_broadcast(state.wide[axis], state.carriers[axis], shape, node.shape) for state, shape in local]
        least = [_broadcast(state.narrow[axis], state.carriers[axis], shape, node.shape) for state, shape in local]
        wide.append(_join(unions))
        narrow.append(min(least, key=lambda field: span(field, 64)))
        aligned = aligned and _centres([field for field in unions if field[0].step])  # 0: one unit, read by all
    return first._replace(wide=tuple(wide), narrow=tuple(narrow), context=context, aligned=aligned)


def _broadcast(field: AxisField, carrier: int, shape: Shape, out: Shape) -> AxisField:
    """The field of a branch whose axis of size 1 is read by every unit of the result."""
    if carrier >= len(shape) or shape[carrier] != 1 or out[carrier] == 1:
        return field
    return tuple(Band(0, (band.at(0),)) for band in field)


def _centres(branches: Sequence[AxisField]) -> bool:
    """Whether all branches have one stride, and centres that coincide."""
    if len({band.stride for field in branches for band in field}) > 1:
        return False
    if any(len(band.phases) > 1 for field in branches for band in field):
        return True  # upsampled branches: each phase has a centre of its own
    centres = {only.low + only.high for field in branches for band in field if (only := band.phases[0])}
    return len(centres) <= 1
