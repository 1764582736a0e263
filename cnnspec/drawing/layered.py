"""Where the boxes of one group stand: in layers from top to bottom, as Sugiyama, Tagawa and Toda (1981) draw graphs.

Each box stands below all that it reads. An edge over several layers bends at a place of its own in each of them. The
order within a layer is the one with the fewest crossings that sweeps up and down find; then each place is drawn to the
middle of its neighbours, as far as the others of its layer let it: a least-squares fit that pools those in each other's
way. Lengths are in pixels, x to the right and y downwards.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final, NamedTuple, TypeAlias

__all__ = ["Arrangement", "Point", "Spacing", "arrange"]

SWEEPS: Final = 8  # up and down, for the order
PASSES: Final = 12  # up and down, for the places
STRAIGHT: Final = {0: 1.0, 1: 2.0, 2: 8.0}  # how much an edge wants to be straight, by how many of its ends are bends
SPINE: Final = 10_000.0  # and the longest way through the group


class Point(NamedTuple):
    """A place."""

    x: float
    y: float


class Spacing(NamedTuple):
    """The room between boxes."""

    across: float = 28  # between neighbours of a layer
    bends: float = 16  # beside an edge that passes
    down: float = 34  # between layers


@dataclass(frozen=True)
class Arrangement:
    """The places: of each box the middle of its top, of each edge the points that it goes through."""

    tops: list[Point]
    routes: list[list[Point]]
    width: float
    height: float


@dataclass
class _Net:
    """The boxes and the bends of long edges as vertices; each edge as the vertices that it goes through."""

    widths: list[float]
    heights: list[float]
    ranks: list[int]
    paths: list[list[int]] = field(default_factory=list)
    boxes: int = 0

    def __post_init__(self) -> None:
        self.boxes = len(self.widths)

    def bend(self, rank: int) -> int:
        self.widths.append(0)
        self.heights.append(0)
        self.ranks.append(rank)
        return len(self.widths) - 1

    def is_bend(self, vertex: int) -> bool:
        return vertex >= self.boxes


def arrange(
    sizes: Sequence[tuple[float, float]],
    edges: Sequence[tuple[int, int]],
    spacing: Spacing,
    *,
    anchors: Sequence[tuple[float, float]] = (),
    last: Sequence[int] = (),
) -> Arrangement:
    """The places of boxes with these widths and heights. Those in `last` stand in the last layer, however early.

    `anchors` are for each edge how far right of the middle of its boxes it leaves the one and enters the other.
    """
    net = _Net([width for width, _ in sizes], [height for _, height in sizes], _ranks(len(sizes), edges, last))
    for source, target in edges:
        low, high = sorted((source, target), key=lambda vertex: net.ranks[vertex])
        path = [low, *(net.bend(rank) for rank in range(net.ranks[low] + 1, net.ranks[high])), high]
        net.paths.append(path if low == source else path[::-1])
    ends = anchors or [(0.0, 0.0)] * len(edges)
    spine = _spine(net, edges)
    links = [link for path, anchor in zip(net.paths, ends, strict=True) for link in _links(net, path, anchor, spine)]
    layers = _ordered(net, links)
    xs = _across(net, links, layers, spacing)
    tops = [0.0] * len(xs)
    y = 0.0
    bands = []  # of each layer, where it begins and ends
    for layer in layers:
        height = max((net.heights[vertex] for vertex in layer), default=0.0)
        for vertex in layer:
            tops[vertex] = y if net.is_bend(vertex) else y + (height - net.heights[vertex]) / 2
        bands.append((y, y + height))
        y += height + spacing.down
    left = min((x - width / 2 for x, width in zip(xs, net.widths, strict=True)), default=0.0)
    right = max((x + width / 2 for x, width in zip(xs, net.widths, strict=True)), default=0.0)
    points = [Point(x - left, top) for x, top in zip(xs, tops, strict=True)]
    routes = [_route(net, path, points, bands, anchor) for path, anchor in zip(net.paths, ends, strict=True)]
    return Arrangement(points[: net.boxes], routes, right - left, y - spacing.down)


class _Link(NamedTuple):
    """A part of an edge, from layer to layer; `shift` is how far right of `one` it would have `other`, and how much."""

    one: int
    other: int
    shift: float
    weight: float


class _End(NamedTuple):
    """A neighbour, how far right of it a vertex would stand, and how much."""

    vertex: int
    shift: float
    weight: float


def _spine(net: _Net, edges: Sequence[tuple[int, int]]) -> frozenset[tuple[int, int]]:
    """The edges on the longest way through the boxes."""
    longest = list(net.heights)
    before: dict[int, int] = {}
    for source, target in sorted(edges, key=lambda edge: net.ranks[edge[0]]):
        if net.ranks[source] < net.ranks[target] and longest[source] + net.heights[target] + 1 > longest[target]:
            longest[target] = longest[source] + net.heights[target] + 1
            before[target] = source
    vertex = max(range(len(longest)), key=longest.__getitem__, default=0)
    spine = set()
    while vertex in before:
        spine.add((before[vertex], vertex))
        vertex = before[vertex]
    return frozenset(spine)


def _links(net: _Net, path: list[int], anchor: tuple[float, float], spine: frozenset[tuple[int, int]]) -> list[_Link]:
    links = []
    is_spine = (path[0], path[-1]) in spine
    for number, (one, other) in enumerate(pairwise(path)):
        leaves = anchor[0] if number == 0 else 0.0
        enters = anchor[1] if number == len(path) - 2 else 0.0
        weight = SPINE if is_spine else STRAIGHT[net.is_bend(one) + net.is_bend(other)]
        links.append(_Link(one, other, leaves - enters, weight))
    return links


def _route(
    net: _Net, path: list[int], points: list[Point], bands: list[tuple[float, float]], anchor: tuple[float, float]
) -> list[Point]:
    """From the border of a box to that of another, straight through each layer on the way."""
    route: list[Point] = []
    upwards = net.ranks[path[0]] > net.ranks[path[-1]]
    for number, vertex in enumerate(path):
        x, top = points[vertex]
        bottom = top + net.heights[vertex]
        above, below = bands[net.ranks[vertex]]
        enters, leaves = (below, above) if upwards else (above, below)
        if number == 0:
            x, enters = x + anchor[0], top if upwards else bottom
        if number == len(path) - 1:
            x, leaves = x + anchor[1], bottom if upwards else top
        route += [Point(x, y) for y in dict.fromkeys((enters, leaves))]
    return route


def _ranks(count: int, edges: Sequence[tuple[int, int]], last: Sequence[int]) -> list[int]:
    """The layer of each box: the longest way to it. What reads something that comes later does not count."""
    ranks = [0] * count
    forward = sorted((edge for edge in edges if edge[0] < edge[1]), key=lambda edge: edge[1])
    for source, target in forward:
        ranks[target] = max(ranks[target], ranks[source] + 1)
    lowest = max(ranks, default=0)
    for vertex in last:
        ranks[vertex] = lowest
    return _parted(ranks, edges)


def _parted(ranks: list[int], edges: Sequence[tuple[int, int]]) -> list[int]:
    """The ranks, with no edge inside a layer."""
    for source, target in edges:
        if ranks[source] == ranks[target] and source != target:
            ranks = [rank + (rank >= ranks[target] and vertex != source) for vertex, rank in enumerate(ranks)]
    return ranks


_Near: TypeAlias = list[list[_End]]  # the neighbours of each vertex


def _neighbours(count: int, links: Sequence[_Link], ranks: Sequence[int]) -> tuple[_Near, _Near]:
    """Those of each vertex in the layer above, and in the one below."""
    above: _Near = [[] for _ in range(count)]
    below: _Near = [[] for _ in range(count)]
    for one, other, shift, weight in links:
        if ranks[one] < ranks[other]:
            below[one].append(_End(other, -shift, weight))
            above[other].append(_End(one, shift, weight))
        else:
            below[other].append(_End(one, shift, weight))
            above[one].append(_End(other, -shift, weight))
    return above, below


def _ordered(net: _Net, links: Sequence[_Link]) -> list[list[int]]:
    """The layers with few crossings: the best of what sweeps find."""
    count = len(net.ranks)
    above, below = _neighbours(count, links, net.ranks)
    layers: list[list[int]] = [[] for _ in range(max(net.ranks, default=-1) + 1)]
    for vertex in _by_depth(net, below, above):
        layers[net.ranks[vertex]].append(vertex)
    best, fewest = [list(layer) for layer in layers], _crossings(layers, below)
    for turn in range(SWEEPS):
        if not fewest:
            break
        downwards = turn % 2 == 0
        for layer, before in _sweep(layers, downwards):
            places = {vertex: place for place, vertex in enumerate(before)}
            near = above if downwards else below
            middles = {
                vertex: sum(places[end.vertex] for end in near[vertex]) / len(near[vertex]) if near[vertex] else place
                for place, vertex in enumerate(layer)
            }
            layer.sort(key=middles.__getitem__)
        crossings = _crossings(layers, below)
        if crossings < fewest:
            best, fewest = [list(layer) for layer in layers], crossings
    return best


def _sweep(layers: list[list[int]], downwards: bool) -> list[tuple[list[int], list[int]]]:
    """Each layer with the one that was put in order before it."""
    pairs = list(zip(layers[1:], layers, strict=False))
    return pairs if downwards else [(before, layer) for layer, before in reversed(pairs)]


def _by_depth(net: _Net, below: _Near, above: _Near) -> list[int]:
    """The vertices as a search in depth meets them: what belongs together stands side by side."""
    seen: dict[int, None] = {}
    for start in range(len(net.ranks)):
        if above[start] and start < net.boxes:
            continue
        waiting = [start]
        while waiting:
            vertex = waiting.pop()
            if vertex not in seen:
                seen[vertex] = None
                waiting += sorted((end.vertex for end in below[vertex]), reverse=True)
    return list(seen)


def _crossings(layers: list[list[int]], below: _Near) -> int:
    """How many pairs of links cross."""
    crossings = 0
    for upper, lower in pairwise(layers):
        places = {vertex: place for place, vertex in enumerate(lower)}
        ends: list[int] = []
        for vertex in upper:
            targets = sorted(places[end.vertex] for end in below[vertex])
            crossings += sum(len(ends) - bisect_right(ends, target) for target in targets)
            for target in targets:
                insort(ends, target)
    return crossings


def _across(net: _Net, links: Sequence[_Link], layers: list[list[int]], spacing: Spacing) -> list[float]:
    """The middle of each vertex along its layer."""
    above, below = _neighbours(len(net.ranks), links, net.ranks)
    xs = [0.0] * len(net.ranks)
    gaps = [_gaps(net, layer, spacing) for layer in layers]
    for layer, between in zip(layers, gaps, strict=True):
        x = 0.0
        for vertex, gap in zip(layer, between, strict=True):
            xs[vertex] = x = x + gap
        middle = (xs[layer[0]] + xs[layer[-1]]) / 2 if layer else 0.0
        for vertex in layer:
            xs[vertex] -= middle
    numbers = list(range(len(layers)))
    for turn in range(PASSES):
        downwards = turn % 2 == 0
        near = above if downwards else below
        for number in numbers if downwards else numbers[::-1]:
            layer = layers[number]
            wanted, weights = [], []
            for vertex in layer:
                x, weight = _middle(vertex, near[vertex], xs)
                wanted.append(x)
                weights.append(weight)
            for vertex, x in zip(layer, _fitted(wanted, weights, gaps[number]), strict=True):
                xs[vertex] = x
    return xs


def _gaps(net: _Net, layer: list[int], spacing: Spacing) -> list[float]:
    """How far each vertex of a layer is at least from the one before it; 0 for the first."""
    gaps = [0.0]
    for one, other in pairwise(layer):
        room = spacing.bends if net.is_bend(one) or net.is_bend(other) else spacing.across
        gaps.append((net.widths[one] + net.widths[other]) / 2 + room)
    return gaps


def _middle(vertex: int, near: list[_End], xs: list[float]) -> tuple[float, float]:
    """Where a vertex would stand, and how much it wants to: at the weighted median of its neighbours."""
    if not near:
        return xs[vertex], 0.1
    pairs = sorted((xs[end.vertex] + end.shift, end.weight) for end in near)
    total = sum(weight for _, weight in pairs)
    reached = 0.0
    for number, (x, weight) in enumerate(pairs):
        reached += weight
        if reached == total / 2:
            return (x + pairs[number + 1][0]) / 2, total
        if reached > total / 2:
            return x, total
    return pairs[-1][0], total


def _fitted(wanted: list[float], weights: list[float], gaps: list[float]) -> list[float]:
    """The places nearest to those wanted, in least squares, that keep their order and the gaps between them."""
    blocks: list[tuple[float, float, int]] = []  # place without gaps, weight, how many
    offset = 0.0
    offsets = []
    for place, weight, gap in zip(wanted, weights, gaps, strict=True):
        offset += gap
        offsets.append(offset)
        block = (place - offset, weight, 1)
        while blocks and blocks[-1][0] > block[0]:
            before = blocks.pop()
            both = before[1] + block[1]
            block = ((before[0] * before[1] + block[0] * block[1]) / both, both, before[2] + block[2])
        blocks.append(block)
    places = [place for place, _, many in blocks for _ in range(many)]
    return [place + offset for place, offset in zip(places, offsets, strict=True)]
