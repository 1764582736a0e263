"""Which input pixels one unit of a layer reads, exactly: clipped at every layer, as gradients would show it.

Worked out backwards from the unit. What a path needs of a tensor is a product of sets, one per axis, each held as the
bits of an integer; several paths need several products. Units that lie in the padding do not exist and are dropped at
the layer where they would be, so a border unit comes out right even where the arithmetic of `receptive_field` can only
clip at the input.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from cnnspec.analysis.explain import find_node
from cnnspec.analysis.receptive_field import FieldState, fields, hull
from cnnspec.errors import UsageError
from cnnspec.graph import INPUT, Graph, Node
from cnnspec.ops import JOINS, Shape
from cnnspec.ops.reshape import Permute
from cnnspec.ops.window import Global, Window

__all__ = ["UnitField", "unit_field"]

Product = tuple[int, ...]  # for each spatial axis of the input, the units needed as bits


@dataclass(frozen=True)
class UnitField:
    """The input pixels that one unit reads. Ranges are first and last pixel, inclusive; None: it reads no pixel."""

    layer: str
    unit: tuple[int, ...]
    unclipped: tuple[tuple[int, int], ...] | None  # by arithmetic, padding included
    clipped: tuple[tuple[int, int], ...] | None  # the hull of the pixels that are really read
    pixels: tuple[int, ...]  # how many are read along each axis
    global_context: bool

    def to_dict(self) -> dict[str, Any]:
        """The field as plain data."""
        return {
            "layer": self.layer,
            "unit": list(self.unit),
            "unclipped": self.unclipped and [list(bounds) for bounds in self.unclipped],
            "clipped": self.clipped and [list(bounds) for bounds in self.clipped],
            "pixels": list(self.pixels),
            "global_context": self.global_context,
        }


def unit_field(graph: Graph, layer: str, unit: tuple[int, ...] | None = None) -> UnitField:
    """The field of one unit; without `unit`, of the one in the middle.

    Raises UsageError where there is no such layer or unit, or where the layer has no spatial axes left.
    """
    node = find_node(graph, layer)
    states = fields(graph)
    state = states[layer]
    sizes = _sizes(state, node.shape)
    if sizes is None:
        raise UsageError(f"{layer} has no spatial axes: each of its units may read the whole input")
    if unit is None:
        unit = tuple(size // 2 for size in sizes)
    if len(unit) != len(sizes) or any(not 0 <= at < size for at, size in zip(unit, sizes, strict=True)):
        limits = ",".join(f"0..{size - 1}" for size in sizes)
        raise UsageError(f"{layer} has no unit {','.join(map(str, unit))}", hint=f"its units are {limits}")
    pixels = graph.input_shape[1:]
    if state.through_global:
        whole = tuple((0, size - 1) for size in pixels)
        return UnitField(layer, unit, whole, whole, pixels, True)
    hulls = [hull(axis, at) for axis, at in zip(state.wide, unit, strict=True)]
    bounds = tuple((reads.low, reads.high) for reads in hulls if reads is not None)
    needed = _needed(graph, states, node, tuple(1 << at for at in unit))
    sets = [0] * len(pixels)
    for product in needed:
        sets = [have | bits for have, bits in zip(sets, product, strict=True)]
    clipped = tuple(((bits & -bits).bit_length() - 1, bits.bit_length() - 1) for bits in sets) if needed else None
    counts = tuple(bits.bit_count() for bits in sets)
    return UnitField(layer, unit, bounds if len(bounds) == len(unit) else None, clipped, counts, state.global_context)


def _sizes(state: FieldState, shape: Shape) -> tuple[int, ...] | None:
    """How many units the tensor has along each axis of the input; None where an axis is lost."""
    return None if not state.carriers or any(state.lost) else tuple(state.units(shape))


def _needed(graph: Graph, states: dict[str, FieldState], target: Node, start: Product) -> list[Product]:
    """What is needed of the input, going backwards through the nodes in turn."""
    wanted: dict[str, list[Product]] = {target.name: [start]}
    for node in reversed(graph.nodes):
        for product in wanted.pop(node.name, []):
            for name in _local_inputs(node, states):
                shape = graph.shape_of(name)
                before = _before(node, product, states[name], shape)
                if all(before):
                    _add(wanted.setdefault(name, []), before)
    return wanted.get(INPUT, [])


def _local_inputs(node: Node, states: dict[str, FieldState]) -> list[str]:
    """The inputs that local paths come through: a gate that has seen everything is a constant beside them."""
    local = [name for name in node.inputs if not states[name].through_global]
    return local or list(node.inputs)


def _before(node: Node, product: Product, state: FieldState, shape: Shape) -> Product:
    """What a node needs of one input, for what is needed of the node."""
    sizes = _sizes(state, shape)
    assert sizes is not None
    if isinstance(node.op, JOINS):
        return tuple(1 if size == 1 else bits for bits, size in zip(product, sizes, strict=True))
    if isinstance(node.op, Permute):
        return product
    windows = node.op.windows(shape)
    needed = []
    for bits, size, carrier in zip(product, sizes, state.carriers, strict=True):
        outside = carrier >= len(shape) or carrier == 0
        needed.append(bits if outside else _through(windows[carrier - 1], bits, size))
    return tuple(needed)


def _through(window: Window, bits: int, size: int) -> int:
    """The units that a window reads, for a set of its own units; those outside of the axis do not exist."""
    if isinstance(window, Global):
        return (1 << size) - 1
    found = 0
    while bits:
        low = bits & -bits
        bits ^= low
        for tap in _inside(window.reads(low.bit_length() - 1), size):
            found |= 1 << tap
    return found


def _inside(taps: Sequence[int], size: int) -> Sequence[int]:
    """The taps that exist."""
    if isinstance(taps, range):
        before = -(min(0, taps.start) // taps.step)  # the taps below 0
        return range(taps.start + before * taps.step, min(taps.stop, size), taps.step)
    return [tap for tap in taps if 0 <= tap < size]


def _add(products: list[Product], new: Product) -> None:
    """Keep the products that no other contains."""
    if any(_contains(old, new) for old in products):
        return
    products[:] = [old for old in products if not _contains(new, old)]
    products.append(new)


def _contains(outer: Product, inner: Product) -> bool:
    return all(bits & have == bits for have, bits in zip(outer, inner, strict=True))
