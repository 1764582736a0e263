"""What a graph does to sizes, without all that keeps them: a deep residual network shrinks to a dozen steps.

Layers that keep every size are left out, and layers that do the same to the same sizes stand once. What remains is
asked through the operators' own `out_shape`, so that it refuses what they refuse.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from cnnspec.graph import INPUT, Graph, Node
from cnnspec.ops import JOINS, AnyOp, Shape
from cnnspec.ops.conv import Conv, ConvTranspose
from cnnspec.ops.linear import Linear
from cnnspec.ops.merge import Add
from cnnspec.ops.norm import InstanceNorm, LayerNorm
from cnnspec.ops.pad import ZeroPad
from cnnspec.ops.pool import AdaptiveAvgPool, AdaptiveMaxPool, AvgPool, LPPool, MaxPool
from cnnspec.ops.resample import PixelShuffle, Upsample
from cnnspec.ops.reshape import Flatten, Permute
from cnnspec.ops.window import Sliding

__all__ = ["Seen", "Skeleton", "dropped"]

READING: Final = (Conv, MaxPool, AvgPool, LPPool)
SLIDING: Final = (*READING, ZeroPad)
RESIZING: Final = (AdaptiveAvgPool, AdaptiveMaxPool, Upsample, PixelShuffle)
SIZED: Final = (Linear, LayerNorm)  # their parameters are as wide as the last axis
# Operators whose result, or whose right to run, depends on sizes in ways of their own; all others keep every size.
PARTICULAR: Final = (*SLIDING, *RESIZING, *SIZED, *JOINS, ConvTranspose, Flatten, Permute, InstanceNorm)


def dropped(window: Sliding, size: int) -> int:
    """How many pixels behind the last window one more window would read: border pixels that the division drops.

    Pixels that no window would ever read, because the stride or the dilation steps over them, are not counted.
    """
    edge = (window.out_size(size) - 1) * window.stride - window.before + window.extent
    if edge >= size:
        return 0
    phases = {tap * window.dilation % window.stride for tap in range(window.kernel)}
    return sum((phase - window.before - edge) % window.stride < size - edge for phase in phases)


@dataclass(frozen=True, slots=True)
class _Step:
    """A layer that sizes depend on: its operator, and what it reads: an earlier value, and its channels if fixed."""

    op: AnyOp
    sources: tuple[tuple[int, int | None], ...]
    name: str
    flat: bool  # it reads and gives features, which have no axes

    def shapes(self, values: list[Shape]) -> list[Shape]:
        return [
            values[index] if channels is None else (channels, *values[index][1:]) for index, channels in self.sources
        ]


@dataclass(frozen=True, slots=True)
class Seen:
    """One input size: the measured layer's shape, the axes on which pixels are dropped, the widths of tied weights."""

    out: Shape
    losing: frozenset[int]
    widths: tuple[object, ...]


class Skeleton:
    """The steps of a graph on which sizes depend, each once."""

    def __init__(self, graph: Graph, layer: str) -> None:
        self.steps: list[_Step] = []
        self.tied: list[int] = []
        index: dict[str, tuple[int, int | None]] = {INPUT: (0, graph.input_shape[0])}
        known: dict[object, int] = {}
        for node in graph.nodes:
            sources = tuple(index[name] for name in node.inputs)
            fixed = self._channels(node, sources)
            if self._keeps_sizes(node, sources):
                index[node.name] = sources[0][0], fixed
                continue
            key = self._key(node, sources) if all(channels is not None for _, channels in sources) else None
            if key is None or key not in known:
                flat = all(len(shape) == 1 for shape in (node.shape, *node.input_shapes))
                self.steps.append(_Step(node.op, sources, node.name, flat))
                if isinstance(node.op, SIZED) or (key is None and node.op.parameter_shapes(*node.input_shapes)):
                    self.tied.append(len(self.steps) - 1)
                if key is not None:
                    known[key] = len(self.steps)
                index[node.name] = len(self.steps), fixed
            else:
                index[node.name] = known[key], fixed
        self.measured = index[layer]

    @staticmethod
    def _channels(node: Node, sources: tuple[tuple[int, int | None], ...]) -> int | None:
        """The channels of a node's output where they are the same at every input size."""
        if isinstance(node.op, (Flatten, Permute)) or len(node.shape) == 1:
            return None
        known = [channels is not None for _, channels in sources]
        return node.shape[0] if all(known) or (isinstance(node.op, Add) and any(known)) else None

    @staticmethod
    def _keeps_sizes(node: Node, sources: tuple[tuple[int, int | None], ...]) -> bool:
        """Whether the output has the size of the input, at any size."""
        if any(channels is None for _, channels in sources):
            return False
        if isinstance(node.op, JOINS):
            return len({index for index, _ in sources}) == 1
        if isinstance(node.op, SLIDING):
            windows = node.op.windows(*node.input_shapes)
            return all(
                isinstance(window, Sliding)
                and window.stride == 1
                and window.before + window.after == window.extent - 1
                and min(window.before, window.after) >= 0
                for window in windows
            )
        return not isinstance(node.op, PARTICULAR)

    @staticmethod
    def _key(node: Node, sources: tuple[tuple[int, int | None], ...]) -> object:
        """What tells two steps apart in what they do to sizes; channels do not."""
        indices = tuple(index for index, _ in sources)
        if isinstance(node.op, (*SLIDING, ConvTranspose)):
            return node.op.windows(*node.input_shapes), indices
        if isinstance(node.op, JOINS):
            return type(node.op), indices
        return (node.op, indices) if isinstance(node.op, RESIZING) else None

    def at(self, shape: Shape) -> Seen:
        """What this input shape gives. Raises ShapeError where some layer refuses it."""
        values = [shape]
        losing: set[int] = set()
        widths: list[object] = []
        tied = iter([*self.tied, -1])
        next_tied = next(tied)
        for place, step in enumerate(self.steps):
            shapes = step.shapes(values)
            values.append(step.op.out_shape(*shapes))
            if isinstance(step.op, READING):
                for axis, (window, size) in enumerate(zip(step.op.windows(*shapes), shapes[0][1:], strict=True)):
                    if isinstance(window, Sliding) and dropped(window, size):
                        losing.add(axis)
            if place == next_tied:
                widths.append(step.op.parameter_shapes(*shapes))
                next_tied = next(tied)
        index, channels = self.measured
        out = values[index]
        return Seen(out if channels is None else (channels, *out[1:]), frozenset(losing), tuple(widths))

    def alike(self, shape: Shape) -> bool:
        """Whether nothing tells the axes apart: then one of them stands for all."""
        if len(set(shape[1:])) != 1:
            return False
        for step in self.steps:
            if isinstance(step.op, (*SLIDING, ConvTranspose)):
                per_axis: tuple[object, ...] = step.op.windows(shape)
            elif isinstance(step.op, (AdaptiveAvgPool, AdaptiveMaxPool)):
                per_axis = step.op.output_size
            elif step.flat or isinstance(step.op, (Flatten, *JOINS)):
                continue
            else:
                return False
            if len(set(per_axis)) != 1:
                return False
        return True
