"""The calculator gives torch's sizes, forwards and backwards; every small case is in `test_calculator_enumerated`."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest
import torch
from torch import nn
from torch_sizes import torch_size

from cnnspec.analysis.calculator import calculate
from cnnspec.analysis.layer_sizes import Layer, Solution, find_operator
from cnnspec.errors import CnnspecError, UsageError

FAMILIES = ("Conv", "ConvTranspose", "MaxPool", "AvgPool", "LPPool")
CONFIGURATIONS = 400


def random_layer(rng: Random) -> tuple[str, tuple[int, ...], dict[str, Any]]:
    """A windowed operator with random arguments, valid or not."""
    family, rank = rng.choice(FAMILIES), rng.choice((1, 2, 2, 3))

    def sizes(choices: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(rng.choice(choices) for _ in range(rank))

    arguments: dict[str, Any] = {"kernel_size": sizes((1, 2, 3, 4, 5))}
    if rng.random() < 0.7:
        arguments["stride"] = sizes((1, 2, 3))
    if family != "LPPool" and rng.random() < 0.7:
        arguments["padding"] = sizes((0, 1, 2))
    if family in ("Conv", "ConvTranspose", "MaxPool") and rng.random() < 0.5:
        arguments["dilation"] = sizes((1, 2, 3))
    if family == "ConvTranspose" and rng.random() < 0.4:
        arguments["output_padding"] = sizes((0, 1))
    if family == "Conv" and rng.random() < 0.15:
        arguments["padding"] = rng.choice(("same", "valid"))
    if family.endswith("Pool") and rng.random() < 0.5:
        arguments["ceil_mode"] = True
    return f"{family}{rank}d", tuple(rng.randint(1, 12) for _ in range(rank)), arguments


def test_the_output_is_torchs() -> None:
    rng = Random(0)
    valid = 0
    for _ in range(CONFIGURATIONS):
        op, size, arguments = random_layer(rng)
        expected = torch_size(op, size, arguments)
        if expected is None:
            with pytest.raises(CnnspecError):
                calculate([Layer(op, arguments, size)])
            continue
        valid += 1
        (step,) = calculate([Layer(op, arguments, size)]).steps
        assert step.output == expected, (op, size, arguments)
        assert all(f" = {out}" in text for out, text in zip(expected, step.formulas, strict=True))
    assert valid > CONFIGURATIONS // 2


def test_a_stride_without_end_is_said_to_have_none() -> None:
    (step,) = calculate([Layer("conv1d", {"kernel_size": 3, "padding": 0, "dilation": 1}, (8,), (1,))]).steps
    assert step.solutions == (Solution("stride", ((6, None),)),)


def test_each_of_the_numbers_left_out_is_solved_for() -> None:
    (step,) = calculate([Layer("conv2d", {"kernel_size": 5, "stride": 2}, (32,), (16,))]).steps
    assert step.solutions == (Solution("padding", ((2, 2), (2, 2))),)
    assert step.arguments["padding"] == (2, 2)
    (step,) = calculate([Layer("conv2d", {"kernel_size": 3}, (33,), (17,))]).steps
    assert [solution.unknown for solution in step.solutions] == ["dilation"]
    (step,) = calculate([Layer("conv1d", {"kernel_size": 5}, (32,), (28,))]).steps
    assert {solution.unknown: solution.ranges for solution in step.solutions} == {
        "stride": ((1, 1),),
        "padding": ((0, 0),),
        "dilation": ((1, 1),),
    }


def test_rectangular_sizes_are_solved_axis_by_axis() -> None:
    (step,) = calculate([Layer("max_pool2d", {"stride": 2, "padding": 0}, (32, 49), (15, 24))]).steps
    assert step.solutions[0].ranges == ((3, 4), (2, 3))


def test_layers_in_a_row_forwards_and_backwards() -> None:
    conv, pool = Layer("conv2d", {"kernel_size": 5}), Layer("max_pool2d", {"kernel_size": 2})
    forwards = calculate([Layer("conv2d", {"kernel_size": 5}, (32,)), pool, conv, pool])
    assert [step.output for step in forwards.steps] == [(28, 28), (14, 14), (10, 10), (5, 5)]
    backwards = calculate([conv, pool, conv, Layer("max_pool2d", {"kernel_size": 2}, None, (5,))])
    assert backwards.solutions == (Solution("input", ((32, 35), (32, 35))),)
    module = nn.Sequential(nn.Conv2d(1, 1, 5), nn.MaxPool2d(2), nn.Conv2d(1, 1, 5), nn.MaxPool2d(2))
    sizes = [size for size in range(16, 60) if module(torch.ones(1, 1, size, size)).shape[2] == 5]
    assert sizes == [32, 33, 34, 35]


def test_no_solution_names_what_comes_near() -> None:
    with pytest.raises(CnnspecError, match=r"no stride gives 11x11 from an input of 28x28") as caught:
        calculate([Layer("conv2d", {"kernel_size": 2, "padding": 0, "dilation": 1}, (28,), (11,))])
    assert caught.value.hint == "stride 2 gives 14 and stride 3 gives 9"
    assert caught.value.exit_code == 1
    with pytest.raises(CnnspecError, match="no input gives 8") as caught:
        calculate([Layer("conv_transpose1d", {"kernel_size": 3, "stride": 3}, None, (8,))])
    assert caught.value.hint == "input 2 gives 6 and input 3 gives 9"
    everything = {"kernel_size": 5, "stride": 1, "padding": 0, "dilation": 1}
    with pytest.raises(CnnspecError, match="gives 28, not 30"):
        calculate([Layer("conv1d", everything, (32,), (30,))])


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ([], "no layer"),
        ([Layer("conv2d", {"kernel_size": 3})], "needs an input"),
        ([Layer("conv2d", {}, (32,))], "needs a kernel_size"),
        ([Layer("conv2d", {}, None, (32,))], "only one number"),
        ([Layer("conv2d", {"kernel_size": 3}, (3, 32, 32))], "has 2 axes"),
        ([Layer("conv2d", {"kernel_size": 0}, (32,))], "must be at least 1"),
        ([Layer("avg_pool2d", {"kernel_size": 2, "dilation": 2}, (32,))], "has no dilation"),
        ([Layer("conv2d", {"kernel_size": 2, "ceil_mode": True}, (32,))], "has no ceil_mode"),
        ([Layer("relu", {"kernel_size": 2}, (32,))], "has no size formula"),
        ([Layer("conv2d", {"kernel_size": 2}, (8,)), Layer("conv2d", {"kernel_size": 2}, (8,))], "only the first"),
        ([Layer("conv2d", {"kernel_size": 2}, (8,)), Layer("conv1d", {"kernel_size": 2})], "cannot follow"),
    ],
)
def test_what_cannot_be_calculated_is_wrong_usage(layers: list[Layer], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        calculate(layers)


def test_operators_by_their_names() -> None:
    names = ("conv2d", "Conv2d", "CONV2D", "max_pool3d", "conv_transpose1d", "lp_pool2d")
    found = ["Conv2d", "Conv2d", "Conv2d", "MaxPool3d", "ConvTranspose1d", "LPPool2d"]
    assert [find_operator(name) for name in names] == found
    with pytest.raises(UsageError) as caught:
        find_operator("max_pol2d")
    assert caught.value.hint == "did you mean `max_pool2d`?"


@pytest.mark.parametrize(
    ("op", "size", "arguments", "output"),
    [
        # CS231n, Convolutional Networks: "Use of zero-padding", "Constraints on strides", and AlexNet's first layer
        ("conv1d", 5, {"kernel_size": 3, "padding": 1}, 5),
        ("conv1d", 5, {"kernel_size": 3, "padding": 1, "stride": 2}, 3),
        ("conv1d", 10, {"kernel_size": 3, "stride": 2}, 4),
        ("conv2d", 227, {"kernel_size": 11, "stride": 4}, 55),
        # Dumoulin and Visin 2016, figures 2.1 to 2.7, 4.1, 4.5, 4.6 and 5.1
        ("conv2d", 4, {"kernel_size": 3}, 2),
        ("conv2d", 5, {"kernel_size": 4, "padding": 2}, 6),
        ("conv2d", 5, {"kernel_size": 3, "padding": 1}, 5),
        ("conv2d", 5, {"kernel_size": 3, "padding": 2}, 7),
        ("conv2d", 5, {"kernel_size": 3, "stride": 2}, 2),
        ("conv2d", 5, {"kernel_size": 3, "stride": 2, "padding": 1}, 3),
        ("conv2d", 6, {"kernel_size": 3, "stride": 2, "padding": 1}, 3),
        ("conv_transpose2d", 2, {"kernel_size": 3}, 4),
        ("conv_transpose2d", 2, {"kernel_size": 3, "stride": 2}, 5),
        ("conv_transpose2d", 3, {"kernel_size": 3, "stride": 2, "padding": 1}, 5),
        ("conv_transpose2d", 3, {"kernel_size": 3, "stride": 2, "padding": 1, "output_padding": 1}, 6),
        ("conv2d", 7, {"kernel_size": 3, "dilation": 2}, 3),
        # torch's ceil_mode: a window that starts in the padding at the far end is dropped
        ("max_pool1d", 4, {"kernel_size": 1, "stride": 2, "ceil_mode": True}, 2),
        ("max_pool1d", 5, {"kernel_size": 2, "stride": 3, "padding": 1, "ceil_mode": True}, 2),
    ],
)
def test_published_cases(op: str, size: int, arguments: dict[str, Any], output: int) -> None:
    (step,) = calculate([Layer(op, arguments, (size,))]).steps
    assert set(step.output) == {output}
