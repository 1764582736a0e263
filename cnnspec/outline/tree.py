"""A settled network as a tree: scopes, each with the children that run in turn and what they read by their keys."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

from cnnspec.graph import INPUT, Node
from cnnspec.ops import Shape
from cnnspec.outline.places import Facts, Path, Places, survey

__all__ = ["Child", "Leaf", "Read", "Scope", "grow"]

Read: TypeAlias = str | int  # the key of an earlier child, or the number of an input of the scope


@dataclass(slots=True)
class Leaf:
    """A node."""

    key: str
    node: Node
    reads: tuple[Read, ...]

    @property
    def shape(self) -> Shape:
        """What it gives."""
        return self.node.shape


@dataclass(slots=True)
class Scope:
    """A module: its last child gives what it gives."""

    key: str
    path: Path
    kind: str | None  # the name of its class
    children: list[Leaf | Scope]
    reads: tuple[Read, ...]  # in the terms of the scope around it; as many as it has inputs
    input_shapes: tuple[Shape, ...]

    @property
    def shape(self) -> Shape:
        """What it gives."""
        return self.children[-1].shape

    def scopes(self) -> Iterator[Scope]:
        """All scopes inside, innermost first, and this one."""
        for child in self.children:
            if isinstance(child, Scope):
                yield from child.scopes()
        yield self


Child: TypeAlias = Leaf | Scope


def grow(places: Places, input_shape: Shape) -> Scope:
    """The tree of a settled network."""
    return _Grower(places, survey(places), input_shape).scope((), (INPUT,))


class _Grower:
    def __init__(self, places: Places, facts: dict[Path, Facts], input_shape: Shape) -> None:
        self.places = places
        self.facts = facts
        self.names = {path: name for name, path in places.paths.items()}
        self.input_shape = input_shape

    def scope(self, path: Path, inputs: tuple[str, ...], reads: tuple[Read, ...] = ()) -> Scope:
        """A scope that reads these nodes."""
        numbers = {name: number for number, name in enumerate(inputs)}
        children = [self.child((*path, key), numbers) for key in self.facts[path].children]
        shapes = tuple(self.shape(name) for name in inputs)
        return Scope(path[-1] if path else "", path, self.places.classes.get(path), children, reads, shapes)

    def child(self, path: Path, numbers: dict[str, int]) -> Child:
        name = self.names.get(path)
        if name is not None:
            reads = tuple(self.read(each, path, numbers) for each in self.places.reads[name])
            return Leaf(path[-1], self.places.nodes[name], reads)
        inputs = tuple(self.facts[path].inputs)
        return self.scope(path, inputs, tuple(self.read(each, path, numbers) for each in inputs))

    def read(self, name: str, path: Path, numbers: dict[str, int]) -> Read:
        if name in numbers:
            return numbers[name]
        return self.places.paths[name][len(path) - 1]

    def shape(self, name: str) -> Shape:
        return self.input_shape if name == INPUT else self.places.nodes[name].shape
