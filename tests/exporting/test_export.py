"""Exports are the network, say so, and are refused where they are not."""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import safetensors.torch
import torch
from exporting_support import RESIDUAL, python, write

import cnnspec
from cnnspec.cli import main
from cnnspec.errors import CnnspecError, UsageError, VerificationError
from cnnspec.exporting.subject import of_spec
from cnnspec.onnx_backend import initial
from cnnspec.onnx_backend import lower as lowering
from cnnspec.onnx_backend.metadata import Metadata, read_metadata
from cnnspec.torch_backend import save_weights

NAMES = ["lenet5", "simple_cnn", "mlp", "convnet_keras"]


def metadata_of(path: str) -> Metadata:
    model = onnx.load(path)
    return read_metadata({entry.key: entry.value for entry in model.metadata_props}, path)


@pytest.mark.parametrize("name", NAMES)
def test_a_bundled_network_is_proved_equal_to_torch(name: str) -> None:
    result = cnnspec.export(name)
    assert result.path == f"exports/{name}.onnx"
    assert result.verified
    assert [check.name for check in result.checks if not check.passed] == []
    numbers = [check for check in result.checks if check.name in ("numbers", "other weights and statistics")]
    assert [check.detail.rpartition("at batches ")[2] for check in numbers] == [
        "1, 2 (at most 1e-05)",
        "1, 2, 7, 32 (at most 1e-05)",
    ]
    for check in numbers:
        assert check.figure is not None
        assert 0 < check.figure <= 1e-5


def test_the_file_shows_the_spec_s_own_names() -> None:
    graph = cnnspec.load("lenet5").graph
    model = onnx.load(cnnspec.export("lenet5", verify=False).path)
    assert [node.name for node in model.graph.node] == [node.name for node in graph]
    assert [node.output[0] for node in model.graph.node] == [node.name for node in graph]
    assert {tensor.name for tensor in model.graph.initializer} == set(graph.state_shapes())
    assert [output.name for output in model.graph.output] == ["OUTPUT"]
    assert model.graph.input[0].type.tensor_type.shape.dim[0].dim_param == "batch"


def test_the_weights_are_those_of_the_file_given(tmp_path: Path) -> None:
    module = cnnspec.build("lenet5").eval()
    save_weights(module, tmp_path / "w.safetensors")
    result = cnnspec.export("lenet5", "l.onnx", weights=tmp_path / "w.safetensors")
    images = torch.randn(5, 1, 28, 28)
    session = onnxruntime.InferenceSession(result.path, providers=["CPUExecutionProvider"])
    (got,) = session.run(None, {"input": images.numpy()})
    np.testing.assert_allclose(got, module(images).detach().numpy(), atol=1e-6)
    assert metadata_of("l.onnx").weights.endswith("w.safetensors")


@pytest.mark.parametrize("kind", [torch.float16, torch.float64])
def test_weights_of_any_floating_point_are_taken(tmp_path: Path, kind: torch.dtype) -> None:
    state = {name: value.to(kind) for name, value in cnnspec.build("lenet5").state_dict().items()}
    safetensors.torch.save_file(state, tmp_path / "w.safetensors")
    result = cnnspec.export("lenet5", "l.onnx", weights=tmp_path / "w.safetensors")
    assert result.precision == "fp32"
    assert all(check.passed for check in result.checks)


def test_tensors_that_the_network_has_not_are_refused_as_training_refuses_them(tmp_path: Path) -> None:
    state = cnnspec.build("lenet5").state_dict()
    safetensors.torch.save_file(state | {"head.weight": torch.zeros(3)}, tmp_path / "w.safetensors")
    with pytest.raises(CnnspecError, match=r"do not fit the network; 1 left over: head\.weight"):
        cnnspec.export("lenet5", weights=tmp_path / "w.safetensors", verify=False)


@pytest.mark.parametrize("kind", [torch.complex64, torch.bool, torch.int32])
def test_weights_are_floating_point_numbers(tmp_path: Path, kind: torch.dtype) -> None:
    state = cnnspec.build("lenet5").state_dict()
    safetensors.torch.save_file(state | {"F6.weight": state["F6.weight"].to(kind)}, tmp_path / "w.safetensors")
    with pytest.raises(CnnspecError, match=rf"`F6\.weight` in .* is {str(kind)[6:]}, and weights are floating-point"):
        cnnspec.export("lenet5", weights=tmp_path / "w.safetensors", verify=False)


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    save_weights(cnnspec.build("mlp"), tmp_path / "w.safetensors")
    with pytest.raises(CnnspecError, match=r"do not fit the network; 10 left over: 1\.bias"):
        cnnspec.export("lenet5", "l.onnx", weights=tmp_path / "w.safetensors", verify=False)
    assert not Path("l.onnx").exists()


@pytest.mark.parametrize("options", [{}, {"fold": True}, {"opset": 13}, {"opset": 23, "batch": 3}])
def test_a_residual_network_is_proved_with_other_statistics_too(tmp_path: Path, options: dict[str, object]) -> None:
    result = cnnspec.export(write(tmp_path, RESIDUAL), **options)  # type: ignore[arg-type]
    found = {check.name: check for check in result.checks}
    assert set(found) == {"onnx.checker", "shapes", "numbers", "other weights and statistics"}
    assert all(check.passed for check in found.values())
    assert result.opset == options.get("opset", 18)
    kinds = [node.op_type for node in onnx.load(result.path).graph.node]
    assert ("BatchNormalization" in kinds) != bool(options.get("fold"))


def test_a_wrong_lowering_is_caught_and_leaves_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    right = lowering.lower_layer

    def wrong(writer: lowering.Writer, node: lowering.Node) -> None:
        right(writer, node)
        if node.name == "tanh3":  # nearly right: the difference is small
            writer.nodes[-1].op_type = "Softsign"

    monkeypatch.setattr(lowering, "lower_layer", wrong)
    with pytest.raises(VerificationError, match="numbers: largest difference"):
        cnnspec.export("lenet5", "l.onnx")
    with pytest.raises(SystemExit) as caught:
        main(["export", "lenet5", "-o", "l.onnx"])
    assert caught.value.code == 4
    assert "was not written" in capsys.readouterr().err
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == []


def test_swapped_mean_and_variance_are_caught_though_a_fresh_network_hides_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = lowering.lower_layer

    def wrong(writer: lowering.Writer, node: lowering.Node) -> None:
        right(writer, node)
        if node.name == "stage1.bn1":
            inputs = writer.nodes[-1].input
            inputs[1], inputs[4] = inputs[4], inputs[1]  # scale and variance are 1 in a fresh network

    monkeypatch.setattr(lowering, "lower_layer", wrong)
    with pytest.raises(VerificationError, match="other weights and statistics"):
        cnnspec.export(write(tmp_path, RESIDUAL), "n.onnx")


def test_a_shape_that_differs_from_the_spec_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    right = lowering.lower_layer

    def wrong(writer: lowering.Writer, node: lowering.Node) -> None:
        right(writer, node)
        for attribute in writer.nodes[-1].attribute:
            if node.name == "C5" and attribute.name == "pads":
                attribute.ints[:] = [1, 0, 0, 0]  # one row more

    monkeypatch.setattr(lowering, "lower_layer", wrong)
    with pytest.raises(VerificationError, match=r"shapes: 3 of 9 layers differ; C5: 120x1x1 in the spec, 120x2x1"):
        cnnspec.export("lenet5", "l.onnx", verify=False, outputs=("flatten",))
    assert not Path("l.onnx").exists()


@pytest.mark.parametrize("name", ["lenet5", "convnet_keras"])
def test_torch_s_own_exporter_gives_the_same_numbers(name: str, tmp_path: Path) -> None:
    spec = cnnspec.load(name)
    module = spec.build().eval()
    save_weights(module, tmp_path / "w.safetensors")
    ours = cnnspec.export(spec, "ours.onnx", weights=tmp_path / "w.safetensors", verify=False)
    images = torch.randn(3, *spec.graph.input_shape)
    theirs = torch.onnx.export(module, (images,), dynamo=True, verbose=False)
    file = io.BytesIO()
    assert theirs is not None
    theirs.save(file)
    sessions = [
        onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
        for model in (ours.path, file.getvalue())
    ]
    mine, other = (each.run(None, {each.get_inputs()[0].name: images.numpy()})[0] for each in sessions)
    np.testing.assert_allclose(mine, other, atol=1e-5 * float(np.abs(other).max()))


def test_metadata_carry_all_that_inference_needs() -> None:
    spec = cnnspec.load("lenet5")
    result = cnnspec.export(spec, batch=4, softmax=True)
    about = metadata_of(result.path)
    assert about.spec == spec.source.text
    assert about.input_shape == (1, 28, 28)
    assert (about.mean, about.std) == ((0.1307,), (0.3081,))
    assert about.classes == tuple("0123456789")
    assert about.output_kind == "probabilities"
    assert about.batch == 4
    assert about.analysis == {"params": 61706, "macs": 416520, "layers": 12}
    assert about.verification is not None
    assert about.verification["numbers"] <= 1e-5
    assert metadata_of(cnnspec.export(spec, "n.onnx", verify=False).path).verification is None


def test_preprocessing_inside_the_graph_takes_bytes() -> None:
    cnnspec.export("lenet5", "plain.onnx", verify=False)
    result = cnnspec.export("lenet5", "bytes.onnx", preprocess=True)
    assert result.input == ((28, 28, 1), "uint8")
    pixels = np.random.default_rng(0).integers(0, 256, (3, 28, 28, 1), np.uint8)
    plain = ((pixels / 255 - 0.1307) / 0.3081).astype(np.float32).transpose(0, 3, 1, 2)
    outputs = [
        onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"]).run(None, {"input": images})[0]
        for path, images in (("plain.onnx", np.ascontiguousarray(plain)), ("bytes.onnx", pixels))
    ]
    np.testing.assert_allclose(*outputs, atol=1e-6)


def test_other_outputs_are_the_results_of_those_layers() -> None:
    result = cnnspec.export("lenet5", outputs=("S2", "F6"))
    assert result.outputs == {"S2": (6, 14, 14), "F6": (84,)}
    assert result.nodes == 10
    with pytest.raises(UsageError, match="no layer `f6`"):
        cnnspec.export("lenet5", outputs=("f6",))


def test_any_image_size_where_the_network_allows_it(tmp_path: Path) -> None:
    result = cnnspec.export(write(tmp_path, RESIDUAL), "n.onnx", dynamic_size=True)
    assert "another size, 3x52x84" in {check.name for check in result.checks}
    session = onnxruntime.InferenceSession("n.onnx", providers=["CPUExecutionProvider"])
    assert session.run(None, {"input": np.zeros((2, 3, 33, 47), np.float32)})[0].shape == (2, 7)


ADAPTIVE = """
cnnspec: 1
name: adaptive
input: [3, 20, 20]
layers:
  conv: Conv2d(4, 3, stride=2)
  pool: AdaptiveAvgPool2d((3, 4))
  flatten: Flatten
  fc: Linear(5)
"""


@pytest.mark.parametrize("options", [{}, {"precision": "fp16"}, {"preprocess": True, "opset": 13}])
def test_any_image_size_is_taken_by_an_adaptive_pool_before_linear_layers(
    tmp_path: Path, options: dict[str, Any]
) -> None:
    spec = cnnspec.load(write(tmp_path, ADAPTIVE))
    assert "another size, 3x52x84" in {
        check.name for check in cnnspec.export(spec, dynamic_size=True, **options).checks
    }


def test_what_is_written_differently_at_another_size_is_refused(tmp_path: Path) -> None:
    text = ADAPTIVE.replace("AdaptiveAvgPool2d((3, 4))", "Flatten(1, end_dim=2)")
    path = write(tmp_path, text.replace("  flatten: Flatten\n  fc: Linear(5)\n", ""))
    with pytest.raises(UsageError, match="`pool` is written differently at 3x20x20 and at 3x52x84") as caught:
        cnnspec.export(path, dynamic_size=True)
    assert "--input" in (caught.value.hint or "")


@pytest.mark.parametrize(
    ("name", "says"), [("lenet5", "`F6.weight` is 84x120 at 1x28x28"), ("mlp", "`1.weight`"), ("simple_cnn", "weight`")]
)
def test_a_network_that_is_bound_to_its_size_says_by_what(name: str, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        cnnspec.export(name, dynamic_size=True)


def test_half_precision_keeps_its_inputs_and_outputs() -> None:
    result = cnnspec.export("lenet5", precision="fp16")
    assert result.path == "exports/lenet5-fp16.onnx"
    assert result.bytes < 0.6 * cnnspec.export("lenet5", verify=False).bytes
    model = onnx.load(result.path)
    kinds = {value.type.tensor_type.elem_type for value in (*model.graph.input, *model.graph.output)}
    assert kinds == {onnx.TensorProto.FLOAT}
    assert {tensor.data_type for tensor in model.graph.initializer} == {onnx.TensorProto.FLOAT16}


def test_eight_bits_are_scored_before_and_after() -> None:
    result = cnnspec.export("simple_cnn", precision="int8", calibrate="digits", max_drop=1.0)
    (score,) = [check for check in result.checks if check.name == "accuracy"]
    assert "on 359 images of digits" in score.detail
    assert "QuantizeLinear" in {node.op_type for node in onnx.load(result.path).graph.node}
    with pytest.raises(VerificationError, match="accuracy"):
        cnnspec.export("simple_cnn", "n.onnx", precision="int8", calibrate="digits", max_drop=-1.0)
    assert not Path("n.onnx").exists()
    with pytest.raises(UsageError, match="images to calibrate"):
        cnnspec.export("simple_cnn", precision="int8")


LARGE = "{{cnnspec: 1, name: large, input: [{}], layers: [Linear({}), Linear(10)]}}"


@pytest.mark.parametrize(
    ("sizes", "options", "said", "way_out"),
    [
        ((30_000, 20_000), {}, "2,400,880,040 bytes in fp32", "export --precision fp16` halves them, and they fit"),
        ((30_000, 20_000), {"precision": "int8", "calibrate": "digits"}, "2,400,880,040 bytes in fp32", "fp16"),
        ((50_000, 40_000), {}, "8,001,760,040 bytes in fp32", "--outputs NAME"),
        ((50_000, 40_000), {"precision": "fp16"}, "4,000,880,020 bytes in fp16", "--outputs NAME"),
    ],
)
def test_more_than_one_file_can_hold_is_refused_before_a_weight_is_made(
    sizes: tuple[int, int],
    options: dict[str, str],
    said: str,
    way_out: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def never(*_: object) -> None:
        raise AssertionError("the weights are not needed for this")

    monkeypatch.setattr(initial, "initial_weights", never)
    spec = cnnspec.load(write(tmp_path, LARGE.format(*sizes)))
    with pytest.raises(UsageError, match=said) as caught:
        cnnspec.export(spec, "n.onnx", **options)  # type: ignore[arg-type]
    assert "one ONNX file holds 2,113,929,216" in caught.value.message
    assert way_out in (caught.value.hint or "")
    assert not Path("n.onnx").exists()


def test_the_weights_of_the_largest_bundled_network_fit_in_half_precision_only() -> None:
    graph = cnnspec.load("regnet_y_128gf").graph
    lowering.check_size(graph, half=True)
    with pytest.raises(UsageError, match="one ONNX file holds"):
        cnnspec.export("regnet_y_128gf")


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"opset": 12}, "opset 12"),
        ({"opset": 99}, "opset 99"),
        ({"precision": "fp8"}, "precision `fp8`"),
        ({"calibrate": "digits"}, "int8"),
        ({"batch": 0}, "`batch` of `export` is to be greater than or equal to 1"),
        ({"output": "."}, "directory"),
    ],
)
def test_wrong_options_are_wrong_usage(options: dict[str, object], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        cnnspec.export("lenet5", **options)  # type: ignore[arg-type]


def test_where_nothing_can_be_written_is_told_before_anything_is_worked_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: object) -> None:
        raise AssertionError("the weights are not needed for this")

    monkeypatch.setattr(initial, "initial_weights", never)
    (tmp_path / "picture.png").write_bytes(b"a picture")
    with pytest.raises(UsageError, match=r"does not end in \.onnx"):
        cnnspec.export("lenet5", "picture.png")
    with pytest.raises(UsageError, match=r"picture\.png is a file"):
        cnnspec.export("lenet5", "picture.png/deep/l.onnx")
    monkeypatch.setattr("os.access", lambda path, mode: False)
    with pytest.raises(CnnspecError, match="may not be written to"):
        cnnspec.export("lenet5", "new/l.onnx")
    assert [path.name for path in tmp_path.iterdir()] == ["picture.png"]


def test_int8_is_scored_on_classes_only() -> None:
    with pytest.raises(UsageError, match="what the network is for"):
        cnnspec.export("lenet5", precision="int8", calibrate="digits", outputs=("F6",))


def test_missing_images_for_int8_are_told_before_the_comparison() -> None:
    told: list[str] = []
    with pytest.raises(UsageError, match="images to calibrate"):
        cnnspec.export("lenet5", precision="int8", report=told.append)
    with pytest.raises(UsageError, match="no data set and no folder `nowhere`"):
        cnnspec.export("lenet5", precision="int8", calibrate="nowhere", report=told.append)
    assert told == []


def test_an_export_without_comparison_imports_no_torch(tmp_path: Path) -> None:
    code = (
        "import sys; from cnnspec.cli import main\n"
        "try: main(['export', 'lenet5', '-o', 'l.onnx', '--no-verify'])\n"
        "except SystemExit as end: print('code', end.code, 'torch' in sys.modules)"
    )
    done = python(code, cache=tmp_path / "cache")
    assert done.stdout.splitlines()[-1] == "code 0 False"
    assert "NOT compared with torch" in done.stdout
    assert done.stderr == ""


def test_without_the_extra_there_is_one_line_that_says_what_to_install(tmp_path: Path) -> None:
    code = (
        "import sys; sys.modules['onnx'] = None; from cnnspec.cli import main\n"
        "main(['export', 'lenet5', '-o', 'l.onnx'])"
    )
    done = python(code, cache=tmp_path / "cache")
    assert done.returncode == 2
    assert "pip install 'cnnspec[onnx]'" in done.stderr
    assert not Path("l.onnx").exists()


def test_random_weights_follow_torch_s_distributions() -> None:
    spec = cnnspec.load("simple_cnn")
    ours = of_spec(spec, None, 0).weights
    theirs = {name: value.numpy() for name, value in spec.build().state_dict().items()}
    assert list(ours) == list(theirs)
    for name, value in theirs.items():
        if value.size > 200:
            assert ours[name].std() == pytest.approx(value.std(), rel=0.15), name
            assert abs(ours[name]).max() == pytest.approx(abs(value).max(), rel=0.05), name


def test_the_report_is_plain_data_on_request(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["export", "lenet5", "--no-verify", "--format", "json"])
    printed = capsys.readouterr()
    import json

    found = json.loads(printed.out)
    assert found["cnnspec"] == 1
    assert found["outputs"] == {"OUTPUT": [10]}
    assert sys.modules["torch"] is torch


def test_an_export_at_an_input_that_only_a_head_refuses(tmp_path: Path) -> None:
    path = tmp_path / "net.yaml"
    path.write_text(
        "cnnspec: 1\ninput: [3, 12, 12]\noutputs: [fc]\naux_outputs: [head]\nlayers:\n  stem: Conv2d(8, 3, padding=1)\n"
        "  head: Conv2d(10, 9)\n  pool: AdaptiveAvgPool2d(1)(stem)\n  flatten: Flatten\n  fc: Linear(10)\n"
    )
    spec = cnnspec.load(path, input_shape=(3, 5, 5))
    result = cnnspec.export(spec, tmp_path / "net.onnx")
    assert result.verified
    assert result.outputs == {"fc": (10,)}
    totals = spec.analyze().totals
    analysis = metadata_of(result.path).analysis
    assert (analysis["params"], analysis["macs"], analysis["layers"]) == (totals.params, totals.macs, totals.layers)
    assert cnnspec.verify(result.path).passed


@pytest.mark.parametrize("opset", [0, -1, 12, 24])
def test_an_opset_that_there_is_not_is_refused(opset: int) -> None:
    with pytest.raises(UsageError, match=f"opset {opset} is not supported"):
        cnnspec.export("lenet5", "l.onnx", opset=opset, verify=False)
