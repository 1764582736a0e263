"""Which input pixels one unit of a layer reads, exactly: clipped at every layer, as gradients would show it.

Worked out backwards from the unit. What a path needs of a tensor is a product of sets, one per axis of the tensor, each
held as the bits of an integer; several paths need several products. Units that lie in the padding do not exist and are
dropped at the layer where they would be, so a border unit comes out right even where the arithmetic of
`receptive_field` can only clip at the input. The channels are an axis as the others are.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial, reduce
from itertools import chain, product
from operator import or_
from typing import Any, Final

from cnnspec.analysis.band_figures import hull
from cnnspec.analysis.bands import GONE
from cnnspec.analysis.explain import find_node
from cnnspec.analysis.field_state import ALL, TensorField, too_irregular
from cnnspec.analysis.receptive_field import fields, read_windows
from cnnspec.analysis.unit_sets import (
    WORD,
    Product,
    as_bits,
    before_shuffle,
    flattened,
    inside,
    through,
    unflattened,
    units,
    within,
)
from cnnspec.errors import UsageError
from cnnspec.graph import INPUT, Graph, Node
from cnnspec.ops import JOINS, REDUCTIONS
from cnnspec.ops.merge import Concat
from cnnspec.ops.norm import GRN, BatchNorm, GroupNorm, InstanceNorm
from cnnspec.ops.resample import PixelShuffle
from cnnspec.ops.reshape import Flatten, Permute
from cnnspec.ops.unflatten import Reshape, Unflatten
from cnnspec.ops.window import POINT, Global, Grouped, Window

__all__ = ["UnitField", "unit_field"]

MOST_WORK: Final = 2**23
MOST_BITS: Final = 2**32  # kept at one time: half a gigabyte
COMPARED: Final = 4  # products with which another is compared in as much work as a step is


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


def unit_field(
    graph: Graph,
    layer: str,
    unit: tuple[int, ...] | None = None,
    channel: int | None = None,
    *,
    states: dict[str, TensorField] | None = None,
) -> UnitField:
    """The field of one unit, given by its place along each axis of the layer; without `unit`, of the one in the middle.

    `channel` is one channel of the layer; without it, what any channel reads at that place. `states` is
    `fields(graph)`, where there is one already. Raises UsageError where there is no such layer, unit or channel, or
    where the layer has no spatial axes left.
    """
    node = find_node(graph, layer)
    states = fields(graph) if states is None else states
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
    extents = [
        _extent(reduce(or_, (product[axis] for product in needed), 0), size)
        for axis, size in enumerate(graph.input_shape)
        if axis
    ]
    clipped = tuple((low, high) for low, high, _ in extents) if needed else None
    counts = tuple(count for *_, count in extents)
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


def _extent(bits: int, size: int) -> tuple[int, int, int]:
    """First and last of the pixels of an axis that are read, and how many they are."""
    if bits == ALL:
        return 0, size - 1, size
    bits = within(bits, size)
    return (bits & -bits).bit_length() - 1, bits.bit_length() - 1, bits.bit_count()


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
        kept = _bits(start)
        for node in reversed(self.graph.nodes):
            popped = wanted.pop(node.name, [])
            for needed in popped:
                for name, before in self.before(node, needed):
                    if not all(before):
                        continue
                    products = wanted.setdefault(name, [])
                    self.charge(node, 1 + len(products) * (1 + _bits(before) // WORD) // COMPARED)
                    kept += _add(products, before)
                    if kept > MOST_BITS:
                        raise too_irregular(node, self.graph, "those of it that are read lie too far apart to be kept")
            kept -= sum(map(_bits, popped))
        return wanted.get(INPUT, [])

    def before(self, node: Node, needed: Product) -> Iterator[tuple[str, Product]]:
        """What a node needs of its inputs, for what is needed of the node."""
        op, shape = node.op, node.input_shapes[0]
        if isinstance(op, Concat):
            along, start = op.axis(node.shape), 0
            for name, (*_, size) in zip(node.inputs, (each[: along + 1] for each in node.input_shapes), strict=True):
                own = (needed[along] >> start) & ((1 << size) - 1)
                yield name, (*needed[:along], own, *needed[along + 1 :])
                start += size
        elif isinstance(op, JOINS):
            yield from self.before_join(node, needed)
        elif isinstance(op, Permute):
            order = op.permuted(shape)
            yield node.inputs[0], tuple(needed[order.index(axis)] for axis in range(len(shape)))
        elif isinstance(op, Flatten):
            first, last = op.merged(shape)
            for part in unflattened(needed[first], shape[first : last + 1], partial(self.charge, node)):
                yield node.inputs[0], (*needed[:first], *part, *needed[first + 1 :])
        elif isinstance(op, (Reshape, Unflatten)):
            charge = partial(self.charge, node)
            parts = [
                list(
                    unflattened(
                        flattened(needed[own], node.shape[own], charge), shape[group.first : group.stop], charge
                    )
                )
                for group in op.regroupings(shape)
                for own in [slice(group.out_first, group.out_stop)]
            ]
            for ends in product(*parts):
                yield node.inputs[0], self.local(node.inputs[0], tuple(chain.from_iterable(ends)))
        else:
            if isinstance(op, REDUCTIONS):
                gone, rest = op.gone(shape), iter(needed)
                needed = tuple(1 if axis in gone else next(rest) for axis in range(len(shape)))
                node = replace(node, shape=op.kept_shape(shape))
            windows = read_windows(op, shape)
            if self.everything and isinstance(op, (BatchNorm, GroupNorm, InstanceNorm, GRN)) and op.global_statistics:
                groups = op.num_groups if isinstance(op, GroupNorm) else 1 if isinstance(op, GRN) else shape[0]
                each = shape[0] // groups
                windows = (Grouped(each, each), *(Global() for _ in shape[1:]))
            charge = partial(self.charge, node)
            for part in self.apart(node, windows, needed):
                if isinstance(op, PixelShuffle):
                    befores = list(before_shuffle(op.upscale_factor, shape, part, charge))
                else:
                    axes = zip(windows, part, shape, node.shape, strict=True)
                    befores = [tuple(through(*axis, charge) for axis in axes)]
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
        """What is needed in parts, where it depends on the channel which of those it reads are local."""
        field = self.states[node.inputs[0]]
        axis = field.axis
        kinds = {part.state.through_global for part in field.parts}
        window, size = windows[axis], node.input_shapes[0][axis]
        if self.everything or len(kinds) == 1 or isinstance(window, Global) or window == POINT:
            yield needed
            return
        groups: dict[int, int] = {}  # the channels that read local ones, and those that read none
        local = self.local_channels(field)
        for unit in units(needed[axis], node.shape[axis]):
            self.charge(node, 1 + max(size, node.shape[axis]) // WORD)
            if isinstance(node.op, PixelShuffle):  # which it reads depends on the place as well: each by itself
                group = unit
            else:
                group = bool(as_bits(inside(window.reads(unit), size)) & local)
            groups[group] = groups.get(group, 0) | 1 << unit
        for channels in groups.values():
            yield (*needed[:axis], channels, *needed[axis + 1 :])

    def charge(self, node: Node, work: int) -> None:
        """Count the work of a step back. Raises SpecError where it is too much, of units far apart on long axes."""
        self.work += work
        if self.work > MOST_WORK:
            raise too_irregular(node, self.graph, "too many units of it are read")

    def local(self, name: str, needed: Product) -> Product:
        """Without the channels that see everything, where others that are needed do not."""
        field = self.states[name]
        if self.everything or not any(part.state.through_global for part in field.parts):
            return needed
        bits = needed[field.axis] & self.local_channels(field) or needed[field.axis]
        return (*needed[: field.axis], bits, *needed[field.axis + 1 :])

    @staticmethod
    def local_channels(field: TensorField) -> int:
        """The channels that do not see everything."""
        return reduce(or_, (part.channels for part in field.parts if not part.state.through_global), 0)


def _bits(product: Product) -> int:
    return sum(map(int.bit_length, product))


def _add(products: list[Product], new: Product) -> int:
    """Keep the products that no other contains. Gives by how many bits they grew."""
    if any(_contains(old, new) for old in products):
        return 0
    contained = [old for old in products if _contains(new, old)]
    if contained:
        products[:] = [old for old in products if old not in contained]
    products.append(new)
    return _bits(new) - sum(map(_bits, contained))


def _contains(outer: Product, inner: Product) -> bool:
    return all(bits & have == bits for have, bits in zip(outer, inner, strict=True))
