"""Pictures show the network that there is: every layer stands in one box, every read is an edge, on any graph."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from strategies import specs

import cnnspec
from cnnspec import zoo
from cnnspec.drawing.flat import Flat
from cnnspec.drawing.scheme import Box, Card, Group, scheme
from cnnspec.graph import Graph

DEEP = 64


def boxes(box: Box) -> Iterator[Box]:
    yield box
    if isinstance(box, Group):
        for child in box.children:
            yield from boxes(child)


def copies_of(name: str, root: Group) -> str:
    """The name of the layer that stands for this one: in the first of the copies of each group around it."""
    for box in boxes(root):
        for copy in box.copies[1:]:
            if name == copy or name.startswith(f"{copy}."):
                name = box.copies[0] + name[len(copy) :]
    return name


def check(graph: Graph) -> None:
    root = scheme(graph)
    assert root.count() == len(graph)
    layers = [node.name for box in boxes(root) if isinstance(box, Card) for node in box.layers]
    assert len(set(layers)) == len(layers)
    assert {copies_of(node.name, root) for node in graph} == set(layers)
    flat = Flat(root, DEEP)
    home = {node.name: place for place, card in _cards(flat) for node in card.layers}
    shown = {(arrow.source, arrow.target) for arrow in flat.arrows}
    for node in graph:
        target = home[copies_of(node.name, root)]
        for tensor in node.inputs:
            source = None if tensor == "input" else home[copies_of(tensor, root)]
            if source != target:
                again = copies_of(node.name, root) != node.name  # what a copy reads of the one before is not drawn
                assert (source, target) in shown or again, (tensor, node.name)
    for source, target in shown:
        assert source is None or target is None or source != target


def _cards(flat: Flat) -> Iterator[tuple[int, Card]]:
    waiting = list(flat.places)
    while waiting:
        place = waiting.pop()
        waiting += place.inside
        if isinstance(place.box, Card):
            yield place.number, place.box


@pytest.mark.parametrize("name", sorted(zoo.names()))
def test_every_bundled_network(name: str) -> None:
    check(cnnspec.load(name).graph)


@given(spec=specs())
@settings(max_examples=60, deadline=None)
def test_random_networks(spec: dict[str, object]) -> None:
    import json

    check(cnnspec.loads(json.dumps(spec), path="random.json").graph)


def test_equal_groups_in_a_row_are_one() -> None:
    root = scheme(cnnspec.load("resnet50").graph)
    layer3 = next(box for box in root.children if box.name == "layer3")
    assert isinstance(layer3, Group)
    assert [(box.name, len(box.copies)) for box in layer3.children] == [("layer3.0", 0), ("layer3.1", 5)]


def test_a_layer_that_two_read_starts_no_box_with_one_of_them() -> None:
    text = "cnnspec: 1\ninput: [3, 8, 8]\nlayers:\n  a: Conv2d(4, 3)\n  b: ReLU\n  c: Tanh()(a)\n  d: Add(b, c)\n"
    root = scheme(cnnspec.loads(text).graph)
    assert [[node.name for node in box.layers] for box in root.children] == [["a"], ["b"], ["c"], ["d"]]
