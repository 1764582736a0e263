"""A scheme as boxes with numbers and arrows between them, for languages that lay out by themselves."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

from cnnspec.drawing.scheme import Box, Card, Group

__all__ = ["Arrow", "Flat", "Place"]


class Arrow(NamedTuple):
    """From box to box; None is the world outside: the input, or who takes the outputs."""

    source: int | None
    target: int | None
    tensor: str


@dataclass(frozen=True)
class Place:
    """A box that is seen; an open group has `inside`."""

    number: int
    box: Box
    around: str  # the name of the group that it stands in
    inside: tuple[Place, ...] = ()

    @property
    def is_open(self) -> bool:
        """Whether it is a group whose inside is seen."""
        return bool(self.inside)


@dataclass
class Flat:
    """The boxes of a scheme that is open down to `depth`, and the arrows between those that are not open."""

    root: Group
    depth: int
    places: tuple[Place, ...] = field(init=False)
    arrows: tuple[Arrow, ...] = field(init=False)

    def __post_init__(self) -> None:
        self._count = 0
        self.places = self._inside(self.root, self.depth)
        self.arrows = tuple(dict.fromkeys(self._arrows(self.root, self.places, is_root=True)))

    @cached_property
    def outputs(self) -> dict[str, str]:
        """What the outputs of the network are called in a text, by the tensor that each is."""
        tensors = dict.fromkeys(arrow.tensor for arrow in self.arrows if arrow.target is None)
        return {tensor: f"out{number}" for number, tensor in enumerate(tensors)}

    def ends(self, arrow: Arrow) -> tuple[str, str]:
        """What an arrow leads from and to, as both are called in a text."""
        source = "input" if arrow.source is None else f"b{arrow.source}"
        return source, self.outputs[arrow.tensor] if arrow.target is None else f"b{arrow.target}"

    def _inside(self, group: Group, depth: int) -> tuple[Place, ...]:
        return tuple(self._place(child, group.name, depth - 1) for child in group.children)

    def _place(self, box: Box, around: str, depth: int) -> Place:
        number = self._count
        self._count += 1
        inside = self._inside(box, depth) if isinstance(box, Group) and depth > 0 else ()
        return Place(number, box, around, inside)

    def _arrows(self, group: Group, places: tuple[Place, ...], *, is_root: bool = False) -> Iterator[Arrow]:
        for edge in group.edges:
            if edge.source < 0 and not is_root:
                continue  # an arrow of the group around it
            source = _giver(places[edge.source], edge.tensor) if edge.source >= 0 else None
            for target in _readers(places[edge.target], edge.tensor):
                yield Arrow(source, target, edge.tensor)
        for place in places:
            if place.is_open and isinstance(place.box, Group):
                yield from self._arrows(place.box, place.inside)
        if is_root:
            for child, tensor in group.results:
                yield Arrow(_giver(places[child], tensor), None, tensor)


def _giver(place: Place, tensor: str) -> int:
    """The box that gives a tensor; where the group stands for several, its last copy does."""
    if isinstance(place.box, Card) or not place.is_open:
        return place.number
    results = place.box.results
    child, own = next((result for result in results if result[1] == tensor), results[0])
    return _giver(place.inside[child], own)


def _readers(place: Place, tensor: str) -> Iterator[int]:
    """The boxes that read a tensor."""
    if isinstance(place.box, Card) or not place.is_open:
        yield place.number
        return
    for edge in place.box.edges:
        if edge.source < 0 and edge.tensor == tensor:
            yield from _readers(place.inside[edge.target], edge.tensor)
