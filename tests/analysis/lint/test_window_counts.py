"""What windows read is counted without looking at each tap, and comes to what looking at each gives."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

from cnnspec.analysis import analyze
from cnnspec.analysis.borders import remainders_below
from cnnspec.analysis.lint import lint
from cnnspec.analysis.lint.windows import _first_on_padding, _used_taps
from cnnspec.language import read_spec
from cnnspec.ops.window import Sliding


def windows(count: int) -> Iterator[tuple[Sliding, int]]:
    rng = Random(6)
    for _ in range(count):
        kernel, stride, dilation = rng.randint(1, 9), rng.choice((1, 2, rng.randint(1, 30))), rng.randint(1, 30)
        before, after = rng.randint(-3, 40), rng.randint(-3, 40)
        window, size = Sliding(kernel, stride, dilation, before, after, rng.random() < 0.5), rng.randint(1, 40)
        if window.out_size(size) >= 1:
            yield window, size


def test_remainders_are_counted_as_if_one_by_one() -> None:
    rng = Random(5)
    for _ in range(5000):
        limit, count, factor = rng.randint(0, 40), rng.randint(0, 30), rng.randint(0, 60)
        start, divisor = rng.randint(-99, 99), rng.randint(1, 30)
        listed = sum((factor * i + start) % divisor < limit for i in range(count))
        assert remainders_below(limit, count, factor, start, divisor) == listed
    assert remainders_below(10**18, 10**20, 10**19 + 7, 3, 2 * 10**18) > 10**19  # no loop over as many


def test_the_first_position_on_padding_is_found() -> None:
    found = 0
    for window, size in windows(8000):
        positions = (set(window.reads(unit)) for unit in range(window.out_size(size)))
        first = next((unit for unit, taps in enumerate(positions) if not taps.intersection(range(size))), None)
        assert _first_on_padding(window, size) == first, (window, size)
        found += first is not None
    assert found > 500


def test_taps_that_read_pixels_are_counted() -> None:
    fewer = 0
    for window, size in windows(8000):
        used = {
            (pixel - unit * window.stride + window.before) // window.dilation
            for unit in range(window.out_size(size))
            for pixel in window.reads(unit)
            if 0 <= pixel < size
        }
        assert _used_taps(window, size) == len(used), (window, size)
        fewer += len(used) < window.kernel
    assert fewer > 500


def test_a_kernel_of_very_many_taps_is_counted_exactly() -> None:
    text = "cnnspec: 1\ninput: [1, 3]\nlayers:\n  - Conv1d(1, 30001, stride=7, padding=45000, dilation=2)\n"
    graph = read_spec("net.yaml", text.encode()).elaborate()
    (found,) = lint(graph, analyze(graph), select=["W319"])
    (_, units) = graph.nodes[0].shape
    distances = [pixel + 45000 - 7 * unit for unit in range(units) for pixel in range(3)]
    used = {distance // 2 for distance in distances if distance % 2 == 0 and 0 <= distance < 2 * 30001}
    assert 1000 < len(used) < 30001
    assert f"`0`: {30001 - len(used)} of the 30001 taps" in found.message
