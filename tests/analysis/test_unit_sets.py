"""Sets of units as bits, against sets of numbers; and how much work and memory one unit of a large network is."""

from __future__ import annotations

import tracemalloc
from random import Random

import pytest
from work import calls_of

import cnnspec
from cnnspec import SpecError
from cnnspec.analysis import unit_field
from cnnspec.analysis.field_state import ALL
from cnnspec.analysis.unit_sets import before_shuffle, through, unflattened
from cnnspec.ops.window import Adaptive, Grouped, Resized, Shuffled, Sliding, Transposed, Window


def free(work: int) -> None:
    assert work > 0


def numbers(bits: int, size: int) -> set[int]:
    return {place for place in range(size) if bits >> place & 1}


def drawn(rng: Random) -> tuple[Window, int, int]:
    """A window, and the sizes of the axis that it reads and of its own."""
    size, kernel, stride, dilation = rng.randint(1, 60), rng.randint(1, 9), rng.randint(1, 12), rng.randint(1, 9)
    groups = rng.randint(1, 5)
    padding, out = rng.randint(0, 9), rng.randint(1, 70)
    sliding = Sliding(kernel, stride, dilation, rng.randint(-9, 9), rng.randint(-9, 9))
    moved = Sliding(1, before=rng.randint(-9, 9), after=rng.randint(-9, 9))
    transposed = Transposed(kernel, stride, dilation, padding)
    window, own = rng.choice(
        (
            (sliding, max(1, sliding.out_size(size))),
            (moved, max(1, moved.out_size(size))),
            (transposed, max(1, transposed.out_size(size))),
            (Adaptive(size, out), out),
            (Resized(size, out, size / out, "nearest"), out),
            (Resized(size, out, size / out, "cubic"), out),
            (Grouped(size, groups), groups),
            (Shuffled(size * groups, groups), size * groups),
        )
    )
    return window, size * groups if isinstance(window, Shuffled) else size, own


@pytest.mark.parametrize("seed", range(20))
def test_what_a_set_of_units_reads_is_what_each_of_them_does(seed: int) -> None:
    rng = Random(seed)
    for _ in range(100):
        window, size, own = drawn(rng)
        for bits in (
            ALL,
            (1 << own) - 1,
            rng.getrandbits(own),
            1 << rng.randrange(own),
            (2 << own // 3) - 1 << own // 2,
        ):
            read = {tap for unit in numbers(bits, own) for tap in window.reads(unit) if 0 <= tap < size}
            assert numbers(through(window, bits, size, own, free), size) == read, (window, bits, size, own)


@pytest.mark.parametrize("seed", range(5))
def test_shuffled_and_flattened_sets(seed: int) -> None:
    rng = Random(seed)
    for _ in range(20):
        factor, channels, rows, columns = rng.randint(1, 3), rng.randint(1, 3), rng.randint(1, 4), rng.randint(1, 4)
        shape = channels * factor**2, rows, columns
        needed = tuple(
            rng.choice((ALL, 1 + rng.getrandbits(size) % (1 << size)))
            for size in (channels, rows * factor, columns * factor)
        )
        units = [
            (c * factor**2 + y % factor * factor + x % factor, y // factor, x // factor)
            for c in numbers(needed[0], channels)
            for y in numbers(needed[1], rows * factor)
            for x in numbers(needed[2], columns * factor)
        ]
        read = [
            (c, y, x)
            for product in before_shuffle(factor, shape, needed, free)
            for c in numbers(product[0], shape[0])
            for y in numbers(product[1], rows)
            for x in numbers(product[2], columns)
        ]
        assert sorted(read) == sorted(units)
        flat = rng.getrandbits(shape[0] * rows * columns)
        apart = [
            (c * rows + y) * columns + x
            for product in unflattened(flat, shape, free)
            for c in numbers(product[0], shape[0])
            for y in numbers(product[1], rows)
            for x in numbers(product[2], columns)
        ]
        assert sorted(apart) == sorted(numbers(flat, shape[0] * rows * columns))


@pytest.mark.parametrize(
    ("shape", "layers", "pixels"),
    [
        ("[1, 64, 16]", "ConvTranspose2d(1, 4, stride=97, padding=[7, 99]), AdaptiveMaxPool2d(1)", (62, 14)),
        ("[1, 64, 9999]", "Conv2d(1, 3, padding=1), AdaptiveMaxPool2d(1)", (64, 9999)),
        ("[1, 64, 9999]", "Conv2d(1, 3, stride=3, padding=1), AdaptiveMaxPool2d([1, 3])", (64, 3333)),
        ("[4, 64, 9999]", "PixelShuffle(2), AdaptiveMaxPool2d(1)", (64, 9999)),
    ],
)
def test_one_unit_behind_all_of_many_is_little_work(shape: str, layers: str, pixels: tuple[int, ...]) -> None:
    listed = "".join(f'  - "{layer}"\n' for layer in layers.replace("), ", ")|").split("|"))
    spec = cnnspec.loads(f"cnnspec: 1\ninput: {shape}\nlayers:\n{listed}")
    last = spec.graph.nodes[-1].name
    assert spec.field(last).pixels == pixels
    assert calls_of(lambda: spec.field(last)) < 8_000


def test_channels_that_read_alike_are_followed_together() -> None:
    """Some channels see everything and some do not, and thousands of groups read one of each kind."""
    layers = """
  near: Conv2d(3000, 3, padding=1)(input)
  pool: AdaptiveAvgPool2d(1)(near)
  far: Upsample(size=8, mode=nearest)(pool)
  both: Concat(near, far)
  deep: Conv2d(6000, 3, padding=1, groups=3000) * 3
"""
    spec = cnnspec.loads(f"cnnspec: 1\ninput: [1, 8, 8]\nlayers:{layers}")
    last = spec.graph.nodes[-1].name
    assert spec.field(last, (4, 4), channel=None).pixels == (8, 8)
    assert calls_of(lambda: spec.field(last, (4, 4))) < 600_000


def test_an_axis_of_two_billion_is_not_laid_out() -> None:
    spec = cnnspec.loads('cnnspec: 1\ninput: [3, 2147483647]\nlayers:\n  - "Conv1d(2, 1)"\n  - "Linear(9)"\n')
    spec.field("0", (3,))
    tracemalloc.start()
    assert spec.field("1").pixels == (2147483647,)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**20


def test_units_that_are_too_much_to_keep_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unit_field, "MOST_BITS", 2**22)
    paths = ", ".join(f"['Conv1d(1, 3, dilation={n}, padding={n})']" for n in range(1, 20))
    spec = cnnspec.loads(f"cnnspec: 1\ninput: [1, 1000000]\nlayers:\n  - {{add: [{paths}]}}\n")
    with pytest.raises(SpecError, match="too far apart to be kept"):
        spec.field(spec.graph.nodes[-1].name)
