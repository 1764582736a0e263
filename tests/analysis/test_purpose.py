"""Which network a figure is of: inference leaves out what only training has, and training holds it."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from math import prod
from random import Random
from typing import Any

import pytest
import torch
from random_graphs import random_spec
from torch.utils.flop_counter import FlopCounterMode
from torchvision import models

import cnnspec
from cnnspec import api, zoo
from cnnspec.analysis import Report, analyze
from cnnspec.analysis.report import LayerReport
from cnnspec.cli.render.report import FORMATS, render
from cnnspec.errors import SpecError
from cnnspec.graph import PURPOSES, Graph, Purpose
from cnnspec.onnx_backend.initial import initial_weights
from cnnspec.onnx_backend.lower import lower, select_outputs

WITH_HEADS = ("googlenet", "inception_v3")

# `head` is an auxiliary head, `dead` is read by nothing; both stand between live layers of the same block. The head
# wants 9 pixels, and the rest takes a single one.
MIXED = """
cnnspec: 1
name: mixed
input: [3, {size}, {size}]
outputs: [fc]
aux_outputs: [trunk.head]
layers:
  stem: Conv2d(8, 3, padding=1)
  trunk:
    layers:
      a: Conv2d(8, 3, padding=1, bias=False)
      head: Conv2d(10, 9)
      dead: Conv2d(32, 1)(a)
      last: Conv2d(4, 1)(a)
  pool: AdaptiveAvgPool2d(1)
  flatten: Flatten
  fc: Linear(10)
"""
LIVE = 3 * 8 * 9 + 8 + 8 * 8 * 9 + 8 * 4 + 4 + 4 * 10 + 10
HEAD, DEAD = 8 * 10 * 81 + 10, 8 * 32 + 32


def mixed(size: int = 12) -> str:
    return MIXED.replace("{size}", str(size))


def torchvisions(name: str, *, heads: bool) -> torch.nn.Module:
    with torch.device("meta"):
        return models.get_model(name, init_weights=False, aux_logits=heads)


def counts(report: Report) -> tuple[int, int]:
    """Parameters of inference and of training."""
    assert report.train is not None
    return report.inference.params, report.train.params


def random_graphs(count: int) -> list[Graph]:
    """Random graphs with random outputs and heads, so that some layers are dead, in blocks of random nesting."""
    rng = Random(14)
    graphs: list[Graph] = []
    while len(graphs) < count:
        spec = json.loads(random_spec(rng, nodes=12))
        names = list(spec["layers"])
        spec["outputs"] = [rng.choice(names)]
        spec["aux_outputs"] = rng.sample(names, min(len(names), rng.randint(0, 2)))
        try:
            graph = cnnspec.loads(json.dumps(spec), path="random.json").graph
        except SpecError:
            continue
        block = ["b"]
        named = {"input": "input"}
        for node in graph:
            if rng.random() < 0.4:
                block = [f"b{rng.randint(0, 2)}" for _ in range(rng.randint(0, 3))]
            named[node.name] = ".".join([*block, node.name])
        nodes = tuple(
            replace(node, name=named[node.name], inputs=tuple(named[name] for name in node.inputs)) for node in graph
        )
        outputs, aux = (tuple(named[name] for name in found) for found in (graph.outputs, graph.aux_outputs))
        graphs.append(replace(graph, nodes=nodes, outputs=outputs, aux_outputs=aux))
    return graphs


@pytest.mark.parametrize("name", WITH_HEADS)
def test_both_figures_are_torchvisions(name: str) -> None:
    spec = cnnspec.load(name)
    wanted = tuple(sum(p.numel() for p in torchvisions(name, heads=heads).parameters()) for heads in (False, True))
    published = {"googlenet": (6_624_904, 13_004_888), "inception_v3": (23_834_568, 27_161_264)}
    assert wanted == published[name]
    assert counts(spec.analyze()) == wanted
    totals = spec.analyze().to_dict()["totals"]
    assert (totals["params"], totals["train"]["params"]) == wanted
    assert totals["param_bytes"] == 4 * wanted[0]
    totals = spec.analyze(purpose="train").to_dict()["totals"]
    assert (totals["params"], totals["inference"]["params"]) == wanted[::-1]
    buffers = [sum(b.numel() for b in torchvisions(name, heads=heads).buffers()) for heads in (False, True)]
    assert [totals["inference"]["buffers"], totals["buffers"]] == buffers


@pytest.mark.parametrize("text", [mixed(), mixed(40)])
def test_the_figures_of_inference_are_what_the_export_holds(text: str) -> None:
    spec = cnnspec.loads(text)
    model = lower(select_outputs(spec.graph), initial_weights(spec.graph))
    exported = {tensor.name: prod(tensor.dims) for tensor in model.graph.initializer}
    totals = spec.analyze().totals
    assert totals.params == sum(exported[name] for name in exported if name in spec.graph.state_shapes()) == LIVE
    written = {node.name for node in model.graph.node}
    assert [row.name for row in spec.analyze().layers] == [node.name for node in spec.graph if node.name in written]
    module = cnnspec.build(spec)
    assert counts(spec.analyze()) == (LIVE, sum(p.numel() for p in module.parameters()))
    assert counts(spec.analyze()) == (LIVE, LIVE + HEAD + DEAD)


@pytest.mark.parametrize("mode", PURPOSES)
def test_cost_is_that_of_what_runs(mode: Purpose) -> None:
    """A head costs something in training only, and a dead layer never, as torch counts."""
    spec = cnnspec.loads(mixed())
    module = cnnspec.build(spec).train(mode == "train")
    counter = FlopCounterMode(display=False)
    with counter:
        module(torch.zeros(2, 3, 12, 12))
    assert spec.analyze(purpose=mode).totals.macs == counter.get_total_flops() // 2 // 2


def test_figures_of_inference_are_those_of_the_part_that_the_outputs_need() -> None:
    graphs = [cnnspec.load(name).graph for name in WITH_HEADS] + random_graphs(150)
    smaller = 0
    for graph in graphs:
        part = graph.part(graph.outputs)
        report, alone = analyze(graph), analyze(part)
        assert report.layers == alone.layers
        assert report.inference == alone.inference._replace(training_bytes=report.inference.training_bytes)
        assert analyze(graph, purpose="train").train == report.train
        smaller += len(part) < len(graph)
    assert smaller > 80


def test_a_part_keeps_what_belongs_to_the_network() -> None:
    graph = cnnspec.loads(
        mixed().replace("input: [3, 12, 12]", "input: {shape: [3, 12, 12], mean: 0.5, std: 0.2}")
    ).graph
    part = graph.part(graph.outputs)
    assert (part.mean, part.std, part.classes, part.outputs) == (graph.mean, graph.std, graph.classes, ("fc",))
    assert part.aux_outputs == ()
    assert [node.name for node in graph.part(["trunk.head"])] == ["stem", "trunk.a", "trunk.head"]
    assert graph.network("train") is graph


def sums(rows: tuple[LayerReport, ...]) -> dict[str, Any]:
    flops = [row.flops for row in rows]
    return {
        "params": sum(row.params for row in rows),
        "trainable_params": sum(row.trainable_params for row in rows),
        "buffers": sum(row.buffers for row in rows),
        "macs": sum(row.macs for row in rows),
        "flops": None if None in flops else sum(value for value in flops if value is not None),
    }


def check_folds(graph: Graph) -> int:
    """Every depth of both purposes; how many folds there were."""
    deepest = max(node.name.count(".") for node in graph) + 1
    for purpose in PURPOSES:
        report = analyze(graph, purpose=purpose)
        for depth in range(1, deepest + 1):
            folded = report.folded(depth)
            found = sums(folded.layers)
            assert found == {name: getattr(report.totals, name) for name in found}, (graph.name, purpose, depth)
            assert folded.totals == report.totals
            assert all(row.macs <= report.totals.macs for row in folded.layers)
    return deepest


@pytest.mark.parametrize("start", range(4))
def test_folded_rows_of_the_bundled_networks_sum_to_the_totals(start: int) -> None:
    folds = [check_folds(cnnspec.load(name).graph) for name in sorted(zoo.names())[start::4]]
    assert len(folds) > 20
    assert max(folds) > 2


def test_folded_rows_of_random_networks_sum_to_the_totals() -> None:
    folds = [check_folds(graph) for graph in (cnnspec.loads(mixed()).graph, *random_graphs(150))]
    assert sum(depth > 2 for depth in folds) > 50


@pytest.mark.parametrize("purpose", PURPOSES)
@pytest.mark.parametrize("depth", [None, 1, 2])
def test_no_share_is_more_than_the_whole(purpose: Purpose, depth: int | None) -> None:
    report = cnnspec.loads(mixed(40)).analyze(purpose=purpose)
    text = render(report.folded(depth) if depth else report, "table")
    shares = [float(line.split()[-2]) for line in text.splitlines() if line.endswith(" %")]
    assert sum(shares) == pytest.approx(100, abs=0.05 * len(shares))


def test_a_block_with_a_head_in_it_is_told_by_what_runs() -> None:
    row = cnnspec.loads(mixed()).analyze(purpose="train").folded(1).layer("trunk")
    assert (row.op, row.aux, row.dead) == ("4 layers", False, False)
    assert row.output_shape == (4, 12, 12)


def test_a_head_is_a_head_and_a_dead_layer_is_dead() -> None:
    spec = cnnspec.loads(mixed())
    report = spec.analyze(purpose="train")
    marks = {row.name: (row.aux, row.dead) for row in report.layers if row.aux or row.dead}
    assert marks == {"trunk.head": (True, False), "trunk.dead": (False, True)}
    assert [row.name for row in spec.analyze().layers] == [r.name for r in report.layers if r.name not in marks]
    text = render(spec.analyze(), "table")
    assert "with\n            1 layer of auxiliary heads, which only training runs, and\n" in text
    assert "1 layer that nothing depends on, built and never run (W312): trunk.dead\n" in text
    dead_only = render(cnnspec.loads(mixed().replace("aux_outputs: [trunk.head]\n", "")).analyze(), "table")
    assert "auxiliary" not in dead_only
    assert "2 layers that nothing depends on" in dead_only
    assert dict(spec.explain("trunk.head").lines)["runs"].startswith("in training only")
    assert dict(spec.explain("trunk.dead").lines)["runs"].startswith("never")
    assert "runs" not in dict(spec.explain("trunk.a").lines)


@pytest.mark.parametrize("form", FORMATS)
def test_both_figures_are_printed_where_they_differ(form: str) -> None:
    report = cnnspec.load("googlenet").analyze()
    text = json.dumps(report.to_dict()) if form == "json" else render(report, form)
    if form == "csv":
        rows = list(csv.DictReader(io.StringIO(text)))
        assert sum(int(row["params"]) for row in rows) == 6_624_904
        assert {row["aux"] for row in rows} == {"false"}
        return
    for figure in (6_624_904, 13_004_888):
        assert (str(figure) if form == "json" else f"{figure:,}") in text
    assert "training: " not in render(cnnspec.load("resnet18").analyze(), form)


def test_the_other_totals_are_always_in_json_and_equal_where_nothing_differs() -> None:
    totals = cnnspec.load("resnet18").analyze().to_dict()["totals"]
    other = totals.pop("train")
    assert other == totals
    assert cnnspec.load("resnet18").analyze().to_dict()["for"] == "inference"


def test_an_input_that_only_a_head_refuses() -> None:
    """torchvision's network without its head runs at 224, and with it, in training, does not."""
    spec = cnnspec.load("inception_v3", input_shape=(3, 224, 224))
    report = spec.analyze()
    alone = torchvisions("inception_v3", heads=False).eval()
    counter = FlopCounterMode(display=False)
    with counter:
        alone(torch.zeros(1, 3, 224, 224, device="meta"))
    assert report.totals.macs == counter.get_total_flops() // 2
    assert report.totals.params == sum(p.numel() for p in alone.parameters())
    with pytest.raises(RuntimeError):
        torchvisions("inception_v3", heads=True).train()(torch.zeros(2, 3, 224, 224, device="meta"))
    data = report.to_dict()
    assert data["totals"]["train"] is None
    assert data["totals"]["training_bytes"] is None
    assert "AuxLogits.conv1.conv reads 128x3x3" in render(report, "table")
    assert spec.largest_batch(2**30) > 0
    for refused in (
        lambda: spec.analyze(purpose="train"),
        lambda: spec.largest_batch(2**30, optimizer="sgd"),
        lambda: cnnspec.build(spec),
        lambda: api.train(spec),
        lambda: cnnspec.load("inception_v3", input_shape=(3, 224, 224), purpose="train"),
    ):
        with pytest.raises(SpecError, match="E201"):
            refused()


def test_only_what_no_output_needs_may_refuse_an_input_and_only_one_that_is_not_declared() -> None:
    assert cnnspec.loads(mixed(), input_shape=(3, 5, 5)).graph.refused
    assert not cnnspec.loads(mixed(), input_shape=(3, 9, 9)).graph.refused
    with pytest.raises(SpecError, match="E201"):
        cnnspec.loads(mixed(5))
    live = mixed().replace("(a)\n  pool", "(head)\n  pool")
    with pytest.raises(SpecError, match="E201"):
        cnnspec.loads(live, input_shape=(3, 5, 5))
    for wrong in ("Conv2d(10, 9, kernel=3)", "Convolution(10, 9)", "Conv2d(ten, 9)"):  # of a head, at any input
        with pytest.raises(SpecError, match=r"E1(04|03|10)"):
            cnnspec.loads(mixed().replace("Conv2d(10, 9)", wrong), input_shape=(3, 5, 5))
    with pytest.raises(SpecError, match="E206"):
        cnnspec.loads(mixed().replace("outputs: [fc]", "classes: [a, b]\noutputs: [fc]"), input_shape=(3, 5, 5))


def test_the_largest_batch_of_inference_has_no_heads() -> None:
    spec, alone = (cnnspec.loads(text) for text in (mixed(), mixed()))
    alone = replace(alone, graph=alone.graph.part(alone.graph.outputs))
    memory = 200_000
    assert spec.largest_batch(memory) == alone.largest_batch(memory) > 0
    assert spec.largest_batch(memory, optimizer="sgd") < alone.largest_batch(memory, optimizer="sgd")


def test_the_list_of_bundled_networks_has_both() -> None:
    listed = {entry.name: entry for entry in api.bundled_networks() if entry.train_params != entry.params}
    assert {name: (e.params, e.train_params) for name, e in listed.items()} == {
        "googlenet": (6_624_904, 13_004_888),
        "inception_v3": (23_834_568, 27_161_264),
    }
    assert all(entry.to_dict()["train"]["macs"] > entry.macs for entry in listed.values())


def test_a_difference_of_heads_is_no_difference_of_inference_and_is_said() -> None:
    one, other = cnnspec.loads(mixed()), cnnspec.loads(mixed().replace("Conv2d(10, 9)", "Conv2d(20, 9)"))
    found = api.diff(one, other)
    assert found.changes == ()
    assert found.training_differs
    assert not found.equal
    totals = found.to_dict()["totals"]
    assert totals["params"] == {"before": LIVE, "after": LIVE, "ratio": 1}
    assert totals["train"]["params"]["after"] == LIVE + 2 * HEAD + DEAD
    whole = api.diff(one, other, purpose="train")
    assert [change.after.name for change in whole.changes if change.after] == ["trunk.head"]
    assert whole.to_dict()["totals"]["inference"]["params"]["after"] == LIVE
    assert api.diff(one, cnnspec.loads(mixed())).equal
    small = [cnnspec.loads(mixed(), input_shape=(3, 5, 5)) for _ in range(2)]
    assert api.diff(*small).equal
    published = {total.name: (total.before, total.after) for total in api.diff(*WITH_HEADS).totals}
    assert published["params"] == (6_624_904, 23_834_568)


def test_findings_about_heads_say_so_and_shares_are_of_the_network_of_the_layer() -> None:
    text = mixed().replace("Conv2d(4, 1)(a)", "Conv2d(40, 1)(a)").replace("  pool: AdaptiveAvgPool2d(1)\n", "")
    text = text.replace("Conv2d(10, 9)", '["Conv2d(10, 9)", Flatten, Linear(3000), BatchNorm1d]')
    text = text.replace("[trunk.head]", "[trunk.head.3]").replace("fc: Linear(10)", "fc: Linear(20)")
    found = {(finding.code, finding.layers): finding for finding in cnnspec.loads(text).lint()}
    # fc holds more than half of what inference has, though the head holds more than it.
    assert found["W308", ("fc",)].notes == ()
    assert "115,220 of 116,380" in found["W308", ("fc",)].message
    assert "only training runs it: it is part of an auxiliary head" in found["W305", ("trunk.head.2",)].notes


@pytest.mark.parametrize("purpose", PURPOSES)
def test_sizes_are_those_of_the_purpose(purpose: Purpose, tmp_path: Any) -> None:
    path = tmp_path / "net.yaml"
    path.write_text(mixed(16))
    found = api.sizes(path, purpose=purpose)
    sizes = {"inference": (1, 1), "train": (9, 9)}
    assert found.smallest == sizes[purpose]
    assert found.other_smallest == sizes["train" if purpose == "inference" else "inference"]
    data = found.to_dict()
    assert data["train" if purpose == "inference" else "inference"]["smallest_input"] == list(found.other_smallest)
    for size in range(1, 16):
        try:
            cnnspec.loads(mixed(16), input_shape=(3, size, size), purpose=purpose)
        except SpecError:
            assert size < found.smallest[0]
        else:
            assert size >= found.smallest[0]
    assert api.sizes(path, layer="trunk.head").smallest == (9, 9)


def test_the_smallest_inputs_of_inception_are_torchvisions() -> None:
    (weights,) = models.get_model_weights("inception_v3")
    found = api.sizes("inception_v3")
    assert found.smallest == weights.meta["min_size"] == (75, 75)
    assert found.other_smallest == (299, 299)
    assert api.sizes("inception_v3", purpose="train").smallest == (299, 299)
    model = torchvisions("inception_v3", heads=True).train()
    assert model(torch.zeros(2, 3, 299, 299, device="meta")).logits.shape == (2, 1000)
    with pytest.raises(RuntimeError):
        model(torch.zeros(2, 3, 298, 298, device="meta"))


def test_a_declared_input_that_a_head_refuses_is_told_the_smallest_for_training(tmp_path: Any) -> None:
    path = tmp_path / "net.yaml"
    path.write_text(mixed(5))
    (error,) = api.check(path).diagnostics
    assert error.code == "E201"
    assert error.help is not None
    assert error.help.endswith("the smallest input is 9x9")
