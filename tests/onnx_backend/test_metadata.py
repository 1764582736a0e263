"""What an exported file says of its network: files that were written before say it under the same names."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from dataclasses import replace

import pytest

import cnnspec
from cnnspec.errors import CnnspecError, SpecError
from cnnspec.onnx_backend.metadata import read_metadata, write_metadata

SPEC = """cnnspec: 1
name: net
params: {width: 4}
input: [1, 8, 8]
variants: {wide: {width: 6}}
layers:
  conv: Conv2d(width, 3)
  pool: AdaptiveAvgPool2d(1)
  flat: Flatten
  fc: Linear(10)
"""
# Copied from a file of 0.1.0 that was exported before networks were one value.
OLD = {
    "cnnspec.format": "1",
    "cnnspec.name": "wide",
    "cnnspec.language": "1",
    "cnnspec.spec": SPEC,
    "cnnspec.spec_kind": "yaml",
    "cnnspec.spec_sha256": "57e4ff14eabde4bec9f26a5f2c9a43823fe4a56168efa4860e203051be075653",
    "cnnspec.variant": '"wide"',
    "cnnspec.settings": '{"width": "7"}',
    "cnnspec.input_shape": "[1, 9, 9]",
    "cnnspec.layout": "NCHW",
    "cnnspec.mean": "[]",
    "cnnspec.std": "[]",
    "cnnspec.classes": '["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"]',
    "cnnspec.outputs": '["fc"]',
    "cnnspec.output_kind": "scores",
    "cnnspec.precision": "fp32",
    "cnnspec.folded": "false",
    "cnnspec.opset": "18",
    "cnnspec.batch": "null",
    "cnnspec.dynamic_size": "false",
    "cnnspec.weights": "runs/old/best.safetensors",
    "cnnspec.training": '{"data": "digits", "epochs": 1}',
    "cnnspec.analysis": '{"params": 150, "macs": 3157, "layers": 4}',
    "cnnspec.verification": "null",
    "cnnspec.tools": '{"cnnspec": "0.1.0"}',
    "cnnspec.sha256": "0" * 64,
}


def test_an_old_file_says_which_network_it_is() -> None:
    network = read_metadata(OLD, "old.onnx").network()
    spec = cnnspec.loads(SPEC, variant="wide", params={"width": 7}, input_shape=(1, 9, 9))
    assert network.record() == spec.record()
    assert network.graph.state_shapes()["conv.weight"] == (7, 1, 3, 3)
    assert network.graph == replace(spec.graph, path="wide.yaml")


def test_the_names_in_a_file_are_what_they_were() -> None:
    assert OLD.items() <= write_metadata(read_metadata(OLD, "old.onnx")).items()
    assert hashlib.sha256(SPEC.encode()).hexdigest() == OLD["cnnspec.spec_sha256"]


def test_an_invalid_spec_in_a_file_is_told_by_the_name_of_the_network() -> None:
    with pytest.raises(SpecError) as caught:
        read_metadata({**OLD, "cnnspec.spec": SPEC.replace("Linear", "Linaer")}, "old.onnx").network()
    assert caught.value.path == "wide.yaml"


@pytest.mark.parametrize(
    ("field", "written"),
    [
        ("format", "2"),
        ("name", "n" * 10_001),
        ("spec_kind", "toml"),
        ("input_shape", "[]"),
        ("input_shape", "[1, 2, 3, 4, 5]"),
        ("input_shape", '["1", 9, 9]'),
        ("input_shape", "[true, 9, 9]"),
        ("mean", "[NaN]"),
        ("std", "[1e999]"),
        ("std", "[1" + "0" * 400 + "]"),
        ("classes", "[1]"),
        ("classes", '"cat"'),
        ("settings", '{"width": 7}'),
        ("batch", "0"),
        ("batch", "2147483648"),
        ("folded", "0"),
        ("ignore", "256"),
        ("training", "[]"),
        ("target_std", "[1]"),
        ("thresholds", "[0.5]"),
        ("tools", "{"),
        ("analysis", "[" * 100_000),
    ],
)
def test_what_no_file_of_ours_says_is_refused(field: str, written: str) -> None:
    with pytest.raises(CnnspecError, match=r"^the metadata of old\.onnx cannot be read: ") as caught:
        read_metadata({**OLD, f"cnnspec.{field}": written}, "old.onnx")
    assert len(str(caught.value)) < 300


def test_without_its_input_a_file_is_refused() -> None:
    given = {key: value for key, value in OLD.items() if key != "cnnspec.input_shape"}
    with pytest.raises(CnnspecError, match="input_shape"):
        read_metadata(given, "old.onnx")


def test_a_prediction_waits_for_no_model_of_pydantic_and_no_spec() -> None:
    code = "import sys, cnnspec.runtime.predictor; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "cnnspec.onnx_backend.metadata" in loaded
    assert {"pydantic", "cnnspec.language", "onnxruntime"}.isdisjoint(loaded)
