"""ONNX files as specs: what torch's exporters write, the onnx package's models, graphs with their channels last."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import helper
from onnx_files import exported, graph_of, initial
from small_nets import NETWORKS, Of
from torch import nn

import cnnspec
from cnnspec import api
from cnnspec.errors import CnnspecError, UsageError
from cnnspec.language import read_spec

LIGHT = Path(onnx.__file__).parent / "backend/test/data/light"


def imported(tmp_path: Path, data: bytes | Any, **options: Any) -> api.ImportResult:
    path = tmp_path / "net.onnx"
    path.write_bytes(data if isinstance(data, bytes) else data.SerializeToString())
    return cnnspec.import_network(str(path), **options)


def made(name: str) -> tuple[nn.Module, tuple[int, ...]]:
    torch.manual_seed(0)
    build, shape = NETWORKS[name]
    module: nn.Module = build()
    with torch.no_grad():
        module(torch.zeros(2, *shape))  # lazy layers
    for buffer in module.buffers():
        if buffer.is_floating_point():
            buffer.uniform_(0.5, 1.5)
    return module, shape


def passed(result: api.ImportResult) -> set[str]:
    return {check.name for check in result.checks if check.passed and check.checked}


# The older exporter writes a branch for the statistics of `normed`, and has no adaptive pool for the sizes of `pools`.
@pytest.mark.parametrize("name", [name for name in NETWORKS if name not in ("normed", "pools")])
def test_a_file_of_torch_is_said_and_gives_the_same(name: str, tmp_path: Path) -> None:
    result = imported(tmp_path, exported(*made(name)))
    assert passed(result) == {"text", "tensors", "outputs", "layers"}


@pytest.mark.parametrize("name", ["resnet", "unet"])
def test_a_file_of_torchs_newer_exporter_is_said_and_gives_the_same(name: str, tmp_path: Path) -> None:
    module, shape = made(name)
    result = imported(tmp_path, exported(module, shape, dynamo=True))
    assert passed(result) == {"text", "tensors", "outputs", "layers"}
    of_torch = cnnspec.from_torch(module, shape)
    assert read_spec("a.yaml", result.text.encode()).elaborate().macs == of_torch.graph.macs
    assert any("folded" in note for note in result.notes) == (name == "resnet")  # the other has no norms
    assert result.text.count("\n") <= of_torch.text.count("\n")


def test_the_weights_that_are_written_are_those_of_the_file(tmp_path: Path) -> None:
    module, shape = made("resnet")
    data = exported(module, shape)
    result = imported(tmp_path, data, output=tmp_path / "net.yaml", weights=tmp_path / "net.safetensors")
    from safetensors.torch import load_file

    built = cnnspec.load(tmp_path / "net.yaml").build().eval()
    built.load_state_dict(load_file(tmp_path / "net.safetensors"))
    batch = torch.randn(3, *shape)
    with torch.no_grad():
        torch.testing.assert_close(built(batch), module.eval()(batch), rtol=1e-4, atol=1e-5)
    assert result.paths == (tmp_path / "net.yaml", tmp_path / "net.safetensors")


# Chains of old opsets ----------------------------------------------------------------------------------------------


def chains() -> nn.Module:
    def forward(self: Any, x: torch.Tensor) -> torch.Tensor:
        x = self.group(nn.functional.gelu(self.conv(x)))
        x = self.norm(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        x = nn.functional.hardswish(nn.functional.silu(x) * nn.functional.hardsigmoid(x))
        return self.fc(nn.functional.mish(x).mean((2, 3)))

    children = {"conv": nn.Conv2d(3, 8, 3), "group": nn.GroupNorm(2, 8), "norm": nn.LayerNorm(8), "fc": nn.Linear(8, 4)}
    return Of(forward, **children)


@pytest.mark.parametrize("opset", [11, 13, 17])
def test_chains_of_nodes_are_one_layer(opset: int, tmp_path: Path) -> None:
    module = chains()
    result = imported(tmp_path, exported(module, (3, 9, 9), opset=opset))
    assert passed(result) == {"text", "tensors", "outputs", "layers"}
    ops = [node.op.op_name for node in read_spec("a.yaml", result.text.encode()).elaborate()]
    assert ops[:3] == ["Conv2d", "GELU", "GroupNorm"]
    assert "LayerNorm2d" in ops or "LayerNorm" in ops
    assert {"SiLU", "Hardswish", "Mish"} <= set(ops)


# The models of the onnx package --------------------------------------------------------------------------------------

# Multiply-accumulates that the bundled specs of these networks have too.
KNOWN = {"squeezenet": 349_151_936, "vgg19": 19_632_062_464}


@pytest.mark.parametrize("name", sorted(path.stem.removeprefix("light_") for path in LIGHT.glob("*.onnx")))
def test_the_light_models_of_the_onnx_package_are_read(name: str) -> None:
    spec = cnnspec.load(LIGHT / f"light_{name}.onnx")
    assert spec.graph.output_shape[0] == 1000
    assert spec.graph.macs == KNOWN.get(name, spec.graph.macs)


def test_a_light_model_gives_the_same() -> None:
    result = cnnspec.import_network(str(LIGHT / "light_squeezenet.onnx"))
    assert passed(result) == {"text", "tensors", "outputs", "layers"}


@pytest.mark.long
@pytest.mark.parametrize("name", ["resnet50", "shufflenet", "bvlc_alexnet", "inception_v1"])
def test_light_models_give_the_same(name: str) -> None:
    """That of ResNet keeps tensors which nothing reads."""
    result = cnnspec.import_network(str(LIGHT / f"light_{name}.onnx"))
    assert passed(result) == {"text", "tensors", "outputs", "layers"}


def test_blocks_are_found_where_no_name_tells_them() -> None:
    text = _text("light_resnet50")
    assert "stage1: Stage(64) * 3" in text
    assert "stage4: Stage(512, stride=2 if i == 0 else 1) * 3" in text


def test_blocks_are_found_where_some_tensors_tell_a_path_and_others_do_not() -> None:
    text = _text("light_densenet121")
    for number, depth in enumerate((6, 12, 24, 16), 1):
        assert f"stage{number}: Stage * {depth}\n" in text
    assert text.count("bias1: Bias") == 2  # of the block, and of the stem, whose norm is in no block
    assert _text("light_inception_v2").count("cat: Concat") == 3  # three kinds of blocks, and none layer by layer


def _text(name: str) -> str:
    from cnnspec.importing.pipeline import import_source
    from cnnspec.importing.sources import parse_source

    source = parse_source(str(LIGHT / f"{name}.onnx"))
    assert source is not None
    return import_source(source).text


# Channels last -------------------------------------------------------------------------------------------------------


def channels_last() -> Any:
    """Maps of 9x8 with their channels last: two convolutions, one of them of a pixel, a flattening, a linear layer."""
    random = np.random.default_rng(0)

    def weights(name: str, *shape: int) -> Any:
        return initial(name, random.standard_normal(shape).astype(np.float32))

    nodes = [
        helper.make_node("Transpose", ["x"], ["first"], perm=[0, 3, 1, 2]),
        helper.make_node("Conv", ["first", "kernel"], ["maps"], pads=[0, 0, 1, 1], strides=[2, 2]),
        helper.make_node("Transpose", ["maps"], ["last"], perm=[0, 2, 3, 1]),
        helper.make_node("Relu", ["last"], ["relu"]),
        helper.make_node("MatMul", ["relu", "dense"], ["product"]),
        helper.make_node("Add", ["product", "shift"], ["shifted"]),
        helper.make_node("Mul", ["shifted", "factor"], ["scaled"]),
        helper.make_node("Concat", ["scaled", "relu"], ["joined"], axis=-1),
        helper.make_node("Softmax", ["joined"], ["soft"], axis=-1),
        helper.make_node("Reshape", ["soft", "flat"], ["row"]),
        helper.make_node("Gemm", ["row", "head"], ["y"]),
    ]
    tensors = [
        weights("kernel", 4, 3, 3, 3),
        weights("dense", 4, 5),
        weights("shift", 5),
        weights("factor", 5),
        weights("head", 4 * 4 * 9, 7),
        initial("flat", np.array([-1, 4 * 4 * 9])),
    ]
    return graph_of(nodes, tensors, shape=("n", 9, 8, 3))


def test_a_graph_with_its_channels_last_has_them_first(tmp_path: Path) -> None:
    result = imported(tmp_path, channels_last())
    assert passed(result) == {"text", "tensors", "outputs", "layers"}
    graph = read_spec("a.yaml", result.text.encode()).elaborate()
    assert graph.input_shape == (3, 9, 8)
    assert [node.op.op_name for node in graph] == [
        "ZeroPad2d", "Conv2d", "ReLU", "Conv2d", "Scale", "Concat", "Softmax", "Flatten", "Linear",
    ]  # fmt: skip


# What a file says of its windows -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "attributes"),
    [
        ("MaxPool", {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [0, 0, 1, 1]}),
        ("MaxPool", {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 0, 0]}),
        ("MaxPool", {"kernel_shape": [3, 2], "pads": [1, 0, 1, 1], "dilations": [2, 1]}),
        ("MaxPool", {"kernel_shape": [3, 3], "strides": [2, 2], "auto_pad": "SAME_UPPER"}),
        ("MaxPool", {"kernel_shape": [4, 4], "strides": [3, 3], "ceil_mode": 1}),
        ("AveragePool", {"kernel_shape": [2, 2], "pads": [0, 0, 1, 1], "count_include_pad": 1}),
        ("AveragePool", {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1]}),
        ("AveragePool", {"kernel_shape": [9, 9], "pads": [0, 0, 1, 1]}),
        ("Conv", {"pads": [2, 0, 0, 1], "dilations": [2, 1]}),
        ("Conv", {"auto_pad": "SAME_LOWER", "strides": [2, 2]}),
        ("ConvTranspose", {"strides": [2, 2], "pads": [1, 1, 0, 1], "output_padding": [0, 1]}),
        ("LpPool", {"kernel_shape": [2, 2], "p": 2}),
    ],
)
def test_windows(kind: str, attributes: dict[str, Any], tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    tensors = [initial("w", random.standard_normal((3, 3, 3, 2)).astype(np.float32))] if kind.startswith("Conv") else []
    node = helper.make_node(kind, ["x", "w"] if tensors else ["x"], ["y"], **attributes)
    assert "outputs" in passed(imported(tmp_path, graph_of([node], tensors)))


# Own exports ---------------------------------------------------------------------------------------------------------


def test_an_own_export_is_read_from_the_spec_that_it_carries(tmp_path: Path) -> None:
    path = tmp_path / "own.onnx"
    cnnspec.export("mlp", path)
    result = cnnspec.import_network(str(path))
    assert result.text == api.bundled_text("mlp")
    assert {check.name: check.passed for check in result.checks} == {"seal": True}
    data = bytearray(path.read_bytes())
    data[len(data) // 3] ^= 1
    path.write_bytes(data)
    with pytest.raises(CnnspecError, match="damaged"):
        cnnspec.import_network(str(path))


def test_of_an_own_export_the_parameters_that_were_chosen_stay(tmp_path: Path) -> None:
    path = tmp_path / "own.onnx"
    exported_network = cnnspec.load("resnet20", params={"num_classes": 3})
    cnnspec.export(exported_network, path, seed=4)
    result = cnnspec.import_network(str(path), tmp_path / "net.yaml", weights=tmp_path / "net.safetensors")
    assert read_spec("a.yaml", result.text.encode()).elaborate().output_shape == (3,)
    weights = tmp_path / "net.safetensors"
    again = cnnspec.export(cnnspec.load(tmp_path / "net.yaml"), tmp_path / "b.onnx", weights=weights)
    assert cnnspec.verify(again.path).passed
    image = np.random.default_rng(0).standard_normal((2, 3, 32, 32), np.float32)
    both = [next(iter(cnnspec.Predictor(file, device="cpu").run(image).values())) for file in (path, again.path)]
    np.testing.assert_allclose(*both, rtol=1e-4, atol=1e-5)


# What is refused -----------------------------------------------------------------------------------------------------


def branching() -> Any:
    inner = helper.make_graph([helper.make_node("Relu", ["x"], ["z"])], "inner", [], [])
    return graph_of([helper.make_node("If", ["c"], ["y"], then_branch=inner, else_branch=inner)])


def elsewhere() -> Any:
    model = graph_of([helper.make_node("Conv", ["x", "w"], ["y"])], [initial("w", np.zeros((2, 3, 1, 1), np.float32))])
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../../secret")
    return model


def test_tensors_in_files_of_the_folder_are_read(tmp_path: Path) -> None:
    model = elsewhere()
    (entry,) = model.graph.initializer[0].external_data
    (tmp_path / "data.bin").write_bytes(np.ones((2, 3, 1, 1), np.float32).tobytes())
    entry.value = "data.bin"
    assert "outputs" in passed(imported(tmp_path, model))
    for location in (str(tmp_path / "data.bin"), "a/../data.bin", "link.bin", "none.bin", "", "."):
        (tmp_path / "link.bin").unlink(missing_ok=True)
        (tmp_path / "link.bin").symlink_to("/etc/passwd")
        entry.value = location
        with pytest.raises(CnnspecError, match="external data"):
            imported(tmp_path, model)
    entry.value = "data.bin"
    model.graph.initializer[0].external_data.add(key="length", value="1000")
    with pytest.raises(CnnspecError, match="has fewer"):
        imported(tmp_path, model)


def two_inputs() -> Any:
    model = graph_of([helper.make_node("Add", ["x", "z"], ["y"])])
    model.graph.input.append(helper.make_tensor_value_info("z", onnx.TensorProto.FLOAT, [1, 3, 8, 8]))
    return model


REFUSED = {
    "control-flow": (branching, "control-flow"),
    "external data": (elsewhere, "external data"),
    "own domain": (lambda: graph_of([helper.make_node("Relu", ["x"], ["y"], domain="my.own")]), "`my.own`"),
    "quantised": (
        lambda: graph_of([helper.make_node("DynamicQuantizeLinear", ["x"], ["y", "s", "z"])]),
        "is quantised",
    ),
    "two inputs": (two_inputs, "reads 2 inputs"),
    "whole numbers": (lambda: graph_of([helper.make_node("Relu", ["x"], ["y"])], kind=6), "is of int32"),
    "half": (
        lambda: graph_of([helper.make_node("Add", ["x", "h"], ["y"])], [initial("h", np.zeros(3, np.float16))]),
        "tensors of float16",
    ),
    "no order": (
        lambda: graph_of([helper.make_node("Relu", ["z"], ["y"]), helper.make_node("Relu", ["x"], ["z"])]),
        "which nothing gives before it",
    ),
    "six axes": (lambda: graph_of([helper.make_node("Relu", ["x"], ["y"])], shape=(1, 2, 3, 4, 5, 6)), "6 axes"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused_is_refused_by_name(name: str, tmp_path: Path) -> None:
    build, words = REFUSED[name]
    with pytest.raises(CnnspecError, match=words) as caught:
        imported(tmp_path, build())
    assert "net.onnx" in caught.value.message


def test_open_sizes_are_asked_for(tmp_path: Path) -> None:
    model = graph_of([helper.make_node("Relu", ["x"], ["y"])], shape=("n", 3, "h", "w"))
    with pytest.raises(UsageError, match="does not say the size") as caught:
        imported(tmp_path, model)
    assert caught.value.hint is not None
    assert imported(tmp_path, model, input_shape=(3, 5, 6)).layers == 1
    with pytest.raises(UsageError, match=r"reads 3x\?x\?, not 4x5x6"):
        imported(tmp_path, model, input_shape=(4, 5, 6))


@pytest.mark.parametrize("dynamo", [False, True])
def test_a_gate_that_is_expanded_is_said(dynamo: bool, tmp_path: Path) -> None:
    def gated(net: Any, x: torch.Tensor) -> torch.Tensor:
        gate = net.fc(x.mean((2, 3)))
        return x * gate.view(*gate.shape, 1, 1).expand_as(x)

    result = imported(tmp_path, exported(Of(gated, fc=nn.Linear(3, 3)), (3, 8, 7), dynamo=dynamo))
    assert passed(result) == {"text", "tensors", "outputs", "layers"}
    assert result.text.count("Mul(input") == 1


def test_a_batch_of_none_is_refused(tmp_path: Path) -> None:
    weight = initial("w", np.ones((3, 3, 1, 1), np.float32))
    node = helper.make_node("Conv", ["x", "w"], ["y"])
    with pytest.raises(CnnspecError, match="cannot be run"):
        imported(tmp_path, graph_of([node], [weight], shape=(0, 3, 8, 8)))


def test_gaps_are_told_all_at_once(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Erf", ["x"], ["a"]),
        helper.make_node("Reshape", ["a", "row"], ["b"]),
        helper.make_node("Einsum", ["b"], ["y"], equation="ij->ij"),
    ]
    with pytest.raises(api.GapsError) as caught:
        imported(tmp_path, graph_of(nodes, [initial("row", np.array([6, -1]))]))
    assert [gap.call for gap in caught.value.gaps][::2] == ["Erf", "Einsum"] or len(caught.value.gaps) == 3


@pytest.mark.parametrize("word", ["a b/ü.c", "input", "type", "..", "/", "1.2", "x" * 300])
def test_any_names_become_keys(word: str, tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    arrays = [random.standard_normal((3, 3, 1, 1)).astype(np.float32) for _ in range(3)]
    tensors = [initial(f"{word}{n}.weight", array) for n, array in enumerate(arrays)]
    nodes = [
        helper.make_node("Conv", ["x", tensors[0].name], ["a"], name=f"{word}/1"),
        helper.make_node("Conv", ["a", tensors[1].name], ["b"], name=f"{word}/2"),
        helper.make_node("Conv", ["b", tensors[2].name], ["y"], name=f"{word}/3"),
    ]
    assert "outputs" in passed(imported(tmp_path, graph_of(nodes, tensors)))
