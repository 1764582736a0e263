"""Wide random graphs: every figure of every layer against torch, and against the oracle of sets.

A layer behind one that differs is left out, so that a difference is told once, where it begins.
"""

from __future__ import annotations

import json
import os
import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass, replace
from random import Random
from typing import Any

import numpy as np
import pytest
import torch
from graph_features import FEATURES, features
from index_sets import Array, Seen, index_sets
from paths import alignment, paths, truth
from tainted import run_node
from test_random_graphs import runs_in_torch
from torch.utils.flop_counter import FlopCounterMode
from wide_graphs import load, wide_spec

from cnnspec import Spec, SpecError
from cnnspec.analysis import Report, analyze
from cnnspec.analysis.unit_field import unit_field
from cnnspec.graph import Graph, Node
from cnnspec.ops import operators

GRAPHS = 1_060  # of which 1,000 are valid
CHUNK = 106
LONG = int(os.environ.get("CNNSPEC_GRAPHS", "50000"))
UNITS = 4  # of a layer that are compared, its two ends among them
LAYERS = 4  # of a graph whose units are compared


@dataclass(frozen=True)
class Difference:
    """What a report says of a layer, and what is true."""

    what: str
    layer: str
    found: Any
    true: Any
    seed: int

    def __str__(self) -> str:
        return f"{self.what} of {self.layer}, seed {self.seed}: {self.found} instead of {self.true}"


def measured(node: Node, inputs: list[torch.Tensor]) -> tuple[torch.Tensor, tuple[tuple[int, ...], int, int]]:
    """What torch gives for a node: the tensor, and its shape, its parameters and its MACs per sample."""
    parameters = 0

    def count(module: torch.nn.Module) -> None:
        nonlocal parameters
        parameters = sum(parameter.numel() for parameter in module.parameters())

    counter = FlopCounterMode(display=False)
    with (
        torch.no_grad(),
        counter if node.op.op_name.startswith(("Conv", "Std", "Scaled", "BlurPool", "Linear")) else nullcontext(),
    ):
        y = run_node(node, inputs, count)
    macs = counter.get_total_flops() // 2 // inputs[0].shape[0]  # 2 FLOPs a MAC; 0 where nothing was counted
    return y, (tuple(y.shape[1:]), parameters, macs)


def against_torch(graph: Graph, report: Report, seed: int) -> Iterator[Difference]:
    """Shapes, parameters and MACs."""
    values = {"input": torch.zeros(2, *graph.input_shape)}
    for node, row in zip(graph, report.layers, strict=True):
        values[node.name], true = measured(node, [values[name] for name in node.inputs])
        found = (row.output_shape, row.params, row.macs)
        if found != true:
            yield Difference("shape, parameters, MACs", node.name, found, true, seed)
            return


def against_the_oracle(spec: Spec, report: Report, seed: int) -> Iterator[Difference]:
    """Fields, clipped and not, and what is said of them."""
    graph = spec.graph
    seen = index_sets(graph)
    arrived = paths(graph, seen)
    aligned = alignment(graph, arrived, seen)
    rng = Random(seed)
    sampled = {node.name for node in rng.sample(graph.nodes, min(LAYERS, len(graph)))} | {graph.nodes[-1].name}
    wrong: set[str] = set()
    for node in graph:
        state, row = seen[node.name], report.layer(node.name)
        if state.layout.odd or wrong.intersection(node.inputs):
            wrong.add(node.name)
            continue
        pairs: list[tuple[str, Any, Any]] = [
            ("sees_everything", row.sees_everything, state.sees_everything),
            ("global_context", row.global_context, state.global_context),
        ]
        local = arrived[node.name]
        if local is not None and not state.sees_everything:
            figures = truth(local, state.layout)
            pairs += [
                ("receptive_field", row.receptive_field, figures.field),
                ("min_receptive_field", row.min_receptive_field, figures.least),
                ("pixels_read", row.pixels_read, figures.pixels),
                ("effective_padding", row.effective_padding, figures.padding),
                ("effective_stride", row.effective_stride, figures.strides),
            ]
            if aligned[node.name] is not None:
                pairs.append(("aligned", row.aligned, aligned[node.name]))
        found = [(what, left, right) for what, left, right in pairs if not agrees(left, right)]
        if not found and node.name in sampled and not state.layout.lost and state.layout.units:
            found = list(units(graph, node, state, rng))
        if found:
            wrong.add(node.name)
        yield from (Difference(what, node.name, left, right, seed) for what, left, right in found)


def agrees(found: Any, true: Any) -> bool:
    """Whether they are equal, where the truth is known."""
    if not isinstance(true, tuple):
        return bool(found == true)
    return all(right is None or left == right for left, right in zip(found, true, strict=True))


def units(graph: Graph, node: Node, state: Seen, rng: Random) -> Iterator[tuple[str, Any, Any]]:
    """Some units that read other pixels than the oracle's: hull and count on each axis, over all channels or in one."""
    every = list(np.ndindex(*state.layout.units))
    picked = [every[0], every[-1], *rng.sample(every, min(len(every), UNITS - 2))]
    reads = state.reads()
    places = [len(node.shape) if place is None else place for place in state.layout.place]
    order = sorted(range(len(places)), key=places.__getitem__)
    for unit in picked:
        own = tuple(unit[axis] for axis in order)  # in the order of the layer's axes
        field = unit_field(graph, node.name, own)
        found, true = (field.clipped, field.pixels), extent(reads[unit])
        if found != true:
            yield f"unit {unit}", found, true
    if state.layout.place == tuple(range(1, len(node.shape))):
        channel = rng.randrange(node.shape[0])
        unit = picked[-1]
        field = unit_field(graph, node.name, unit, channel)
        found, true = (field.clipped, field.pixels), extent(state.reads(channel)[unit])
        if found != true:
            yield f"unit {unit} of channel {channel}", found, true


def extent(mask: Array) -> tuple[tuple[tuple[int, int], ...] | None, tuple[int, ...]]:
    """First and last pixel on each axis, and how many there are."""
    where = mask.nonzero()
    hull = tuple((int(axis.min()), int(axis.max())) for axis in where) if where[0].size else None
    return hull, tuple(np.unique(axis).size for axis in where)


def drawn(seed: int) -> tuple[str, Spec | None]:
    """The text of a seed, and what it declares; None where it is refused."""
    text = wide_spec(Random(seed))
    try:
        return text, load(text)
    except SpecError:
        return text, None


def compare(seeds: range) -> tuple[int, int, list[Difference]]:
    """How many graphs were valid, how many refused, and what differs."""
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")  # torch warns of every padded copy; pytest restores the filters
    valid = refused = 0
    differences: list[Difference] = []
    for seed in seeds:
        text, spec = drawn(seed)
        if spec is None:
            refused += 1
            flat = all(isinstance(entry, dict) and "type" in entry for entry in json.loads(text)["layers"].values())
            assert flat, f"a spec that should be valid is refused: {text}"
            assert not runs_in_torch(text), f"torch runs what is refused: {text}"
            continue
        valid += 1
        report = analyze(replace(spec.graph, outputs=tuple(spec.graph.by_name)))  # dead layers too
        differences += against_torch(spec.graph, report, seed)
        differences += against_the_oracle(spec, report, seed)
    return valid, refused, differences


def told(differences: list[Difference]) -> str:
    """How many of each kind there are, and for each the smallest network."""
    kinds = Counter(each.what.split(" (")[0] for each in differences)
    lines = [f"{count} x {kind}" for kind, count in kinds.most_common()]
    for kind in kinds:
        smallest = min((each for each in differences if each.what.startswith(kind)), key=lambda each: len(cut(each)))
        lines += ["", str(smallest), cut(smallest)]
    return "\n".join(lines)


def cut(difference: Difference) -> str:
    """The layers that lead to the one that differs."""
    spec = drawn(difference.seed)[1]
    assert spec is not None
    needed = spec.graph.ancestors([difference.layer])
    lines = [
        f"  {node.name}: {node.op.op_name}{node.op.arguments()}({', '.join(node.inputs)}) -> {node.shape}"
        for node in spec.graph
        if node.name in needed
    ]
    return "\n".join([f"  {spec.graph.input_shape}", *lines])


@pytest.mark.parametrize("start", range(0, GRAPHS, CHUNK))
def test_every_figure_is_true(start: int) -> None:
    valid, refused, differences = compare(range(start, start + CHUNK))
    assert valid >= 90
    assert refused >= 1
    assert not differences, told(differences)


def test_every_feature_is_drawn(capsys: pytest.CaptureFixture[str]) -> None:
    counts: Counter[str] = Counter()
    drawn_operators: set[str] = set()
    valid = 0
    for seed in range(GRAPHS):
        text, spec = drawn(seed)
        if spec is not None:
            valid += 1
            counts.update(features(spec.graph, text))
            drawn_operators |= {node.op.op_name for node in spec.graph}
    with capsys.disabled():
        print(f"\n{valid} graphs: {', '.join(f'{name} {counts[name]}' for name in sorted(FEATURES))}")
    assert valid >= 1_000
    assert {name: counts[name] for name in FEATURES if counts[name] < 30} == {}
    assert drawn_operators == set(operators())


@pytest.mark.long
@pytest.mark.parametrize("part", range(16))
def test_many_more(part: int) -> None:
    each = -(-LONG // 16)
    first = GRAPHS + part * each
    valid, refused, differences = compare(range(first, first + each))
    assert valid > 10 * refused
    assert not differences, told(differences)
