"""The bundled networks as source: the tensors of all of them, the outputs of a spread, and what a formatter says."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from code_support import tensors

import cnnspec
from cnnspec import zoo
from cnnspec.codegen import write_code
from cnnspec.codegen.write import flat_source, spec_source
from cnnspec.torch_backend.same_code import check_code

SPREAD = {  # and what makes them smaller
    "lenet5": {},
    "lenet5_1998": {},
    "m5": {},
    "resnet20": {},
    "squeezenet1_1": {},
    "mobilenet_v3_small": {},
    "regnet_y_400mf": {},
    "googlenet": {},
    "shufflenet_v2_x0_5": {},
    "convnext_tiny": {"depths": [1, 1, 2, 1]},
    "densenet121": {"depths": [1, 2, 2, 1]},
    "efficientnet_b0": {"size": 64},
    "unet_same": {"size": 32, "width": 8},
}


def test_every_bundled_network_has_its_tensors_and_is_formatted(tmp_path: Path) -> None:
    assert len(zoo.names()) > 80
    for name in zoo.names():
        network = cnnspec.load(name)
        graph = network.graph.network("train")
        written = spec_source(network)
        assert "cnnspec" not in written.text
        assert tensors(written) == list(graph.state_shapes().items()), name
        (tmp_path / f"{name}.py").write_text(written.text, "utf-8")
        if name in zoo.bundled():
            (tmp_path / f"{name}_flat.py").write_text(flat_source(graph).text, "utf-8")
    for command in (["format", "--check", "--line-length", "120"], ["check", "--quiet"]):
        done = subprocess.run(
            [sys.executable, "-m", "ruff", command[0], "--isolated", *command[1:], tmp_path],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("name", SPREAD)
def test_outputs_are_equal_bit_for_bit(name: str) -> None:
    network = cnnspec.load(name, params=SPREAD[name])
    checks = check_code(spec_source(network), network.graph.network("train"))
    assert [check.endswith("equal bit for bit") for check in checks] == [False, True, True]


@pytest.mark.parametrize("name", ["lenet5_1998", "convnext_tiny", "resnet20"])
def test_layer_by_layer_outputs_are_equal_too(name: str) -> None:
    graph = cnnspec.load(name, params=SPREAD[name]).graph.network("train")
    assert len(check_code(flat_source(graph), graph)) == 3


@pytest.mark.long
@pytest.mark.parametrize("name", zoo.names())
def test_outputs_of_every_bundled_network_are_equal(name: str) -> None:
    network = cnnspec.load(name)
    assert len(check_code(next(write_code(network)), network.graph.network("train"))) == 3
