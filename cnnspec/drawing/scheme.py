"""A graph as a tree of boxes: what a picture shows, whatever it is drawn with.

The dotted names of nodes say the groups. A layer that works on each value of the one before it (a norm, an activation)
stands in one box with it. Equal groups in a row are one group that says how often it comes; its inside is that of the
first. A group is joined to what is around it at ports: one for each tensor that it reads.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Final, TypeAlias

from cnnspec.drawing.words import kind_of
from cnnspec.graph import Graph, Node

__all__ = ["Box", "Card", "Edge", "Group", "scheme"]

FOLLOWING: Final = frozenset({"norm", "activation", "dropout"})  # kinds that stand in the box of what they read


@dataclass(frozen=True, slots=True)
class Edge:
    """What a box reads. A negative end is a port: `-1` the first of those through which a group reads, and so on."""

    source: int
    target: int
    tensor: str  # the node whose output it is


@dataclass(frozen=True, slots=True)
class Card:
    """Layers in one box, in the order in which they run. `copies` are the names of all boxes that it stands for."""

    name: str  # what groups its layers, empty where nothing does
    layers: tuple[Node, ...]
    copies: tuple[str, ...] = ()
    block: str | None = None  # of the spec, of which it is a call

    @property
    def result(self) -> Node:
        """The layer whose output is the box's."""
        return self.layers[-1]


@dataclass(frozen=True, slots=True)
class Group:
    """Boxes that a name groups, in running order. `copies` are the names of all groups that it stands for."""

    name: str
    children: tuple[Box, ...]
    edges: tuple[Edge, ...]
    ports: tuple[str, ...]  # the tensors that it reads
    results: tuple[tuple[int, str], ...]  # what others read of it: the child, and the tensor
    copies: tuple[str, ...] = ()
    block: str | None = None  # of the spec, of which it is a call

    @property
    def layers(self) -> Iterator[Node]:
        """The layers inside, of one copy."""
        for child in self.children:
            yield from child.layers

    def count(self) -> int:
        """How many layers it stands for, all copies counted."""
        inside = sum(child.count() if isinstance(child, Group) else _cards(child) for child in self.children)
        return inside * max(1, len(self.copies))


Box: TypeAlias = Card | Group


def _cards(card: Card) -> int:
    return len(card.layers) * max(1, len(card.copies))


def scheme(graph: Graph, blocks: Mapping[str, str] = MappingProxyType({})) -> Group:
    """The boxes of a network, as one group with the network's input as its port.

    `blocks` are the blocks of which groups are calls, by the names of the groups.
    """
    return _Builder(graph, blocks).build()


@dataclass
class _Scope:
    """The nodes below a dotted name, by the next part of theirs."""

    name: str
    children: dict[str, _Scope | Node] = field(default_factory=dict)

    def add(self, node: Node, parts: list[str]) -> None:
        """Put a node where its name says. One that is called like a group stands inside it, without a key."""
        key = parts[0]
        child = self.children.get(key)
        if len(parts) == 1:
            if isinstance(child, _Scope):
                child.children[""] = node
            else:
                self.children[key] = node
            return
        if not isinstance(child, _Scope):
            name = f"{self.name}.{key}" if self.name else key
            self.children[key] = scope = _Scope(name)
            if child is not None:
                scope.children[""] = child
            child = scope
        child.add(node, parts[1:])


class _Builder:
    def __init__(self, graph: Graph, blocks: Mapping[str, str]) -> None:
        self.graph = graph
        self.blocks = blocks
        self.readers: dict[str, list[str]] = {}
        for node in graph:
            for name in node.inputs:
                self.readers.setdefault(name, []).append(node.name)
        self.outputs = {*graph.outputs, *graph.aux_outputs}
        self.numbers: dict[object, int] = {}  # of what looks alike

    def build(self) -> Group:
        root = _Scope("")
        for node in self.graph:
            root.add(node, node.name.split("."))
        box = self.group(root)
        return self.merged(box if isinstance(box, Group) else self.wired("", (box,)))

    def group(self, scope: _Scope) -> Box:
        """The box of a scope: of its only child, where there is one."""
        boxes: list[Box] = []
        for child in scope.children.values():
            boxes.append(self.group(child) if isinstance(child, _Scope) else Card("", (child,)))
        boxes = self.stacked(boxes)
        block = self.blocks.get(scope.name)
        if len(boxes) == 1:
            only = boxes[0]
            return replace(only, name=only.name or scope.name, block=only.block or block) if scope.name else only
        return replace(self.wired(scope.name, tuple(boxes)), block=block)

    def stacked(self, boxes: list[Box]) -> list[Box]:
        """The boxes with layers that follow on one alone put into its box."""
        where: dict[str, int] = {}
        stacks: list[Box] = []
        for box in boxes:
            before = where.get(box.layers[0].inputs[0]) if isinstance(box, Card) and not box.name else None
            if before is not None and isinstance(box, Card) and self.follows(box.layers[0]):
                card = stacks[before]
                assert isinstance(card, Card)
                stacks[before] = replace(card, layers=(*card.layers, *box.layers))
                where[box.result.name] = before
                continue
            if isinstance(box, Card) and not box.name:
                where[box.result.name] = len(stacks)
            stacks.append(box)
        return stacks

    def follows(self, node: Node) -> bool:
        """Whether a layer is the only one that reads what it reads, and belongs to it."""
        source = node.inputs[0]
        alone = self.readers[source] == [node.name] and source not in self.outputs
        return len(node.inputs) == 1 and alone and kind_of(node.op) in FOLLOWING

    def wired(self, name: str, children: tuple[Box, ...]) -> Group:
        """The group of these boxes, with what they read."""
        homes = {node.name: number for number, child in enumerate(children) for node in child.layers}
        ports: dict[str, int] = {}
        edges: dict[Edge, None] = {}
        results: dict[tuple[int, str], None] = {}
        for number, child in enumerate(children):
            for tensor in _read(child):
                source = homes.get(tensor)
                if source is None:
                    source = ports.setdefault(tensor, -1 - len(ports))
                edges[Edge(source, number, tensor)] = None
            for tensor in self.given(child):
                outside = any(reader not in homes for reader in self.readers.get(tensor, ()))
                if outside or tensor in self.outputs or tensor not in self.readers:
                    results[number, tensor] = None
        return Group(name, children, tuple(edges), tuple(ports), tuple(results))

    def given(self, box: Box) -> Iterable[str]:
        """The tensors that others may read of a box."""
        if isinstance(box, Group):
            return [tensor for _, tensor in box.results]
        return [box.result.name]

    def merged(self, group: Group) -> Group:
        """The group with equal groups in a row as one, inside too."""
        within = (self.merged(box) if isinstance(box, Group) else box for box in group.children)
        group = replace(group, children=tuple(within))
        runs: list[list[int]] = []
        for number in range(len(group.children)):
            run = runs[-1] if runs else None
            if run and self.continues(group, run[-1], number):
                run.append(number)
            else:
                runs.append([number])
        if len(runs) == len(group.children):
            return group
        place = {number: new for new, run in enumerate(runs) for number in run}
        children = []
        for run in runs:
            first = group.children[run[0]]
            copies = tuple(group.children[number].name for number in run) if len(run) > 1 else ()
            children.append(replace(first, copies=copies) if copies else first)
        if len(children) == 1 and group.name and isinstance(only := children[0], Group):
            return replace(only, name=group.name, block=only.block or group.block)
        edges = (
            Edge(edge.source if edge.source < 0 else place[edge.source], place[edge.target], edge.tensor)
            for edge in group.edges
            if edge.source < 0 or place[edge.source] != place[edge.target]
        )
        results = tuple((place[number], tensor) for number, tensor in group.results)
        return replace(group, children=tuple(children), edges=tuple(dict.fromkeys(edges)), results=results)

    def continues(self, group: Group, before: int, number: int) -> bool:
        """Whether a named box is like the one before it, reads it alone, and is its only reader."""
        one, other = group.children[before], group.children[number]
        if not (one.name and other.name and self.look(one) == self.look(other)):
            return False
        read = [edge.source for edge in group.edges if edge.target == number]
        readers = [edge.target for edge in group.edges if edge.source == before]
        return read == [before] and readers == [number] and all(source != before for source, _ in group.results)

    def look(self, box: Box) -> int:
        """A number that boxes share which look alike, inside too."""
        alike: tuple[object, ...]
        if isinstance(box, Card):
            alike = tuple((node.op, node.input_shapes, node.shape) for node in box.layers)
        else:
            places = {tensor: -1 - number for number, tensor in enumerate(box.ports)}
            shapes = tuple(self.graph.shape_of(tensor) for tensor in box.ports)
            edges = tuple((edge.source, edge.target, places.get(edge.tensor)) for edge in box.edges)
            results = tuple(number for number, _ in box.results)
            alike = (box.block, len(box.copies), shapes, edges, results, *map(self.look, box.children))
        return self.numbers.setdefault(alike, len(self.numbers))


def _read(box: Box) -> Iterable[str]:
    """The tensors that a box reads from outside."""
    if isinstance(box, Group):
        return box.ports
    own = {node.name for node in box.layers}
    return [name for node in box.layers for name in node.inputs if name not in own]
