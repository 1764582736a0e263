"""Boxes stand below what they read, in nobody's way, whatever the graph is."""

from __future__ import annotations

from itertools import combinations, pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from cnnspec.drawing.layered import Spacing, arrange

SPACING = Spacing()


@st.composite
def graphs(draw: st.DrawFn) -> tuple[list[tuple[float, float]], list[tuple[int, int]]]:
    """Boxes of any size, each of which reads earlier ones, and now and then one that comes later."""
    count = draw(st.integers(1, 14))
    sizes = [(float(draw(st.integers(0, 200))), float(draw(st.integers(0, 90)))) for _ in range(count)]
    edges = [
        (draw(st.integers(0, target - 1)), target) for target in range(1, count) for _ in range(draw(st.integers(1, 3)))
    ]
    if count > 3 and draw(st.booleans()):
        edges.append((count - 1, draw(st.integers(0, count - 2))))
    return sizes, list(dict.fromkeys(edges))


@given(graphs())
@settings(max_examples=300, deadline=None)
def test_nothing_overlaps_and_every_line_goes_from_box_to_box(
    graph: tuple[list[tuple[float, float]], list[tuple[int, int]]],
) -> None:
    sizes, edges = graph
    found = arrange(sizes, edges, SPACING)
    corners = [
        (x - width / 2, y, x + width / 2, y + height) for (x, y), (width, height) in zip(found.tops, sizes, strict=True)
    ]
    for one, other in combinations(corners, 2):
        assert one[2] <= other[0] + 1e-6 or other[2] <= one[0] + 1e-6 or one[3] < other[1] or other[3] < one[1]
    for left, top, right, bottom in corners:
        assert left >= -1e-6
        assert right <= found.width + 1e-6
        assert 0 <= top <= bottom <= found.height + 1e-6
    for (source, target), route in zip(edges, found.routes, strict=True):
        start, end = route[0], route[-1]
        assert start.x == found.tops[source].x
        assert end.x == found.tops[target].x
        if source < target:
            assert start.y == found.tops[source].y + sizes[source][1]
            assert end.y == found.tops[target].y
            assert all(before.y <= after.y for before, after in pairwise(route))


def test_the_longest_way_is_straight_and_a_skip_goes_round_it() -> None:
    sizes = [(0.0, 0.0), (100.0, 60.0), (140.0, 40.0), (80.0, 40.0)]
    found = arrange(sizes, [(0, 1), (1, 2), (2, 3), (0, 3)], SPACING)
    assert max(top.x for top in found.tops) - min(top.x for top in found.tops) < 0.1
    skip = found.routes[3]
    assert any(abs(point.x - found.tops[2].x) >= 70 + SPACING.bends for point in skip)


def test_branches_do_not_cross() -> None:
    edges = [(0, 1), (0, 2), (0, 3), (1, 4), (2, 5), (3, 6), (6, 7), (5, 7), (4, 7)]
    found = arrange([(40.0, 20.0)] * 8, edges, SPACING)
    above, below = [sorted(range(first, first + 3), key=lambda box: found.tops[box].x) for first in (1, 4)]
    assert [box + 3 for box in above] == below
