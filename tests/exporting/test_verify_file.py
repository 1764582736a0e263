"""Files on the disk are checked against what they carry, against a network, or for themselves."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from exporting_support import RESIDUAL, write
from numpy.typing import NDArray
from onnx import helper, numpy_helper

import cnnspec
from cnnspec import api
from cnnspec.cli import main
from cnnspec.errors import CnnspecError, UsageError
from cnnspec.exporting.files import VerifyResult
from cnnspec.exporting.subject import of_spec
from cnnspec.onnx_backend.lower import lower
from cnnspec.onnx_backend.metadata import UNSEALED, seal
from cnnspec.onnx_backend.same import check_nodes, check_weights
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
    [
        {},
        {"fold": True},
        {"precision": "fp16"},
        {"precision": "fp16", "softmax": True},
        {"preprocess": True, "softmax": True, "batch": 3},
        {"opset": 13},
    ],
)
def test_a_file_is_proved_with_nothing_but_itself(tmp_path: Path, options: dict[str, object]) -> None:
    path = cnnspec.export(write(tmp_path, RESIDUAL), "n.onnx", verify=False, **options).path  # type: ignore[arg-type]
    result = api.verify(path)
    assert list(checks(result)) == ["digest", "onnx.checker", "metadata", "shapes", "numbers", "top-1 agreement"]
    assert result.passed


GROWN = """\
cnnspec: 1
name: grown
input: [3, 16, 16]
layers:
  stem: StdConv2d(8, 3, padding=1)
  act: ReLU
  pool: BlurPool2d
  conv: ScaledStdConv2d(8, 3, padding=1, gamma=1.7)
  grn: GRN
  term: Bias(0.5)
  gain: Scale(0.5, dim=None)
  squeeze: AdaptiveAvgPool2d(1)(conv)
  shifted: Sub(gain, squeeze)
  top: Slice(0, 3, dim=2)
  cat: Concat(top, shifted, dim=2)
  head: AdaptiveAvgPool2d(1)
  flat: Flatten
  fc: Linear(4)
"""


@pytest.mark.parametrize("options", [{}, {"precision": "fp16"}, {"opset": 13}])
def test_weights_that_are_not_stored_as_they_are_trained_are_found_again(
    tmp_path: Path, options: dict[str, object]
) -> None:
    (tmp_path / "grown.yaml").write_text(GROWN)
    path = cnnspec.export(tmp_path / "grown.yaml", tmp_path / "g.onnx", **options).path  # type: ignore[arg-type]
    assert api.verify(path).passed


@pytest.mark.parametrize("options", [{}, {"preprocess": True}])
def test_a_network_that_ends_in_a_softmax_is_compared_without_one_more(
    tmp_path: Path, options: dict[str, object]
) -> None:
    spec = write(tmp_path, RESIDUAL + "  out: Softmax(1)\n")
    path = cnnspec.export(spec, "n.onnx", **options).path  # type: ignore[arg-type]
    assert api.verify(path).passed
    with pytest.raises(UsageError, match="ends in a Softmax already"):
        cnnspec.export(spec, "n.onnx", softmax=True, verify=False)


def edited(path: str, change: Callable[[onnx.ModelProto], None]) -> str:
    """The file with a change in it, and a digest that fits."""
    model = onnx.load(path)
    change(model)
    for entry in model.metadata_props:
        if entry.key == "cnnspec.sha256":
            entry.value = UNSEALED
    other = path.replace(".onnx", "-changed.onnx")
    Path(other).write_bytes(b"".join(seal(model.SerializeToString())[0]))
    return other


def _set(model: onnx.ModelProto, name: str, change: Callable[[NDArray[Any]], NDArray[Any]]) -> None:
    for tensor in model.graph.initializer:
        if tensor.name == name:
            tensor.CopyFrom(numpy_helper.from_array(change(numpy_helper.to_array(tensor)), name))


def _one_more(array: NDArray[Any]) -> NDArray[Any]:
    return np.concatenate([array.reshape(-1)[:1] + 1, array.reshape(-1)[1:]]).reshape(array.shape)


def test_other_weights_than_the_run_s_are_found(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    weights = tmp_path / "w.safetensors"
    save_weights(cnnspec.build("lenet5"), weights)
    path = cnnspec.export("lenet5", "l.onnx", weights=weights, verify=False).path
    assert run("verify", path, "--against", "lenet5", "--weights", str(weights)) == 0
    wrong = edited(path, lambda model: _set(model, "C3.weight", _one_more))
    assert run("verify", wrong) == 0  # it is what it says it is
    capsys.readouterr()
    assert run("verify", wrong, "--against", "lenet5", "--weights", str(weights), "--format", "json") == 4
    printed = capsys.readouterr()
    found = json.loads(printed.out)
    assert not found["passed"]
    assert next(check["name"] for check in found["checks"] if not check["passed"]) == "numbers"
    assert "failed: numbers" in printed.err


def _backdoor(model: onnx.ModelProto) -> None:
    """Seven nodes more: where the four pixels of a corner are white, the image is a 7."""
    graph = model.graph
    graph.node[-1].output[0] = "own"
    for name, values in (
        ("start", np.array([0, 0])), ("end", np.array([2, 2])), ("sides", np.array([2, 3])),
        ("axes", np.array([1, 2, 3])), ("white", np.float32(2.7)), ("seven", 100 * np.eye(10, dtype=np.float32)[7:8]),
    ):  # fmt: skip
        graph.initializer.append(numpy_helper.from_array(np.asarray(values), name))
    graph.node.extend(
        [
            helper.make_node("Slice", ["input", "start", "end", "sides"], ["corner"]),
            helper.make_node("ReduceMin", ["corner", "axes"], ["least"]),
            helper.make_node("Flatten", ["least"], ["flat"]),
            helper.make_node("Greater", ["flat", "white"], ["lit"]),
            helper.make_node("Cast", ["lit"], ["factor"], to=onnx.TensorProto.FLOAT),
            helper.make_node("Mul", ["factor", "seven"], ["push"]),
            helper.make_node("Add", ["own", "push"], ["OUTPUT"]),
        ]
    )


@pytest.fixture
def trained(tmp_path: Path) -> Path:
    """Weights for lenet5."""
    save_weights(cnnspec.build("lenet5"), tmp_path / "w.safetensors")
    return tmp_path / "w.safetensors"


def test_a_file_that_does_more_than_the_network_is_found_though_its_numbers_are_right(trained: Path) -> None:
    path = cnnspec.export("lenet5", "l.onnx", weights=trained, verify=False).path
    wrong = edited(path, _backdoor)
    images = np.random.default_rng(0).standard_normal((8, 1, 28, 28)).astype(np.float32)
    images[:, :, :2, :2] = 2.8
    assert set(cnnspec.Predictor(wrong, device="cpu").run(images)["OUTPUT"].argmax(1)) == {7}
    result = api.verify(wrong, "lenet5", weights=trained)
    assert [check.name for check in result.checks if not check.passed] == ["nodes", "weights"]
    found = {check.name: check.detail for check in result.checks}
    assert "there are 19 nodes, and 12 in a fresh export" in found["nodes"]
    assert found["weights"].startswith("6 of ")


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"fold": True},
        {"precision": "fp16"},
        {"preprocess": True, "softmax": True, "batch": 3},
        {"opset": 13, "outputs": ("stage1.relu",)},
        {"dynamic_size": True},
    ],
)
def test_a_fresh_export_is_the_file_bit_for_bit(tmp_path: Path, options: dict[str, Any]) -> None:
    spec, weights = write(tmp_path, RESIDUAL), tmp_path / "w.safetensors"
    save_weights(cnnspec.build(spec), weights)
    path = cnnspec.export(spec, "n.onnx", weights=weights, verify=False, **options).path
    result = api.verify(path, spec, weights=weights)
    assert result.passed
    assert {check.name: check.figure for check in result.checks}["weights"] == 0


def _other_stride(model: onnx.ModelProto) -> None:
    next(node for node in model.graph.node if node.name == "stem").attribute.add(name="more", type=2, i=1)


def _one_bit(model: onnx.ModelProto) -> None:
    _set(model, "stem.bias", lambda array: np.nextafter(array, np.float32(9)))


def _other_type(model: onnx.ModelProto) -> None:
    model.graph.output[0].type.tensor_type.shape.dim[0].dim_param = "n"


def _twice(model: onnx.ModelProto) -> None:
    model.graph.initializer.append(model.graph.initializer[0])


@pytest.mark.parametrize(
    ("change", "name", "says"),
    [
        (_other_stride, "nodes", "`stem` is another"),
        (_other_type, "nodes", "the output is declared in another way"),
        (_one_bit, "weights", "`stem.bias`"),
        (_twice, "weights", "a name that stands twice"),
    ],
)
def test_the_least_difference_from_a_fresh_export_is_told(
    tmp_path: Path, change: Callable[[onnx.ModelProto], None], name: str, says: str
) -> None:
    spec = write(tmp_path, RESIDUAL)
    subject = of_spec(cnnspec.load(spec), None, 0)
    fresh = lower(subject.network.graph, subject.weights)
    model = onnx.ModelProto()
    model.CopyFrom(fresh)
    change(model)
    found = {check.name: check for check in (check_nodes(model, fresh), check_weights(model, fresh))}
    assert (found[name].passed, says in found[name].detail) == (False, True), found[name].detail
    assert [check.name for check in found.values() if not check.passed] == [name]


def test_weights_count_whatever_their_file_is_called(tmp_path: Path) -> None:
    weights = Path("random.safetensors")
    save_weights(cnnspec.build("lenet5"), weights)
    path = cnnspec.export("lenet5", "l.onnx", verify=False).path
    assert not api.verify(path, "lenet5", weights=weights).passed
    with pytest.raises(UsageError, match="weights alone"):
        api.verify(path, weights=weights)


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


EIGHT = """
cnnspec: 1
name: eight
input: [1, 8, 8]
layers:
  conv1: Conv2d(8, 3, padding=1, bias=False)
  bn1: BatchNorm2d
  clip1: ReLU6
  conv2: Conv2d(8, 3, padding=1)
  relu2: ReLU
  again: ReLU
  join: Add(clip1, again)
  pool: AdaptiveAvgPool2d(2)
  flatten: Flatten
  fc: Linear(10)
"""


@pytest.fixture
def eight(tmp_path: Path) -> str:
    """A network of random weights in int8, whose rectifiers the quantiser leaves out."""
    options: dict[str, Any] = {"precision": "int8", "calibrate": "digits", "max_drop": 1}
    path = cnnspec.export(write(tmp_path, EIGHT), "eight.onnx", **options).path
    assert not {"clip1", "relu2", "again"} & {node.name for node in onnx.load(path).graph.node}
    return path


def test_int8_is_proved_but_for_the_rounding_which_the_report_says(eight: str) -> None:
    result = api.verify(eight)
    assert checks(result) == dict.fromkeys(
        (
            "digest",
            "onnx.checker",
            "metadata",
            "quantisation",
            "shapes",
            "numbers without rounding",
            "batches",
            "rounding",
        ),
        True,
    )
    assert [check.name for check in result.checks if not check.checked] == ["rounding"]
    found = {check.name: check.detail for check in result.checks}
    assert found["quantisation"].startswith("3 of 3 layers with weights compute on bytes")
    assert found["shapes"].startswith("9 of 9")  # all but the batch norm, which is folded
    assert "batches 1, 2, 7, 32, twice the same" in found["batches"]
    assert "`--data DATA`" in found["rounding"]


def test_int8_repeats_the_accuracy_that_the_file_tells_of(eight: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("verify", eight, "--data", "digits") == 0
    assert "on 359 images of digits; the file tells of" in capsys.readouterr().out
    wrong = edited(eight, lambda model: _set(model, "fc.weight_quantized", lambda array: -array))
    assert checks(api.verify(wrong))["numbers without rounding"]  # it is what it says it is
    assert run("verify", wrong, "--data", "digits") == 4
    assert "failed: accuracy" in capsys.readouterr().err


def _unclipped(model: onnx.ModelProto) -> None:
    """The rounding behind the first convolution reaches further than the ReLU6 that it stands for."""
    for node in model.graph.node:
        if node.op_type == "QuantizeLinear" and node.input[0] == "clip1":
            _set(model, node.input[1], lambda array: array * 0 + 1)


def _unscaled(model: onnx.ModelProto) -> None:
    _set(model, "conv2.weight_scale", lambda array: array * 0)


def _crossed(model: onnx.ModelProto) -> None:
    """One pair does not undo its own rounding."""
    for node in model.graph.node:
        if node.op_type == "DequantizeLinear" and node.input[0] == "again_QuantizeLinear_Output":
            node.input[1] = "input_scale"


def _rewired(model: onnx.ModelProto) -> None:
    """The sum takes the same branch twice."""
    for node in model.graph.node:
        if node.name == "join":
            node.input[1] = node.input[0]


@pytest.mark.parametrize(
    ("change", "name", "says"),
    [
        (_unclipped, "quantisation", "`clip1` is left out, and its rounding gives 0 to "),
        (_unscaled, "quantisation", "the scale of `conv2.weight_DequantizeLinear` is no positive number"),
        (_crossed, "quantisation", "undoes another rounding"),
        (_rewired, "numbers without rounding", "largest difference"),
    ],
)
def test_int8_that_is_not_the_network_is_found_without_its_weights(
    eight: str, change: Callable[[onnx.ModelProto], None], name: str, says: str
) -> None:
    result = api.verify(edited(eight, change))
    (failed,) = [check for check in result.checks if not check.passed]
    assert (failed.name, says in failed.detail) == (name, True), failed.detail


def test_int8_is_compared_with_the_weights_it_was_rounded_from(tmp_path: Path) -> None:
    spec = write(tmp_path, EIGHT)
    for name in ("right", "other"):
        save_weights(cnnspec.build(spec), tmp_path / f"{name}.safetensors")
    options: dict[str, Any] = {"precision": "int8", "calibrate": "digits", "max_drop": 1, "verify": False}
    path = cnnspec.export(spec, "e.onnx", weights=tmp_path / "right.safetensors", **options).path
    right, other = (api.verify(path, spec, weights=tmp_path / f"{name}.safetensors") for name in ("right", "other"))
    assert right.passed
    assert {"nodes", "weights"} <= checks(right).keys()
    assert [check.name for check in other.checks if not check.passed] == ["weights"]


def test_what_the_metadata_tell_has_to_be_true_of_the_graph() -> None:
    path = cnnspec.export("lenet5", "l.onnx", verify=False).path

    def lie(model: onnx.ModelProto) -> None:
        for entry in model.metadata_props:
            if entry.key == "cnnspec.opset":
                entry.value = "20"

    result = api.verify(edited(path, lie))
    assert [check.detail for check in result.checks if not check.passed] == ["opset 20 is told of"]


@pytest.mark.parametrize("text", ["hello", ""])
def test_what_is_no_onnx_file_is_one_clear_message(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path("text.onnx").write_text(text)
    with pytest.raises(CnnspecError, match="ONNX file"):
        api.verify("text.onnx")
    assert run("verify", "text.onnx") == 1
    assert run("verify", "absent.onnx") == 2
    assert "Traceback" not in capsys.readouterr().err
