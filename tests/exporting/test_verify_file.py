"""Files on the disk are checked against what they carry, against a network, or for themselves."""

from __future__ import annotations

import json
from pathlib import Path

import onnx
import pytest
import torch
from exporting_support import RESIDUAL, write
from onnx import numpy_helper

import cnnspec
from cnnspec import api
from cnnspec.cli import main
from cnnspec.errors import CnnspecError
from cnnspec.exporting.files import VerifyResult
from cnnspec.onnx_backend.metadata import UNSEALED, seal
from cnnspec.torch_backend import save_weights


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as end:
        main(list(arguments))
    code = end.value.code
    assert isinstance(code, int)
    return code


def checks(result: VerifyResult) -> dict[str, bool]:
    return {check.name: check.passed for check in result.checks}


@pytest.mark.parametrize(
    "options",
    [{}, {"fold": True}, {"precision": "fp16"}, {"preprocess": True, "softmax": True, "batch": 3}, {"opset": 13}],
)
def test_a_file_is_proved_with_nothing_but_itself(tmp_path: Path, options: dict[str, object]) -> None:
    path = cnnspec.export(write(tmp_path, RESIDUAL), "n.onnx", verify=False, **options).path  # type: ignore[arg-type]
    result = api.verify(path)
    assert list(checks(result)) == ["digest", "onnx.checker", "shapes", "numbers", "top-1 agreement"]
    assert result.passed


def changed(path: str, layer: str) -> str:
    """The file with one weight of a layer changed, and a digest that fits."""
    model = onnx.load(path)
    for tensor in model.graph.initializer:
        if tensor.name == f"{layer}.weight":
            array = numpy_helper.to_array(tensor).copy()
            array.flat[0] += 1
            tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))
    for entry in model.metadata_props:
        if entry.key == "cnnspec.sha256":
            entry.value = UNSEALED
    other = path.replace(".onnx", "-changed.onnx")
    Path(other).write_bytes(b"".join(seal(model.SerializeToString())[0]))
    return other


def test_other_weights_than_the_run_s_are_found(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    weights = tmp_path / "w.safetensors"
    save_weights(cnnspec.build("lenet5"), weights)
    path = cnnspec.export("lenet5", "l.onnx", weights=weights, verify=False).path
    assert run("verify", path, "--against", "lenet5", "--weights", str(weights)) == 0
    wrong = changed(path, "C3")
    assert run("verify", wrong) == 0  # it is what it says it is
    capsys.readouterr()
    assert run("verify", wrong, "--against", "lenet5", "--weights", str(weights), "--format", "json") == 4
    printed = capsys.readouterr()
    found = json.loads(printed.out)
    assert not found["passed"]
    assert next(check["name"] for check in found["checks"] if not check["passed"]) == "numbers"
    assert "failed: numbers" in printed.err


def test_another_network_is_found() -> None:
    path = cnnspec.export("lenet5", "l.onnx", verify=False).path
    assert not checks(api.verify(path, "simple_cnn"))["layers"]


def test_a_damaged_file_fails_by_its_digest(tmp_path: Path) -> None:
    path = Path(cnnspec.export("lenet5", "l.onnx", verify=False).path)
    data = path.read_bytes()
    path.write_bytes(data[:5000] + bytes([data[5000] ^ 1]) + data[5001:])
    result = api.verify(path)
    assert not checks(result)["digest"]
    assert not result.passed


def test_a_file_of_torch_s_exporter_is_checked_too(tmp_path: Path) -> None:
    module = cnnspec.build("lenet5").eval()
    torch.onnx.export(
        module,
        (torch.zeros(2, 1, 28, 28),),
        "foreign.onnx",
        dynamo=True,
        verbose=False,
        external_data=False,
        dynamic_shapes=({0: torch.export.Dim("n")},),
    )
    alone = api.verify("foreign.onnx")
    assert checks(alone) == {"onnx.checker": True, "batches": True}
    assert alone.precision is None
    save_weights(module, tmp_path / "w.safetensors")
    assert api.verify("foreign.onnx", "lenet5", weights=tmp_path / "w.safetensors").passed
    save_weights(cnnspec.build("lenet5"), tmp_path / "other.safetensors")
    assert not api.verify("foreign.onnx", "lenet5", weights=tmp_path / "other.safetensors").passed


def test_int8_runs_and_says_what_a_comparison_needs() -> None:
    path = cnnspec.export("simple_cnn", precision="int8", calibrate="digits", max_drop=1, verify=False).path
    result = api.verify(path)
    assert result.passed
    assert "--against RUN" in result.checks[-1].detail


@pytest.mark.parametrize("text", ["hello", ""])
def test_what_is_no_onnx_file_is_one_clear_message(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path("text.onnx").write_text(text)
    with pytest.raises(CnnspecError, match="ONNX file"):
        api.verify("text.onnx")
    assert run("verify", "text.onnx") == 1
    assert run("verify", "absent.onnx") == 2
    assert "Traceback" not in capsys.readouterr().err
