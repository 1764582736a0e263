"""Which input pixels one unit of a layer reads, exactly: clipped at every layer, as gradients would show it.

Worked out backwards from the unit. What a path needs of a tensor is a product of sets, one per axis of the tensor, each
held as the bits of an integer; several paths need several products. Units that lie in the padding do not exist and are
dropped at the layer where they would be, so a border unit comes out right even where the arithmetic of
`receptive_field` can only clip at the input. The channels are an axis as the others are.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import reduce
from math import prod
from operator import or_
from typing import Any, Final

from cnnspec.analysis.band_figures import hull
from cnnspec.analysis.bands import GONE
from cnnspec.analysis.explain import find_node
from cnnspec.analysis.field_state import ALL, TensorField, too_irregular
from cnnspec.analysis.receptive_field import fields, read_windows
from cnnspec.errors import UsageError
from cnnspec.graph import INPUT, Graph, Node
from cnnspec.ops import JOINS, Shape
from cnnspec.ops.merge import Concat
from cnnspec.ops.norm import BatchNorm, GroupNorm, InstanceNorm
from cnnspec.ops.resample import PixelShuffle
from cnnspec.ops.reshape import Flatten, Permute
from cnnspec.ops.window import POINT, Global, Grouped, Shuffled, Sliding, Window

__all__ = ["UnitField", "unit_field"]

WORD: Final = 2**15  # places of an axis that are no more work than one
MOST_WORK: Final = 2**23

Product = tuple[int, ...]  # for each axis of a tensor, the units needed as bits


@dataclass(frozen=True)
class UnitField:
    """The input pixels that one unit reads. Ranges are first and last pixel, inclusive; None: it reads no pixel."""

    layer: str
    unit: tuple[int, ...]
    channel: int | None  # None: what any channel reads at this place
    unclipped: tuple[tuple[int, int], ...] | None  # by arithmetic, padding included
    clipped: tuple[tuple[int, int], ...] | None  # the hull of the pixels that are really read
    pixels: tuple[int, ...]  # how many are read along each axis
    global_context: bool

    def to_dict(self) -> dict[str, Any]:
        """The field as plain data."""
        return {
            "layer": self.layer,
            "unit": list(self.unit),
            "channel": self.channel,
            "unclipped": self.unclipped and [list(bounds) for bounds in self.unclipped],
            "clipped": self.clipped and [list(bounds) for bounds in self.clipped],
            "pixels": list(self.pixels),
            "global_context": self.global_context,
        }


def unit_field(graph: Graph, layer: str, unit: tuple[int, ...] | None = None, channel: int | None = None) -> UnitField:
    """The field of one unit, given by its place along each axis of the layer; without `unit`, of the one in the middle.

    `channel` is one channel of the layer; without it, what any channel reads at that place. Raises UsageError where
    there is no such layer, unit or channel, or where the layer has no spatial axes left.
    """
    node = find_node(graph, layer)
    states = fields(graph)
    field = states[layer]
    unit, channel = _checked(node, field, unit, channel)
    order = _own_order(field)
    places = tuple(unit[order.index(axis)] for axis in range(len(order)))  # along each axis of the input
    states_seen = [part.state for part in field.parts if channel is None or part.channels >> channel & 1]
    through_global = all(state.through_global for state in states_seen)
    seen = [state for state in states_seen if state.through_global == through_global]
    context = any(state.global_context for state in states_seen)
    start = [ALL if size > 1 else 1 for size in node.shape]
    for carrier, place in zip(field.carriers, places, strict=True):
        if carrier != GONE:
            start[carrier] = 1 << place
    if channel is not None:
        start[field.axis] &= 1 << channel
    backwards = _Backwards(graph, states, everything=through_global)
    needed = backwards.from_unit(node, backwards.local(layer, tuple(start)))
    sets = [
        reduce(or_, (product[axis] for product in needed), 0) & ((1 << size) - 1)
        for axis, size in enumerate(graph.input_shape)
    ][1:]
    clipped = tuple(((bits & -bits).bit_length() - 1, bits.bit_length() - 1) for bits in sets) if needed else None
    counts = tuple(bits.bit_count() for bits in sets)
    if through_global:
        unclipped: list[tuple[int, int] | None] = [(0, size - 1) for size in graph.input_shape[1:]]
    else:
        unclipped = [_hull([state.wide[axis] for state in seen], place) for axis, place in enumerate(places)]
    bounds = tuple(bound for bound in unclipped if bound is not None)
    return UnitField(layer, unit, channel, bounds if len(bounds) == len(unit) else None, clipped, counts, context)


def _checked(
    node: Node, field: TensorField, unit: tuple[int, ...] | None, channel: int | None
) -> tuple[tuple[int, ...], int | None]:
    if not field.carriers or any(field.lost):
        raise UsageError(f"{node.name} has no spatial axes: each of its units may read the whole input")
    units = field.units(node.shape)
    sizes = [units[axis] for axis in _own_order(field)]
    if unit is None:
        unit = tuple(size // 2 for size in sizes)
    if len(unit) != len(sizes) or any(not 0 <= place < size for place, size in zip(unit, sizes, strict=True)):
        limits = ",".join(f"0..{size - 1}" for size in sizes)
        raise UsageError(f"{node.name} has no unit {','.join(map(str, unit))}", hint=f"its units are {limits}")
    if channel is not None and not 0 <= channel < node.shape[field.axis]:
        raise UsageError(
            f"{node.name} has no channel {channel}", hint=f"its channels are 0..{node.shape[field.axis] - 1}"
        )
    return unit, channel


def _own_order(field: TensorField) -> list[int]:
    """The axes of the input in the order in which they lie on the layer, which may have permuted them."""
    return sorted(range(len(field.carriers)), key=field.carriers.__getitem__)


def _hull(axes: Sequence[Any], place: int) -> tuple[int, int] | None:
    """First and last pixel over the channels that see different things."""
    reads = [seen for bands in axes if (seen := hull(bands, place)) is not None]
    return (min(seen.low for seen in reads), max(seen.high for seen in reads)) if reads else None


class _Backwards:
    """What is needed of each tensor, going from a unit to the input."""

    def __init__(self, graph: Graph, states: dict[str, TensorField], *, everything: bool) -> None:
        self.graph, self.states = graph, states
        self.work = 0
        self.everything = (
            everything  # the unit sees the whole input: all that is read counts, and not local paths alone
        )

    def from_unit(self, target: Node, start: Product) -> list[Product]:
        """The products needed of the input."""
        wanted: dict[str, list[Product]] = {target.name: [start]}
        for node in reversed(self.graph.nodes):
            for needed in wanted.pop(node.name, []):
                for name, before in self.before(node, needed):
                    if all(before):
                        _add(wanted.setdefault(name, []), before)
        return wanted.get(INPUT, [])

    def before(self, node: Node, needed: Product) -> Iterator[tuple[str, Product]]:
        """What a node needs of its inputs, for what is needed of the node."""
        op, shape = node.op, node.input_shapes[0]
        if isinstance(op, Concat):
            start = 0
            for name, (channels, *_) in zip(node.inputs, node.input_shapes, strict=True):
                yield name, ((needed[0] >> start) & ((1 << channels) - 1), *needed[1:])
                start += channels
        elif isinstance(op, JOINS):
            yield from self.before_join(node, needed)
        elif isinstance(op, Permute):
            order = op.permuted(shape)
            yield node.inputs[0], tuple(needed[order.index(axis)] for axis in range(len(shape)))
        elif isinstance(op, Flatten):
            first, last = op.merged(shape)
            for part in _unflattened(needed[first], shape[first : last + 1]):
                yield node.inputs[0], (*needed[:first], *part, *needed[first + 1 :])
        else:
            windows = read_windows(op, shape)
            if self.everything and isinstance(op, (BatchNorm, GroupNorm, InstanceNorm)) and op.global_statistics:
                groups = op.num_groups if isinstance(op, GroupNorm) else shape[0]
                each = shape[0] // groups
                windows = (Grouped(each, each), *(Global() for _ in shape[1:]))
            for part in self.apart(node, windows, needed):
                if isinstance(op, PixelShuffle):
                    befores = list(_before_shuffle(op.upscale_factor, shape, part))
                else:
                    axes = list(zip(windows, part, shape, node.shape, strict=True))
                    self.charge(node, axes)
                    befores = [tuple(_through(*axis) for axis in axes)]
                for before in befores:
                    yield node.inputs[0], self.local(node.inputs[0], before)

    def before_join(self, node: Node, needed: Product) -> Iterator[tuple[str, Product]]:
        """Sums and products: for each run of channels, the branches that are local there."""
        before = [self.states[name] for name in node.inputs]
        axis = before[0].axis
        here = [field.through_global for field in before]
        if self.everything or not any(part.state.through_global for field in before for part in field.parts):
            cuts = [(ALL, [False] * len(before))]
        elif any(field.axis != axis for field in before):
            cuts = [(ALL, here)]
        else:
            cuts = [(ALL, [])]
            for field in before:
                cuts = [
                    (channels & part.channels, [*others, part.state.through_global])
                    for channels, others in cuts
                    for part in field.parts
                ]
        for channels, here in cuts:
            part = (*needed[:axis], needed[axis] & channels, *needed[axis + 1 :])
            for name, shape, through_global in zip(node.inputs, node.input_shapes, here, strict=True):
                if not through_global or all(here):
                    yield name, tuple(1 if size == 1 and bit else bit for bit, size in zip(part, shape, strict=True))

    def apart(self, node: Node, windows: tuple[Window, ...], needed: Product) -> Iterator[Product]:
        """One channel after the other where it depends on the channel which of those it reads are local."""
        field = self.states[node.inputs[0]]
        axis = field.axis
        kinds = {part.state.through_global for part in field.parts}
        if self.everything or len(kinds) == 1 or isinstance(windows[axis], Global) or windows[axis] == POINT:
            yield needed
            return
        for unit in _units(needed[axis], node.shape[axis]):
            yield (*needed[:axis], 1 << unit, *needed[axis + 1 :])

    def charge(self, node: Node, axes: Sequence[tuple[Window, int, int, int]]) -> None:
        """Count the work of a step back. Raises SpecError where it is too much, of units far apart on long axes."""
        for window, bits, size, units in axes:
            if window != POINT and bits != ALL:
                self.work += bits.bit_count() * (1 + max(size, units) // WORD)
        if self.work > MOST_WORK:
            raise too_irregular(node, self.graph, "too many units of it are read")

    def local(self, name: str, needed: Product) -> Product:
        """Without the channels that see everything, where others that are needed do not."""
        field = self.states[name]
        if self.everything or not any(part.state.through_global for part in field.parts):
            return needed
        local = reduce(or_, (part.channels for part in field.parts if not part.state.through_global), 0)
        bits = needed[field.axis] & local or needed[field.axis]
        return (*needed[: field.axis], bits, *needed[field.axis + 1 :])


def _units(bits: int, size: int) -> Iterator[int]:
    """The numbers of the units, of an axis of this size."""
    bits &= (1 << size) - 1
    while bits:
        low = bits & -bits
        bits ^= low
        yield low.bit_length() - 1


def _through(window: Window, bits: int, size: int, units: int) -> int:
    """Of an axis of `size`, what a window reads for a set of its own `units`; what lies outside does not exist."""
    if window == POINT or not bits:
        return bits
    if isinstance(window, Global):
        return ALL if size > 1 else 1
    if bits == ALL and isinstance(window, (Grouped, Shuffled)):
        return ALL
    if isinstance(window, Sliding) and window.kernel == window.stride == 1:  # a crop, a pad, a slice
        moved = bits >> window.before if window.before > 0 else bits << -window.before
        return moved & (((1 << max(0, size + min(0, window.after))) - 1) & -(1 << max(0, -window.before)))
    taps = 0
    for unit in _units(bits, units):
        taps |= _as_bits(_inside(window.reads(unit), size))
    return taps


def _as_bits(taps: Sequence[int]) -> int:
    """The taps as bits; those of a range by doubling, so that a huge window is no work."""
    if not isinstance(taps, range):
        return sum({1 << tap for tap in taps})
    if not taps:
        return 0
    bits, made = 1, 1
    while made < len(taps):
        more = min(made, len(taps) - made)
        bits |= bits << (taps.step * more)
        made += more
    return bits << taps.start


def _inside(taps: Sequence[int], size: int) -> Sequence[int]:
    """The taps that exist."""
    if isinstance(taps, range):
        before = -(min(0, taps.start) // taps.step)  # the taps below 0
        return range(taps.start + before * taps.step, min(taps.stop, size), taps.step)
    return [tap for tap in taps if 0 <= tap < size]


def _before_shuffle(factor: int, shape: Shape, needed: Product) -> Iterator[Product]:
    """What PixelShuffle needs: unit (y, x) of channel c is unit (y//r, x//r) of channel `c*r*r + (y%r)*r + x%r`."""
    channels, *places = needed
    kept = list(_units(channels, shape[0] // factor**2))
    axes = []
    for bits, size in zip(places, shape[1:], strict=True):
        phases = [0] * factor
        for unit in _units(bits, size * factor):
            phases[unit % factor] |= 1 << unit // factor
        axes.append(phases)
    for y, rows in enumerate(axes[0]):
        for x, columns in enumerate(axes[1]):
            if rows and columns:
                yield sum(1 << (channel * factor**2 + y * factor + x) for channel in kept), rows, columns


def _unflattened(bits: int, shape: Shape) -> Iterator[Product]:
    """The units of a flat axis as products over the axes that it was made of."""
    if bits == ALL:
        yield tuple(ALL if size > 1 else 1 for size in shape)
        return
    if len(shape) == 1:
        yield (bits,)
        return
    each = prod(shape[1:])
    parts: dict[int, int] = {}  # what is needed of the other axes -> of which units of the first
    for unit in range(shape[0]):
        if inside := (bits >> (unit * each)) & ((1 << each) - 1):
            parts[inside] = parts.get(inside, 0) | 1 << unit
    for inside, first in parts.items():
        for rest in _unflattened(inside, shape[1:]):
            yield (first, *rest)


def _add(products: list[Product], new: Product) -> None:
    """Keep the products that no other contains."""
    if any(_contains(old, new) for old in products):
        return
    products[:] = [old for old in products if not _contains(new, old)]
    products.append(new)


def _contains(outer: Product, inner: Product) -> bool:
    return all(bits & have == bits for have, bits in zip(outer, inner, strict=True))
