"""What a graph does to sizes, without all that keeps them: a deep residual network shrinks to a dozen steps.

Layers that keep every size are left out, and layers that do the same to the same sizes stand once. What remains is
asked through the operators' own `out_shape`, so that it refuses what they refuse.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from cnnspec.analysis.borders import Carried, border_losses, carried_axes
from cnnspec.graph import INPUT, Graph, Node
from cnnspec.ops import JOINS, REDUCTIONS, AnyOp, Shape
from cnnspec.ops.base import AbstractAlong
from cnnspec.ops.conv import ConvTranspose
from cnnspec.ops.linear import Linear
from cnnspec.ops.merge import ELEMENTWISE, Concat
from cnnspec.ops.norm import LayerNorm
from cnnspec.ops.pad import PADS
from cnnspec.ops.pool import AdaptiveAvgPool, AdaptiveMaxPool
from cnnspec.ops.resample import PixelShuffle, Upsample
from cnnspec.ops.reshape import Flatten, Permute
from cnnspec.ops.unflatten import Reshape, Unflatten
from cnnspec.ops.window import Sliding, Window

__all__ = ["Seen", "Skeleton"]

# What is known of an operator is a short cut: one that is in none of these lists, and does not say that it keeps every
# size, is asked for its result at every input.
RESIZING: Final = (AdaptiveAvgPool, AdaptiveMaxPool, Upsample, PixelShuffle)
SIZED: Final = (Linear, LayerNorm)  # their parameters are as wide as the last axis


Widths = dict[str, Shape]  # of a layer's weights


@dataclass(frozen=True, slots=True)
class _Ref:
    """A tensor: each axis is an axis of one of the values that are worked out, or of the same size at every input.

    An axis that varies is given by its number in the value, a fixed one by its size, negative.
    """

    value: int
    axes: tuple[int, ...]

    @property
    def pattern(self) -> tuple[int, tuple[int, ...]]:
        """What varies with the input, and how; sizes that are fixed do not count."""
        return self.value, tuple(max(axis, -1) for axis in self.axes)

    @property
    def fixed(self) -> bool:
        return max(self.axes) < 0

    def shape(self, values: list[Shape]) -> Shape:
        value = values[self.value]
        return tuple(value[axis] if axis >= 0 else -axis for axis in self.axes)


@dataclass(frozen=True, slots=True)
class _Step:
    """A layer that sizes depend on: its operator, and what it reads."""

    op: AnyOp
    sources: tuple[_Ref, ...]
    flat: bool  # it reads and gives features, which have no axes
    blamed: Carried  # the input axes that have dropped pixels where one of its spatial axes drops some
    number: int | None  # among the steps with weights that are as wide as something of the input


@dataclass(frozen=True, slots=True)
class Seen:
    """One input size: the measured layer's shape, the axes that lose border pixels, the tied weights of other widths.

    Those are told by their places in `Skeleton.tied`, and no widths are kept: of thousands of sizes they are gigabytes.
    """

    out: Shape
    losing: frozenset[int]
    differing: tuple[int, ...]


class Skeleton:
    """The steps of a graph on which sizes depend, each once."""

    def __init__(self, graph: Graph, layer: str) -> None:
        self.steps: list[_Step] = []
        self.tied: list[str] = []  # the layers whose weights are as wide as something of the input
        self.widths: list[Widths] = []  # of these, at the graph's input
        channels, *sizes = graph.input_shape
        self.always: frozenset[int] = frozenset()  # axes that lose pixels at every size, behind a pool to a fixed one
        refs = {INPUT: _Ref(0, (-channels, *range(1, len(sizes) + 1)) if sizes else (0,))}
        known: dict[object, int] = {}
        live = graph.ancestors((*graph.outputs, *graph.aux_outputs))
        carried = carried_axes(graph)
        for node in graph.nodes:
            sources = tuple(refs[name] for name in node.inputs)
            blamed = _blamed(carried[node.inputs[0]], len(sizes)) if node.name in live else ()
            kept = _kept(node, sources)
            if kept is not None:
                refs[node.name] = kept
                if blamed:  # a window that keeps a size drops nothing, so that what drops here reads a fixed size
                    losses = border_losses(node.op, *node.input_shapes)
                    self.always = self.always.union(*(blamed[axis] for axis in losses))
                continue
            key = _key(node, sources, blamed) if all(source.axes[0] < 0 for source in sources) else None
            if key is None or key not in known:
                flat = all(len(shape) == 1 for shape in (node.shape, *node.input_shapes))
                number = None
                if isinstance(node.op, SIZED) or (key is None and node.op.parameter_shapes(*node.input_shapes)):
                    number = len(self.tied)
                    self.tied.append(node.name)
                    self.widths.append(node.op.parameter_shapes(*node.input_shapes))
                self.steps.append(_Step(node.op, sources, flat, blamed, number))
                if key is not None:
                    known[key] = len(self.steps)
            refs[node.name] = _Ref(len(self.steps) if key is None else known[key], _stepped(node, sources))
        self.measured = refs[layer]

    def at(self, shape: Shape, widths: list[Widths]) -> Seen:
        """What this input shape gives; `widths` are those that tied weights are to have.

        Raises ShapeError where some layer refuses it.
        """
        values = [shape]
        losing = set(self.always)
        differing = list(range(len(self.tied), len(widths)))
        for step in self.steps:
            shapes = [source.shape(values) for source in step.sources]
            values.append(step.op.out_shape(*shapes))
            if step.blamed:
                losing.update(*(step.blamed[axis] for axis in border_losses(step.op, *shapes)))
            number = step.number
            if number is not None and widths[number : number + 1] != [step.op.parameter_shapes(*shapes)]:
                differing.append(number)
        return Seen(self.measured.shape(values), frozenset(losing), tuple(differing))

    def alike(self, shape: Shape) -> bool:
        """Whether nothing tells the axes apart: then one of them stands for all."""
        rank = len(shape) - 1
        if len(set(shape[1:])) != 1 or len(self.always) not in (0, rank):
            return False
        for step in self.steps:
            if step.flat:
                continue
            if step.blamed and step.blamed != tuple(frozenset({axis}) for axis in range(rank)):
                return False
            if any(source.axes[1:] != tuple(range(1, rank + 1)) or source.axes[0] >= 0 for source in step.sources):
                return False
            if _by_windows(step.op):
                if len(set(step.op.windows(shape))) != 1:
                    return False
            elif not isinstance(step.op, (Flatten, *JOINS)) or (isinstance(step.op, Concat) and step.op.dim != 1):
                return False
        return True


def _kept(node: Node, sources: tuple[_Ref, ...]) -> _Ref | None:
    """The output, where every size that varies is one that varies in the input; None where it must be worked out."""
    if all(source.fixed for source in sources):
        return _Ref(0, tuple(-size for size in node.shape))
    op = node.op
    first = sources[0]
    if isinstance(op, JOINS):
        return _joined(node, sources)
    if isinstance(op, Permute):
        return _Ref(first.value, tuple(first.axes[axis] for axis in op.permuted(node.input_shapes[0])))
    if isinstance(op, REDUCTIONS):
        shape = node.input_shapes[0]
        reduced, gone = op.reduced(shape), op.gone(shape)
        axes = tuple(-1 if axis in reduced else size for axis, size in enumerate(first.axes) if axis not in gone)
        return _Ref(first.value if max(axes) >= 0 else 0, axes)
    if isinstance(op, SIZED):
        keeps = first.axes[-1] < 0
    elif isinstance(op, (AdaptiveAvgPool, AdaptiveMaxPool)):
        keeps = first.axes[0] < 0 and None not in op.output_size
        if keeps:
            return _Ref(0, tuple(-size for size in node.shape))
    elif op.slides or isinstance(op, PADS):
        keeps = first.axes[0] < 0 and all(map(_keeps, op.windows(*node.input_shapes)))
    else:
        along = isinstance(op, AbstractAlong) and op.axis(node.input_shapes[0]) == 0
        keeps = (op.keeps_sizes or along) and (first.axes[0] < 0 or op.pointwise)
    return _Ref(first.value, _fixed_anew(first, node)) if keeps else None


def _joined(node: Node, sources: tuple[_Ref, ...]) -> _Ref | None:
    """A join of tensors that vary alike; element by element also gates, of size 1 wherever the others vary."""
    varying = [source for source in sources if not source.fixed]
    first = varying[0]
    if len({source.pattern for source in varying}) > 1 or first.axes[0] >= 0:
        return None
    if isinstance(node.op, Concat) and first.axes[node.op.axis(node.shape)] >= 0:
        return None  # sizes are added up
    for source in sources:
        gate = isinstance(node.op, ELEMENTWISE) and all(
            size == -1 for axis, size in zip(first.axes, source.axes, strict=True) if axis >= 0
        )
        if source.fixed and not gate:
            return None
    return _Ref(first.value, _fixed_anew(first, node))


def _fixed_anew(source: _Ref, node: Node) -> tuple[int, ...]:
    """The axes of a source with the fixed sizes that the node's output has."""
    return tuple(axis if axis >= 0 else -size for axis, size in zip(source.axes, node.shape, strict=True))


def _by_windows(op: AnyOp) -> bool:
    """Whether the windows, which are the same at every size, say all about the sizes."""
    return op.slides or isinstance(op, (*PADS, ConvTranspose))


def _keeps(window: Window) -> bool:
    return (
        isinstance(window, Sliding)
        and window.stride == 1
        and (window.border == "constant" or window.before == window.after == 0)  # copies want an axis of some size
        and window.before + window.after == window.extent - 1
        and min(window.before, window.after) >= 0
    )


def _blamed(carried: Carried, rank: int) -> Carried:
    """For each spatial axis of a tensor the input axes on it; all of them where it has only channels of the input."""
    return tuple(axes or frozenset(range(rank)) for axes in carried[1:])


def _key(node: Node, sources: tuple[_Ref, ...], blamed: Carried) -> object:
    """What tells two steps apart in what they do to sizes; channels do not."""
    patterns = tuple(source.pattern for source in sources)
    if _by_windows(node.op) and -1 not in sources[0].axes[1:]:
        return node.op.windows(*node.input_shapes), patterns, blamed
    sizes = tuple(source.axes[1:] for source in sources)
    if isinstance(node.op, JOINS):
        return node.op, patterns, sizes
    return (node.op, patterns, sizes) if isinstance(node.op, RESIZING) else None


def _stepped(node: Node, sources: tuple[_Ref, ...]) -> tuple[int, ...]:
    """The axes of what a step gives: all vary but the channels, where they are known to be fixed."""
    rank = len(node.shape)
    known = all(source.axes[0] < 0 for source in sources)
    if isinstance(node.op, ELEMENTWISE):  # more than one channel in one of them are as many in all, or one
        known = known or any(source.axes[0] < -1 for source in sources)
    if rank > 1 and known and not isinstance(node.op, (Flatten, Reshape, Unflatten)):
        return (-node.shape[0], *range(1, rank))
    return tuple(range(rank))
