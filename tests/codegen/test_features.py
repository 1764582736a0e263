"""Everything that the language can say, as source."""

from __future__ import annotations

import json
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
import torch
from code_support import made, tensors
from feature_specs import FEATURES, HEAD, LAYER_BY_LAYER
from hypothesis import HealthCheck, given, settings
from strategies import specs

import cnnspec
from cnnspec.codegen import write_code
from cnnspec.codegen.expressions import UnsayableError
from cnnspec.codegen.write import flat_source, spec_source
from cnnspec.torch_backend.same_code import check_code

EQUAL = 3  # checks: the tensors, the outputs in evaluation, and in training


@pytest.mark.parametrize("name", FEATURES)
def test_it_is_said_with_the_specs_own_blocks(name: str) -> None:
    text, words = FEATURES[name]
    network = cnnspec.loads(HEAD + text)
    written = spec_source(network)
    for word in words:
        assert word in written.text, written.text
    assert len(check_code(written, network.graph.network("train"))) == EQUAL
    assert next(write_code(network)) == written


@pytest.mark.parametrize("name", LAYER_BY_LAYER)
def test_what_blocks_do_not_say_is_said_in_other_ways(name: str) -> None:
    network = cnnspec.loads(HEAD + LAYER_BY_LAYER[name])
    with pytest.raises(UnsayableError):
        spec_source(network)
    for written in write_code(network):
        assert len(check_code(written, network.graph.network("train"))) == EQUAL


def test_all_of_it_is_as_a_formatter_leaves_it(tmp_path: Path) -> None:
    for number, text in enumerate([*(text for text, _ in FEATURES.values()), *LAYER_BY_LAYER.values()]):
        for way, written in enumerate(write_code(cnnspec.loads(HEAD + text))):
            (tmp_path / f"net{number}_{way}.py").write_text(written.text, "utf-8")
    for command in (["format", "--check", "--line-length", "120"], ["check", "--quiet"]):
        done = subprocess.run(
            [sys.executable, "-m", "ruff", command[0], "--isolated", *command[1:], tmp_path],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout


def check_random(count: int) -> None:
    tried = said = 0

    @settings(max_examples=count, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(specs())
    def run(spec: dict[str, object]) -> None:
        nonlocal tried, said
        network = cnnspec.loads(json.dumps(spec), path="spec.json")
        graph = network.graph.network("train")
        tried += 1
        assert len(check_code(flat_source(graph), graph)) == EQUAL
        try:
            written = spec_source(network)
        except UnsayableError:
            return
        said += 1
        assert len(check_code(written, graph)) == EQUAL

    with warnings.catch_warnings(action="ignore"):  # torch's, of even kernels
        run()
    assert tried >= count
    assert said > 0.75 * tried  # of 400 drawn ones five are not, and like draws come together


def test_random_networks_are_equal() -> None:
    check_random(40)


@pytest.mark.long
def test_many_random_networks_are_equal() -> None:
    check_random(1500)


def test_words_of_python_are_names_of_layers() -> None:
    layers = {"if": "Conv2d(4, 1)", "class": {"concat": {"def": "Conv2d(2, 1)", "in": "ReLU"}}, "None_": "Tanh"}
    spec = {"cnnspec": 1, "name": "3-nets.a", "input": [3, 4, 4], "layers": layers}
    network = cnnspec.loads(json.dumps(spec), path="a.json")
    for written in (spec_source(network), flat_source(network.graph)):
        assert tensors(written) == list(network.graph.state_shapes().items())
        assert made(written)(torch.zeros(2, 3, 4, 4)).shape == (2, 6, 4, 4)
        assert written.name == "Net3NetsA"
