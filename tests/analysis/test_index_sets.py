"""The oracle of receptive fields held against torch, and against fields worked out by hand."""

from __future__ import annotations

import json
import warnings
from fractions import Fraction
from math import prod
from random import Random

import numpy as np
import pytest
import torch
from gradients import pixels_with_gradient
from index_sets import Array, index_sets
from paths import Truth, alignment, paths, truth
from random_graphs import random_spec
from tainted import tainted
from wide_graphs import load, wide_spec

import cnnspec
from cnnspec import SpecError
from cnnspec.graph import Graph


def bits(words: Array, pixels: int) -> Array:
    """Words as bools, pixels last."""
    return np.unpackbits(np.ascontiguousarray(words).view(np.uint8), axis=-1, bitorder="little")[..., :pixels] == 1


def check_against_torch(seeds: range) -> int:
    """Compare every unit of every channel of every node; how many graphs there were."""
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")  # torch warns of every padded copy; pytest restores the filters
    count = 0
    for seed in seeds:
        text = wide_spec(Random(seed))
        try:
            graph = load(text).graph
        except SpecError:
            continue
        count += 1
        pixels = prod(graph.input_shape[1:])
        seen = index_sets(graph)
        reached = tainted(graph)
        flags = {name: torch.from_numpy(state.everything.copy()) for name, state in seen.items()}
        locally = tainted(graph, flags)
        for node in graph:
            state = seen[node.name]
            assert np.array_equal(bits(state.every, pixels), reached[node.name].numpy()), (node.name, text)
            expected = locally[node.name].numpy() & ~state.everything[..., None]
            assert np.array_equal(bits(state.local, pixels), expected), (node.name, text)
    return count


@pytest.mark.parametrize("start", range(0, 120, 40))
def test_every_unit_depends_on_what_torch_says(start: int) -> None:
    assert check_against_torch(range(start, start + 40)) >= 30


@pytest.mark.long
@pytest.mark.parametrize("start", range(200, 4200, 250))
def test_many_graphs_against_torch(start: int) -> None:
    assert check_against_torch(range(start, start + 250)) >= 200


def test_gradients_say_the_same() -> None:
    """A second truth, for the operators that have positive gradients."""
    torch.set_num_threads(1)
    compared = 0
    for seed in range(200):
        try:
            graph = cnnspec.loads(random_spec(Random(seed)), path="random.json").graph
        except SpecError:
            continue
        name = graph.nodes[-1].name
        state = index_sets(graph)[name]
        if state.sees_everything or state.global_context:
            continue
        compared += 1
        reads = state.reads()
        for unit, mask in pixels_with_gradient(graph, name, most=20).items():
            assert np.array_equal(reads[unit], mask.numpy()), (unit, graph)
    assert compared >= 70


def test_paths_say_what_the_sets_do_where_nothing_clips() -> None:
    """On a long input some units lie so far from both ends that they clip nowhere: there the two oracles must agree."""
    compared = 0
    for seed in range(120):
        document = json.loads(wide_spec(Random(seed)))
        if len(document["input"]) != 2:
            continue
        document["input"][1] = 240
        try:
            graph = load(json.dumps(document)).graph
        except SpecError:
            continue
        seen = index_sets(graph)
        arrived = paths(graph, seen)
        for node in graph:
            state, local = seen[node.name], arrived[node.name]
            if local is None or state.sees_everything or state.layout.odd or state.layout.lost:
                continue
            found = truth(local, state.layout)
            if found.field[0] is None or not 0 < found.field[0] < 60:
                continue
            if state.layout.place != (1,):
                continue
            units = [unit.nonzero()[0] for channel in range(node.shape[0]) for unit in state.reads(channel)]
            inner = [pixels for pixels in units if pixels.size and pixels[0] > 0 and pixels[-1] < 239]
            if not inner:
                continue
            compared += 1
            assert max(pixels[-1] - pixels[0] + 1 for pixels in inner) == found.field[0], (node.name, document)
            assert max(pixels.size for pixels in inner) == found.pixels[0], (node.name, document)
    assert compared > 80


def figures(shape: list[int], layers: str) -> tuple[Graph, Truth, bool | None]:
    """The figures of the last layer."""
    graph = cnnspec.loads(f"cnnspec: 1\ninput: {shape}\nlayers:\n" + layers).graph
    seen = index_sets(graph)
    found = paths(graph, seen)
    name = graph.nodes[-1].name
    arrived = found[name]
    assert arrived is not None
    return graph, truth(arrived, seen[name].layout), alignment(graph, found, seen)[name]


@pytest.mark.parametrize(
    ("shape", "layers", "field", "padding"),
    [
        ([1, 32], "  - Conv1d(1, 3, padding=1)\n  - Conv1d(1, 3, stride=2, dilation=2)\n", (7,), (1,)),
        (
            [1, 40],
            "  - AdaptiveAvgPool1d(6)\n  - Upsample(scale_factor=1.3)\n  - Conv1d(1, 3, padding=1)\n",
            (21,),
            (7,),
        ),
        ([1, 8], "  - Upsample(scale_factor=1.3)\n  - Conv1d(1, 3, padding=1)\n", (3,), (1,)),
        ([1, 8], "  - ConvTranspose1d(1, 3, stride=2)\n", (2,), (1,)),
        ([1, 16], "  - Upsample(scale_factor=2)\n  - Conv1d(1, 3, padding=1)\n", (2,), (1,)),
        ([1, 8], "  - Upsample(scale_factor=1.05, mode=linear)\n", (1,), (0,)),
        (
            [3, 16, 16],
            "  a: Conv2d(4, 1)\n  b: Conv2d(4, 7, padding=3)(input)\n  cat: Concat(a, b)\n  part: Slice(0, 4)\n",
            (1, 1),
            (0, 0),
        ),
        (
            [3, 16, 16],
            "  a: Conv2d(4, 1)\n  b: Conv2d(4, 7, padding=3)(input)\n  cat: Concat(a, b)\n"
            "  mix: ChannelShuffle(2)\n  part: Slice(0, 1)\n  end: Conv2d(2, 3)\n",
            (3, 3),
            (0, 0),
        ),
        (
            [3, 8, 10],
            '  conv: Conv2d(2, 3, padding=1)\n  strip: "AdaptiveAvgPool2d([1, None])"\n',
            (10, 3),
            (1, 1),
        ),
        (
            [3, 8, 10],
            "  conv: Conv2d(2, 3, padding=1)\n  norm: LayerNorm\n",
            (3, 12),
            (1, 1),
        ),
    ],
)
def test_fields_worked_out_by_hand(
    shape: list[int], layers: str, field: tuple[int, ...], padding: tuple[int, ...]
) -> None:
    _, found, _ = figures(shape, layers)
    assert (found.field, found.padding) == (field, padding)


def test_the_smallest_path_is_not_the_greedy_one() -> None:
    _, found, _ = figures(
        [1, 32, 32],
        "  c5: Conv2d(1, 5, padding=2)\n  pool: MaxPool2d(4)(input)\n  up: Upsample(scale_factor=4)\n"
        "  add: Add(c5, up)\n  last: Conv2d(1, 3, padding=1)\n",
    )
    assert found.least == (7, 7)


def test_pixels_of_a_unit_in_the_middle() -> None:
    graph, found, _ = figures(
        [1, 17], "  a: Conv1d(1, 2, dilation=8)\n  b: Conv1d(1, 1, stride=2)(input)\n  add: Add(a, b)\n"
    )
    assert found.pixels == (3,)
    assert index_sets(graph)["add"].reads()[4].nonzero()[0].tolist() == [4, 8, 12]


@pytest.mark.parametrize(("padding", "aligned"), [([5, -5], False), ([0, 0], True), ([1, -1], False)])
def test_centres_of_branches(padding: list[int], aligned: bool) -> None:
    _, _, verdict = figures(
        [1, 16],
        "  skip: Conv1d(1, 3, padding=1)\n  pool: MaxPool1d(2)\n  up: Upsample(scale_factor=2)\n"
        f'  s: "ZeroPad1d({padding})"\n  add: Add(skip, s)\n',
    )
    assert verdict is aligned


def test_strides_with_aligned_corners() -> None:
    _, found, _ = figures([1, 8, 8], "  - Upsample(scale_factor=3, mode=bilinear, align_corners=True)\n")
    assert found.strides == (Fraction(7, 23), Fraction(7, 23))


def test_behind_a_global_pool_the_union_of_what_is_read() -> None:
    graph = cnnspec.loads(
        "cnnspec: 1\ninput: [1, 9, 9]\nlayers:\n  - Conv2d(1, 2, stride=3)\n  - AdaptiveAvgPool2d(1)\n"
    ).graph
    state = index_sets(graph)["1"]
    assert state.sees_everything
    assert np.unique(state.reads()[0, 0].nonzero()[0]).tolist() == [0, 1, 3, 4, 6, 7]  # row 8 is in no window


def test_a_gate_is_context_and_a_slice_of_it_sees_everything() -> None:
    graph = cnnspec.loads(
        "cnnspec: 1\ninput: [2, 8, 8]\nlayers:\n  conv: Conv2d(2, 3, padding=1)\n  pool: AdaptiveAvgPool2d(1)\n"
        "  up: Upsample(scale_factor=8)\n  gated: Mul(conv, pool)\n  cat: Concat(conv, up)\n"
        "  first: Slice(0, 2)(cat)\n  rest: Slice(2, 4)(cat)\n  mixed: Conv2d(1, 1)(cat)\n"
    ).graph
    seen = index_sets(graph)
    flags = {name: (state.sees_everything, state.global_context) for name, state in seen.items()}
    assert flags["pool"] == flags["rest"] == (True, True)
    assert flags["gated"] == flags["cat"] == flags["mixed"] == (False, True)
    assert flags["first"] == (False, False)
    assert int(seen["mixed"].reads()[4, 4].sum()) == 9
