"""Bundled networks that torchvision does not have, against published figures, each with its source."""

from __future__ import annotations

from math import prod
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from torchvision import models

import cnnspec
from cnnspec import zoo
from cnnspec.graph import Graph
from cnnspec.torch_backend import build_module

GOLDEN: list[dict[str, Any]] = yaml.safe_load((Path(__file__).parents[1] / "golden" / "networks.yaml").read_text())
UNITS = {"M": 1e6, "G": 1e9}


def as_published(value: int, figure: int | str) -> int | str:
    """`value` as exact as `figure`: 4,231,976 beside "4.2M" is "4.2M"."""
    if isinstance(figure, int):
        return value
    digits = len(figure[:-1].partition(".")[2])
    return f"{value / UNITS[figure[-1]]:.{digits}f}{figure[-1]}"


def params_below(graph: Graph, name: str) -> int:
    nodes = [node for node in graph if node.name == name or node.name.startswith(f"{name}.")]
    return sum(prod(shape) for node in nodes for shape in node.op.parameter_shapes(*node.input_shapes).values())


def shape_of(graph: Graph, name: str) -> list[int]:
    """Of the node, or of the last one below the name."""
    return [list(node.shape) for node in graph if f"{node.name}.".startswith(f"{name}.")][-1]


@pytest.mark.parametrize("figures", GOLDEN, ids=lambda figures: figures["name"])
def test_published_figures(figures: dict[str, Any]) -> None:
    spec = cnnspec.load(figures["name"], params=figures.get("settings", {}))
    graph, totals = spec.graph, spec.analyze().totals
    assert figures["source"]
    assert as_published(totals.params, figures.get("params", 0)) == figures.get("params", totals.params)
    assert as_published(totals.macs, figures.get("macs", 0)) == figures.get("macs", totals.macs)
    assert {name: shape_of(graph, name) for name in figures.get("shapes", {})} == figures.get("shapes", {})
    by_layer = figures.get("layer_params", {})
    assert {name: params_below(graph, name) for name in by_layer} == by_layer
    if by_layer:  # the table sums to its total
        assert sum(by_layer.values()) == figures["params"]


def test_lenet5_1998_connections() -> None:
    """340,908 connections (LeCun et al. 1998, section II.B): multiplications and biases; a mean of four counts as 4."""
    graph = cnnspec.load("lenet5_1998").graph
    connections = 0
    for node in graph:
        if "coefficient" in node.name:
            connections += 5 * prod(node.shape)
        elif node.op.op_name in ("Conv2d", "Linear"):
            biased = "bias" in node.op.parameter_shapes(*node.input_shapes)
            connections += node.op.macs(*node.input_shapes) + biased * prod(node.shape)
    assert connections == 340_908


def test_every_bundled_name_works() -> None:
    names = zoo.names()
    assert len(names) >= 68 + 20
    for name in names:
        spec = cnnspec.load(name)
        assert len(spec.graph) >= 8
        if zoo.bundled().get(name) is not None:
            assert spec.graph.name == name  # a file is called as the network that it gives without a variant


def test_files_are_short() -> None:
    lengths = {name: len(path.read_text("utf-8").splitlines()) for name, path in zoo.bundled().items()}
    assert sum(lengths.values()) / len(lengths) < 80
    assert max(lengths.values()) < 120
    for path in zoo.bundled().values():
        text = path.read_text("utf-8")
        assert "description:" in text
        assert "reference:" in text or path.stem in ("mlp", "simple_cnn")


@pytest.mark.parametrize("name", sorted(set(zoo.names()) - set(models.list_models(module=models))))
def test_runs_in_torch(name: str) -> None:
    """The module gives the shapes that the graph promises, on paper."""
    graph = cnnspec.load(name).graph
    module = build_module(graph, device="meta")
    out = module(torch.empty(2, *graph.input_shape, device="meta"))
    assert tuple(out.shape) == (2, *graph.output_shape)
