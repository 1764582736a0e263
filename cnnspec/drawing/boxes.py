"""What is drawn, and what pictures of every kind say of boxes: names, counts, shapes, and how many are seen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Self

from cnnspec.drawing.scheme import Box, Card, Group, scheme
from cnnspec.graph import Graph
from cnnspec.ops import Shape

__all__ = ["Scene", "inner_name", "layer_count", "output_word", "times"]

FITTING: Final = 28  # boxes that a picture shows at most, unless it is told how deep to go


@dataclass(frozen=True)
class Scene:
    """What is to be drawn: a network, its boxes, and how many levels of groups are open."""

    graph: Graph
    root: Group
    depth: int

    @classmethod
    def of(cls, graph: Graph, depth: int | None = None, blocks: Mapping[str, str] = MappingProxyType({})) -> Self:
        """A network's scene; without `depth` as many levels are open as fit on a page."""
        root = scheme(graph, blocks)
        return cls(graph, root, _best_depth(root) if depth is None else depth)


def times(shape: Shape) -> str:
    """`64×56×56`."""
    return "×".join(map(str, shape))


def inner_name(box: Box, around: str) -> str:
    """The name of a box inside a group: `conv1`, or `1…5` for several that are alike."""
    prefix = f"{around}." if around else ""
    if len(box.copies) > 1 and box.name == box.copies[0]:
        first, last = (copy.removeprefix(prefix) for copy in (box.copies[0], box.copies[-1]))
        return f"{first} … {last}"
    return box.name.removeprefix(prefix)


def _best_depth(root: Group) -> int:
    """How far groups can be open, so that no more boxes are seen than fit on a page."""
    depth = 1
    while (boxes := _visible(root, depth + 1)) <= FITTING and boxes > _visible(root, depth):
        depth += 1
    return depth


def _visible(box: Box, depth: int) -> int:
    if isinstance(box, Card) or depth == 0:
        return 1
    return sum(_visible(child, depth - 1) for child in box.children)


def layer_count(group: Group) -> str:
    """How many layers a group stands for, in words."""
    return f"{group.count():,} layers"


def output_word(graph: Graph, tensor: str) -> str:
    """What is written where a tensor leaves the network."""
    return "output" if tensor in graph.outputs else "output in training"
