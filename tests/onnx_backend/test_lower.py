"""Every operator's ONNX form computes what torch computes, in the oldest, the usual and the newest opset."""

from __future__ import annotations

from random import Random
from typing import Any, get_args

import numpy as np
import onnx
import pytest
from onnx_support import difference, layer_graph, random_module, run, sample

from cnnspec.errors import ShapeError, UsageError
from cnnspec.onnx_backend.lower import lower
from cnnspec.onnx_backend.options import DEFAULT_OPSET, MAX_OPSET, MIN_OPSET, Lowering
from cnnspec.ops import AnyOp, Shape, operators

Row = tuple[str, dict[str, Any], tuple[Shape, ...]]

IMAGE = (4, 9, 11)
ROWS: list[Row] = [
    ("Conv1d", {"out_channels": 6, "kernel_size": 3, "stride": 2, "padding": 1}, ((4, 15),)),
    ("Conv2d", {"out_channels": 6, "kernel_size": (3, 2), "padding": "same", "dilation": 2}, (IMAGE,)),
    ("Conv2d", {"out_channels": 8, "kernel_size": 3, "groups": 4, "bias": False, "padding": "valid"}, (IMAGE,)),
    ("Conv3d", {"out_channels": 3, "kernel_size": 2, "stride": (1, 2, 2), "padding": (1, 0, 1)}, ((2, 5, 6, 7),)),
    ("StdConv2d", {"out_channels": 6, "kernel_size": 3, "stride": 2, "padding": 1, "groups": 2}, (IMAGE,)),
    ("StdConv2d", {"out_channels": 6, "kernel_size": 2, "padding": "same", "bias": True, "eps": 1e-3}, (IMAGE,)),
    ("ScaledStdConv2d", {"out_channels": 6, "kernel_size": 3, "gamma": 1.7}, (IMAGE,)),
    ("ScaledStdConv2d", {"out_channels": 4, "kernel_size": 1, "bias": False}, (IMAGE,)),
    *(
        (
            "Conv2d",
            {"out_channels": 4, "kernel_size": 3, "stride": 2, "padding": (1, 2), "padding_mode": mode},
            (IMAGE,),
        )
        for mode in ("reflect", "replicate", "circular")
    ),
    ("Conv1d", {"out_channels": 4, "kernel_size": 4, "padding": "same", "padding_mode": "circular"}, ((4, 15),)),
    ("ConvTranspose1d", {"out_channels": 3, "kernel_size": 4, "stride": 3, "output_padding": 2}, ((4, 6),)),
    (
        "ConvTranspose2d",
        {"out_channels": 6, "kernel_size": 3, "stride": 2, "padding": 1, "output_padding": 1, "groups": 2},
        (IMAGE,),
    ),
    ("ConvTranspose2d", {"out_channels": 3, "kernel_size": 2, "dilation": 3, "bias": False}, (IMAGE,)),
    ("ConvTranspose3d", {"out_channels": 2, "kernel_size": 2, "stride": 2}, ((3, 3, 4, 5),)),
    ("ConvTranspose1d", {"out_channels": 3, "kernel_size": 2, "dilation": 3, "output_padding": 2}, ((4, 6),)),
    (
        "ConvTranspose2d",
        {"out_channels": 4, "kernel_size": 2, "dilation": 4, "stride": 2, "padding": 1, "output_padding": (3, 1)},
        (IMAGE,),
    ),
    ("MaxPool1d", {"kernel_size": 3, "stride": 2, "padding": 1}, ((4, 15),)),
    ("MaxPool2d", {"kernel_size": 3, "stride": 2, "padding": 1, "dilation": 2}, ((4, 12, 13),)),
    ("MaxPool2d", {"kernel_size": 3, "stride": 2, "ceil_mode": True}, ((4, 8, 10),)),
    ("MaxPool2d", {"kernel_size": 2, "stride": 4, "padding": 1, "ceil_mode": True}, ((4, 8, 11),)),
    ("MaxPool3d", {"kernel_size": 2}, ((2, 5, 6, 7),)),
    ("AvgPool1d", {"kernel_size": 4, "stride": 3, "padding": 2, "ceil_mode": True}, ((4, 15),)),
    ("AvgPool2d", {"kernel_size": 3, "stride": 2, "padding": 1, "ceil_mode": True}, ((4, 8, 10),)),
    ("AvgPool2d", {"kernel_size": 3, "padding": 1, "count_include_pad": False}, (IMAGE,)),
    (
        "AvgPool2d",
        {"kernel_size": 3, "stride": 2, "padding": 1, "count_include_pad": False, "ceil_mode": True},
        ((4, 8, 10),),
    ),
    ("AvgPool2d", {"kernel_size": 3, "stride": 2, "ceil_mode": True}, ((4, 8, 10),)),
    ("AvgPool2d", {"kernel_size": 2, "stride": 4, "padding": 1, "ceil_mode": True}, ((4, 8, 11),)),
    ("AvgPool2d", {"kernel_size": 3, "padding": 1, "divisor_override": 5, "ceil_mode": True}, ((4, 8, 10),)),
    ("AvgPool3d", {"kernel_size": 2, "stride": 2, "padding": 1}, ((2, 5, 6, 7),)),
    ("LPPool1d", {"norm_type": 2, "kernel_size": 3}, ((4, 15),)),
    ("LPPool2d", {"norm_type": 4, "kernel_size": 3, "stride": 2, "ceil_mode": True}, ((4, 8, 10),)),
    ("LPPool3d", {"norm_type": 2, "kernel_size": 2}, ((2, 5, 6, 7),)),
    ("AdaptiveAvgPool1d", {"output_size": 4}, ((3, 10),)),
    ("AdaptiveAvgPool1d", {"output_size": 1}, ((3, 100),)),
    ("AdaptiveAvgPool2d", {"output_size": 1}, ((4, 7, 7),)),
    ("AdaptiveAvgPool2d", {"output_size": 1}, (IMAGE,)),
    ("AdaptiveAvgPool2d", {"output_size": (3, None)}, (IMAGE,)),
    ("AdaptiveAvgPool2d", {"output_size": 7}, (IMAGE,)),
    ("AdaptiveAvgPool2d", {"output_size": (12, 11)}, (IMAGE,)),
    ("AdaptiveAvgPool3d", {"output_size": 1}, ((2, 5, 6, 7),)),
    ("AdaptiveAvgPool3d", {"output_size": (2, 3, 4)}, ((2, 5, 6, 7),)),
    ("AdaptiveMaxPool1d", {"output_size": 4}, ((3, 10),)),
    ("AdaptiveMaxPool2d", {"output_size": 1}, (IMAGE,)),
    ("AdaptiveMaxPool2d", {"output_size": (4, 5)}, (IMAGE,)),
    ("AdaptiveMaxPool3d", {"output_size": (2, 3, 4)}, ((2, 5, 6, 7),)),
    ("BatchNorm1d", {}, ((7,),)),
    ("BatchNorm1d", {"eps": 0.01}, ((4, 9),)),
    ("BatchNorm2d", {"affine": False}, (IMAGE,)),
    ("BatchNorm3d", {}, ((2, 5, 6, 7),)),
    ("InstanceNorm1d", {"affine": True}, ((4, 9),)),
    ("InstanceNorm2d", {}, (IMAGE,)),
    ("InstanceNorm2d", {"track_running_stats": True, "affine": True}, (IMAGE,)),
    ("InstanceNorm3d", {}, ((2, 5, 6, 7),)),
    ("BlurPool2d", {}, (IMAGE,)),
    ("BlurPool2d", {"filt_size": 4, "stride": 3}, (IMAGE,)),
    ("GRN", {}, (IMAGE,)),
    ("GRN", {"dim": -1, "eps": 1e-3}, (IMAGE,)),
    ("GRN", {}, ((3, 20),)),
    ("GroupNorm", {"num_groups": 2}, (IMAGE,)),
    ("GroupNorm", {"num_groups": 2, "affine": False}, ((6, 9),)),
    ("GroupNorm", {"num_groups": 3}, ((6,),)),
    ("LayerNorm", {}, (IMAGE,)),
    ("LayerNorm", {"bias": False, "eps": 0.01}, ((20,),)),
    ("LayerNorm", {"elementwise_affine": False}, ((3, 20),)),
    ("LayerNorm2d", {}, (IMAGE,)),
    ("LayerNorm2d", {"bias": False}, (IMAGE,)),
    ("LocalResponseNorm", {"size": 3, "alpha": 0.1}, (IMAGE,)),
    ("LocalResponseNorm", {"size": 2, "alpha": 0.5, "k": 2.0}, (IMAGE,)),
    ("LocalResponseNorm", {"size": 5, "alpha": 0.5}, ((8, 12),)),
    ("LocalResponseNorm", {"size": 3, "alpha": 0.5, "beta": 1.5}, ((8, 3, 4, 5),)),
    ("Linear", {"out_features": 5}, ((12,),)),
    ("Linear", {"out_features": 5, "bias": False}, ((12,),)),
    ("Linear", {"out_features": 5}, (IMAGE,)),
    ("Linear", {"out_features": 5, "bias": False}, ((3, 12),)),
    ("Scale", {"init": 0.5}, (IMAGE,)),
    ("Scale", {}, ((12,),)),
    ("Scale", {"dim": -1}, (IMAGE,)),
    ("Scale", {"dim": None}, (IMAGE,)),
    ("Bias", {}, (IMAGE,)),
    ("Bias", {"dim": -1}, ((2, 12),)),
    ("Bias", {"dim": None}, (IMAGE,)),
    ("Affine", {"scale": 0.5, "shift": -1}, (IMAGE,)),
    ("Affine", {"scale": 3}, ((12,),)),
    ("Affine", {"shift": 2}, (IMAGE,)),
    ("Affine", {}, (IMAGE,)),
    *(
        (name, {"dim": dim, "keepdim": keepdim}, (IMAGE,))
        for name in ("Mean", "Sum", "Amax", "Amin")
        for dim, keepdim in (((2, 3), False), (1, True), ((1, 3), False))
    ),
    ("Mean", {"dim": (1, -1)}, ((40, 3, 60),)),
    ("Unflatten", {"dim": 1, "unflattened_size": (2, -1)}, (IMAGE,)),
    ("Unflatten", {"dim": -1, "unflattened_size": (-1, 1)}, (IMAGE,)),
    ("Unflatten", {"dim": 1, "unflattened_size": (3, 2, 2)}, ((12,),)),
    ("Reshape", {"shape": (2, 2, 9, 11)}, (IMAGE,)),
    ("Reshape", {"shape": (-1, 6)}, (IMAGE,)),
    ("Flatten", {}, (IMAGE,)),
    ("Flatten", {"start_dim": 2}, (IMAGE,)),
    ("Flatten", {"start_dim": 1, "end_dim": 2}, (IMAGE,)),
    ("Permute", {"dims": (0, 2, 3, 1)}, (IMAGE,)),
    ("ChannelShuffle", {"groups": 3}, ((6, 4, 5),)),
    ("Slice", {"start": 1, "end": 3}, (IMAGE,)),
    ("Slice", {"start": -2}, (IMAGE,)),
    ("Slice", {"start": 1, "end": -1, "dim": 2}, (IMAGE,)),
    ("Slice", {"start": -3, "dim": -1}, ((2, 12),)),
    ("ZeroPad1d", {"padding": (1, 2)}, ((3, 8),)),
    ("ZeroPad2d", {"padding": (1, -2, 3, 0)}, (IMAGE,)),
    ("ZeroPad3d", {"padding": 1}, ((2, 3, 4, 5),)),
    ("ConstantPad1d", {"padding": (1, 2), "value": 1.5}, ((3, 8),)),
    ("ConstantPad2d", {"padding": (1, -2, 3, 0), "value": -2}, (IMAGE,)),
    ("ConstantPad3d", {"padding": 0, "value": 3}, ((2, 3, 4, 5),)),
    *(
        (f"{name}{len(shape) - 1}d", {"padding": padding}, (shape,))
        for name in ("ReflectionPad", "ReplicationPad", "CircularPad")
        for padding, shape in (((1, 2), (3, 8)), ((3, 2, 1, 0), IMAGE), (-1, IMAGE), (0, IMAGE), (1, (2, 3, 4, 5)))
    ),
    ("ReflectionPad2d", {"padding": (-1, 2, 3, -2)}, (IMAGE,)),
    ("ReplicationPad2d", {"padding": (-1, 2, 3, -2)}, (IMAGE,)),
    ("CircularPad3d", {"padding": (-1, 2, 0, -2, 3, 0)}, ((2, 3, 4, 5),)),
    ("Upsample", {"scale_factor": 2.0}, (IMAGE,)),
    ("Upsample", {"scale_factor": 1.7}, (IMAGE,)),
    ("Upsample", {"scale_factor": 1.1}, (IMAGE,)),
    ("Upsample", {"scale_factor": 1.1}, ((4, 9),)),
    ("Upsample", {"scale_factor": 2.01}, ((2, 3, 4, 5),)),
    ("Upsample", {"size": (5, 25)}, (IMAGE,)),
    ("Upsample", {"scale_factor": 3.0}, ((4, 9),)),
    ("Upsample", {"scale_factor": 2.0}, ((2, 3, 4, 5),)),
    ("Upsample", {"scale_factor": 2.0, "mode": "nearest-exact"}, (IMAGE,)),
    ("Upsample", {"size": (13, 6), "mode": "nearest-exact"}, (IMAGE,)),
    ("Upsample", {"scale_factor": 2.0, "mode": "linear"}, ((4, 9),)),
    ("Upsample", {"scale_factor": 2.0, "mode": "bilinear"}, (IMAGE,)),
    ("Upsample", {"size": (13, 6), "mode": "bilinear"}, (IMAGE,)),
    ("Upsample", {"size": (30, 23), "mode": "bilinear", "align_corners": True}, (IMAGE,)),
    ("Upsample", {"scale_factor": 1.5, "mode": "bicubic"}, (IMAGE,)),
    ("Upsample", {"scale_factor": 2.0, "mode": "bicubic", "align_corners": True}, (IMAGE,)),
    ("Upsample", {"scale_factor": 2.0, "mode": "trilinear"}, ((2, 3, 4, 5),)),
    ("PixelShuffle", {"upscale_factor": 2}, ((8, 3, 5),)),
    ("Identity", {}, (IMAGE,)),
    ("Dropout", {"p": 0.9}, (IMAGE,)),
    ("StochasticDepth", {"p": 0.9}, (IMAGE,)),
    ("ReLU", {}, (IMAGE,)),
    ("ReLU6", {}, (IMAGE,)),
    ("LeakyReLU", {"negative_slope": 0.2}, (IMAGE,)),
    ("PReLU", {}, (IMAGE,)),
    ("PReLU", {"num_parameters": 4}, (IMAGE,)),
    ("PReLU", {"num_parameters": 6}, ((6,),)),
    ("ELU", {"alpha": 0.7}, (IMAGE,)),
    ("SiLU", {}, (IMAGE,)),
    ("GELU", {}, (IMAGE,)),
    ("GELU", {"approximate": "tanh"}, (IMAGE,)),
    ("Mish", {}, (IMAGE,)),
    ("Hardswish", {}, (IMAGE,)),
    ("Hardsigmoid", {}, (IMAGE,)),
    ("Hardtanh", {"min_val": -0.3, "max_val": 0.7}, (IMAGE,)),
    ("Softplus", {}, (IMAGE,)),
    ("Softplus", {"beta": 2.0, "threshold": 1.5}, (IMAGE,)),
    ("Softplus", {"beta": 0.5}, (IMAGE,)),
    ("Tanh", {}, (IMAGE,)),
    ("Sigmoid", {}, (IMAGE,)),
    ("Softmax", {}, (IMAGE,)),
    ("Softmax", {"dim": -1}, (IMAGE,)),
    ("LogSoftmax", {}, (IMAGE,)),
    ("LogSoftmax", {"dim": -1}, (IMAGE,)),
    ("Add", {}, (IMAGE, IMAGE)),
    ("Add", {}, (IMAGE,)),
    ("Add", {}, (IMAGE, IMAGE, IMAGE, IMAGE)),
    ("Add", {}, ((4, 1, 1), IMAGE)),
    ("Sub", {}, (IMAGE, (4, 1, 1))),
    ("Sub", {}, ((4, 9, 1), IMAGE)),
    ("Mul", {}, (IMAGE, (4, 1, 1))),
    ("Div", {}, (IMAGE, (4, 1, 11))),
    ("Div", {}, ((4, 1, 1), IMAGE)),
    ("Concat", {}, (IMAGE, (2, 9, 11), (1, 9, 11))),
    ("Concat", {"dim": 2}, (IMAGE, (4, 1, 11))),
    ("Concat", {"dim": -1}, ((4, 9, 2), IMAGE)),
]


def test_every_operator_has_a_row() -> None:
    assert {operators()[name][0] for name, _, _ in ROWS} == set(get_args(AnyOp))


@pytest.mark.parametrize("opset", [MIN_OPSET, DEFAULT_OPSET, MAX_OPSET])
@pytest.mark.parametrize("row", ROWS, ids=[f"{name}-{i}" for i, (name, _, _) in enumerate(ROWS)])
def test_a_layer_computes_what_torch_computes(row: Row, opset: int) -> None:
    name, arguments, shapes = row
    graph = layer_graph(name, arguments, *shapes)
    module, weights = random_module(graph)
    model = lower(graph, weights, Lowering(opset=opset))
    onnx.checker.check_model(model, full_check=True)
    assert model.graph.node[-1].name == "net.layer"
    images = sample(graph, batch=3)
    (got,) = run(model, images.numpy())
    assert difference(got, module(images)) <= 1e-5


def test_a_transposed_convolution_takes_every_output_padding_that_torch_takes() -> None:
    rng = Random(0)
    beyond = longer = 0
    while beyond < 120:
        rank = rng.choice((1, 1, 2, 3))
        sizes = {
            name: tuple(rng.choice(choices) for _ in range(rank))
            for name, choices in {
                "kernel_size": (1, 2, 3), "stride": (1, 2, 3), "dilation": (1, 2, 3, 4), "padding": (0, 1, 2),
                "output_padding": (0, 1, 2, 3),
            }.items()
        }  # fmt: skip
        arguments = {"out_channels": 4, "groups": rng.choice((1, 2)), "bias": rng.random() < 0.7, **sizes}
        shape = (2, *(rng.randint(1, 5) for _ in range(rank)))
        try:
            graph = layer_graph(f"ConvTranspose{rank}d", arguments, shape)
        except ShapeError:
            continue
        module, weights = random_module(graph)
        images = sample(graph)
        dynamic = lower(graph, weights, Lowering(opset=MIN_OPSET, dynamic_size=True))
        for model in (lower(graph, weights), dynamic):
            (got,) = run(model, images.numpy())
            assert np.allclose(got, module(images).detach(), atol=1e-5), (arguments, shape)
        beyond += any(more >= step for more, step in zip(sizes["output_padding"], sizes["stride"], strict=True))
        longer += "net.layer/longer" in {node.name for node in dynamic.graph.node}
    assert longer > 60


ADAPTIVE: list[Row] = [
    ("AdaptiveAvgPool1d", {"output_size": 4}, ((3, 10),)),
    ("AdaptiveAvgPool2d", {"output_size": 1}, (IMAGE,)),
    ("AdaptiveAvgPool2d", {"output_size": 7}, (IMAGE,)),
    ("AdaptiveAvgPool2d", {"output_size": (1, 7)}, (IMAGE,)),
    ("AdaptiveAvgPool2d", {"output_size": (3, None)}, (IMAGE,)),
    ("AdaptiveAvgPool3d", {"output_size": (2, 3, 4)}, ((2, 5, 6, 7),)),
    ("AdaptiveMaxPool1d", {"output_size": 4}, ((3, 10),)),
    ("AdaptiveMaxPool2d", {"output_size": 1}, (IMAGE,)),
    ("AdaptiveMaxPool2d", {"output_size": (4, 5)}, (IMAGE,)),
    ("AdaptiveMaxPool3d", {"output_size": (2, 3, 4)}, ((2, 5, 6, 7),)),
]


@pytest.mark.parametrize("opset", [MIN_OPSET, DEFAULT_OPSET, MAX_OPSET])
@pytest.mark.parametrize("row", ADAPTIVE, ids=[f"{name}-{i}" for i, (name, _, _) in enumerate(ADAPTIVE)])
def test_an_adaptive_pool_takes_an_axis_of_any_size(row: Row, opset: int) -> None:
    name, arguments, ((channels, *axes),) = row
    model = lower(layer_graph(name, arguments, (channels, *axes)), {}, Lowering(opset=opset, dynamic_size=True))
    onnx.checker.check_model(model, full_check=True)
    sizes = [1, 2, 3, 4, 5, 6, 7, 8, 12, 13, 14, 21, 27, 64]
    for at in range(len(sizes)):
        shape = (channels, *(sizes[(at + 5 * axis) % len(sizes)] for axis in range(len(axes))))
        graph = layer_graph(name, arguments, shape)
        module, _ = random_module(graph)
        images = sample(graph, seed=at)
        (got,) = run(model, images.numpy())
        assert difference(got, module(images)) <= 1e-5, shape


@pytest.mark.parametrize("mode", ["nearest", "nearest-exact"])
@pytest.mark.parametrize("opset", [MIN_OPSET, DEFAULT_OPSET])
def test_copies_up_to_a_fixed_size_are_torch_s_for_images_of_any_size(mode: str, opset: int) -> None:
    arguments = {"size": 23, "mode": mode}
    model = lower(layer_graph("Upsample", arguments, IMAGE), {}, Lowering(opset=opset, dynamic_size=True))
    for height in range(3, 40):
        graph = layer_graph("Upsample", arguments, (IMAGE[0], height, height + 20))
        module, _ = random_module(graph)
        images = sample(graph, seed=height)
        (got,) = run(model, images.numpy())
        assert difference(got, module(images)) <= 1e-5, height


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("Upsample", {"scale_factor": 2.3}),  # copies other pixels
        ("Upsample", {"scale_factor": 1.3, "mode": "bilinear"}),  # gives 116 of 90 pixels, and torch 117
        ("AvgPool2d", {"kernel_size": 4, "ceil_mode": True, "divisor_override": 5}),  # has windows for one size
    ],
)
def test_what_is_right_at_some_sizes_only_is_refused(name: str, arguments: dict[str, Any]) -> None:
    graph = layer_graph(name, arguments, (4, 12, 12))
    lower(graph, {})
    with pytest.raises(UsageError, match="--size dynamic"):
        lower(graph, {}, Lowering(dynamic_size=True))


def test_the_mean_of_a_large_map_does_not_lose_itself_in_rounding() -> None:
    graph = layer_graph("AdaptiveAvgPool2d", {"output_size": 1}, (16, 300, 300))
    images = sample(graph) + 1
    (got,) = run(lower(graph, {}), images.numpy())
    assert difference(got, images.double().mean((2, 3), keepdim=True)) <= 1e-6
