"""What `calc` counts, against torch's modules; and the output padding that it finds, against torch's shapes."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from cnnspec.analysis.calculator import calculate
from cnnspec.analysis.layer_sizes import Layer
from cnnspec.errors import CnnspecError, UsageError


def params(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize("wanted", range(13, 19))
@pytest.mark.parametrize("kernel", [2, 3, 4, 5])
@pytest.mark.parametrize("stride", [2, 3])
def test_a_transposed_convolution_finds_its_output_padding(wanted: int, kernel: int, stride: int) -> None:
    asked = Layer(
        "conv_transpose2d", {"kernel_size": (kernel,), "stride": (stride,), "dilation": (1,)}, (7,), (wanted,)
    )
    image = torch.zeros(1, 1, 7, 7)
    possible = []
    for extra in range(stride):
        for padding in range(8):
            size = (7 - 1) * stride - 2 * padding + kernel + extra
            if size == wanted:
                module = nn.ConvTranspose2d(1, 1, kernel, stride, padding, extra)
                assert module(image).shape[-1] == wanted
                possible.append((extra, padding))
    if not possible:
        with pytest.raises(CnnspecError, match="no padding gives"):
            calculate([asked])
        return
    step = calculate([asked]).steps[0]
    assert step.output == (wanted, wanted)
    extra = step.arguments.get("output_padding", (0, 0))[0]
    assert (extra, step.arguments["padding"][0]) == min(possible)


def test_the_output_padding_that_people_look_for() -> None:
    arguments: dict[str, Any] = {"kernel_size": (3,), "stride": (2,)}
    (step,) = calculate([Layer("conv_transpose2d", arguments, (7,), (14,))]).steps
    assert (step.arguments["padding"], step.arguments["output_padding"]) == ((1, 1), (1, 1))
    (step,) = calculate([Layer("conv_transpose2d", {**arguments, "padding": (1,)}, (7,), (14,))]).steps
    assert step.arguments["output_padding"] == (1, 1)


@pytest.mark.parametrize(
    ("op", "module", "extra"),
    [
        ("conv2d", nn.Conv2d(64, 128, 3), {}),
        ("conv2d", nn.Conv2d(64, 128, 3, groups=32, bias=False), {"groups": 32, "bias": False}),
        ("conv1d", nn.Conv1d(64, 128, 3), {}),
        ("conv3d", nn.Conv3d(64, 128, 3), {}),
        ("conv_transpose2d", nn.ConvTranspose2d(64, 128, 3, groups=2), {"groups": 2}),
    ],
)
def test_parameters_are_torch_s(op: str, module: nn.Module, extra: dict[str, Any]) -> None:
    arguments = {"kernel_size": (3,), "in_channels": 64, "out_channels": 128, **extra}
    (step,) = calculate([Layer(op, arguments, (9,))]).steps
    assert step.params == params(module)
    assert step.to_dict()["params"] == step.params


def test_channels_go_on_to_a_dense_layer_as_in_lenet() -> None:
    layers = [
        Layer("conv2d", {"kernel_size": (5,), "in_channels": 1, "out_channels": 6}, (32,)),
        Layer("max_pool2d", {"kernel_size": (2,)}),
        Layer("conv2d", {"kernel_size": (5,), "out_channels": 16}),
        Layer("max_pool2d", {"kernel_size": (2,)}),
        Layer("linear", {"out_features": 120}),
        Layer("linear", {"out_features": 10, "bias": False}),
    ]
    steps = calculate(layers).steps
    modules = nn.Conv2d(1, 6, 5), None, nn.Conv2d(6, 16, 5), None, nn.Linear(400, 120), nn.Linear(120, 10, bias=False)
    assert [step.params for step in steps] == [module and params(module) for module in modules]


def test_a_dense_layer_alone() -> None:
    (step,) = calculate([Layer("linear", {"in_features": 512, "out_features": 10})]).steps
    assert (step.params, step.input, step.output, step.macs) == (5130, (512,), (10,), 5120)
    assert calculate([Layer("linear", {}, (512,), (10,))]).steps[0].params == 5130


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ([Layer("linear", {"out_features": 10})], "how many numbers does Linear read"),
        ([Layer("linear", {"in_features": 10})], "needs out_features"),
        ([Layer("linear", {"in_features": 1, "out_features": 1, "stride": (2,)})], "has no stride"),
        ([Layer("linear", {"in_features": 1, "out_features": 1}), Layer("conv1d", {})], "cannot follow Linear"),
        ([Layer("conv2d", {"kernel_size": (3,), "in_channels": 3}, (9,))], "counted from both channels"),
        ([Layer("conv2d", {"kernel_size": (3,), "out_channels": 3, "groups": 3}, (9,))], "counted from both channels"),
        ([Layer("max_pool2d", {"kernel_size": (3,), "in_channels": 3}, (9,))], "has no in_channels"),
        (
            [
                Layer("conv2d", {"kernel_size": (3,), "in_channels": 3, "out_channels": 8}, (9,)),
                Layer("conv2d", {"kernel_size": (3,), "in_channels": 4, "out_channels": 8}),
            ],
            "the layer before gives 8",
        ),
    ],
)
def test_what_cannot_be_counted(layers: list[Layer], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        calculate(layers)


def test_groups_that_do_not_divide_are_torch_s_refusal() -> None:
    arguments = {"kernel_size": (3,), "in_channels": 4, "out_channels": 6, "groups": 3}
    with pytest.raises(CnnspecError, match="does not divide"):
        calculate([Layer("conv2d", arguments, (9,))])
