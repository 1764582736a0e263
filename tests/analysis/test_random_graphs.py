"""Random graphs, valid or not: torch runs the same specs node by node, from `torch.nn` alone."""

from __future__ import annotations

import json
import os
import sys
import warnings
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import pytest
import torch
from random_graphs import random_spec
from torch.utils.flop_counter import FlopCounterMode

import cnnspec
from cnnspec import SpecError
from cnnspec.analysis import analyze

sys.path.insert(0, str(Path(__file__).parent.parent / "ops"))
from references import reference

NIGHTLY = int(os.environ.get("CNNSPEC_GRAPHS", "8000"))


def in_torch(spec: dict[str, Any], device: str = "meta") -> dict[str, tuple[tuple[int, ...], int, int]]:
    """For every node its output shape, its parameters and its MACs; or torch's own error."""
    values = {"input": torch.zeros(2, *spec["input"], device=device)}
    found = {}
    for name, layer in spec["layers"].items():
        args = {key: tuple(v) if isinstance(v, list) else v for key, v in layer.items() if key not in ("type", "in")}
        reads = layer["in"] if isinstance(layer["in"], list) else [layer["in"]]
        inputs = [values[read] for read in reads]
        shapes = tuple(tuple(value.shape[1:]) for value in inputs)
        with torch.device(device):
            module = reference(layer["type"], args, shapes)
        counter = FlopCounterMode(display=False)
        with counter:
            values[name] = module(*inputs)
        shape = tuple(values[name].shape[1:])
        if min(shape) < 1:
            raise ValueError(f"{name} gives an empty tensor")
        macs = counter.get_total_flops() // 2 // 2  # two FLOPs a MAC, two samples
        found[name] = (shape, sum(p.numel() for p in module.parameters()), macs)
    return found


def runs_in_torch(text: str) -> bool:
    """Whether torch's CPU kernels take the spec; on the meta device they check less."""
    try:
        in_torch(json.loads(text), "cpu")
    except (RuntimeError, ValueError, AssertionError, IndexError):
        return False
    return True


def check(seeds: range) -> tuple[int, int]:
    """How many specs were valid, and how many refused; both verdicts are torch's too."""
    torch.set_num_threads(1)
    valid = refused = 0
    warnings.simplefilter("ignore")  # torch warns of every padded copy; pytest restores the filters
    for seed in seeds:
        text = random_spec(Random(seed))
        try:
            graph = cnnspec.loads(text, path="random.json").graph
            report = analyze(replace(graph, outputs=tuple(graph.by_name)))  # so that every layer is run
        except SpecError:
            report = None
        if report is None:
            refused += 1
            assert not runs_in_torch(text), f"torch runs what is refused: {text}"
            continue
        valid += 1
        truth = in_torch(json.loads(text))
        assert {row.name: (row.output_shape, row.params, row.macs) for row in report.layers} == truth, text
    return valid, refused


@pytest.mark.parametrize("start", range(0, 3800, 475))
def test_shapes_parameters_and_macs_are_torchs(start: int) -> None:
    valid, refused = check(range(start, start + 475))
    assert valid >= 250  # 2,000 in all
    assert refused >= 100


@pytest.mark.long
def test_many_more() -> None:
    valid, refused = check(range(3800, 3800 + NIGHTLY))
    assert valid > refused
