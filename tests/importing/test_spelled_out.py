"""What people spell out in a `forward`: it is the operator that it comes to, and layers keep their names."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from small_nets import Of
from torch import Tensor, nn
from torch.nn import functional

import cnnspec


class Gains(nn.Module):
    """Numbers for each channel, which whoever holds the module uses."""

    def __init__(self, shape: tuple[int, ...] = (3,)) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.rand(shape)), nn.Parameter(torch.rand(shape))


def convnext(net: Any, x: Tensor) -> Tensor:
    """As ConvNeXt's own code has it."""
    mean = x.mean(1, keepdim=True)
    variance = (x - mean).pow(2).mean(1, keepdim=True)
    normed = (x - mean) / torch.sqrt(variance + 1e-4)
    return net.norm.weight[:, None, None] * normed + net.norm.bias[:, None, None]


def by_variance(net: Any, x: Tensor) -> Tensor:
    normed = (x - x.mean(1, keepdim=True)) * torch.rsqrt(x.var(1, keepdim=True, unbiased=False) + 1e-4)
    return normed * net.norm.weight.view(1, -1, 1, 1) + net.norm.bias.view(1, -1, 1, 1)


def without_gains(net: Any, x: Tensor) -> Tensor:
    centred = x - x.mean(-1, keepdim=True)
    return centred / ((centred * centred).mean(-1, keepdim=True) + 1e-4).sqrt()


def focus(net: Any, x: Tensor) -> Tensor:
    return torch.cat([x[..., ::2, ::2], x[..., 1::2, ::2], x[..., ::2, 1::2], x[..., 1::2, 1::2]], 1)


def gated(net: Any, x: Tensor) -> Tensor:
    return functional.glu(net.conv(x), 1)


SPELLED: dict[str, tuple[Callable[[], nn.Module], list[str]]] = {
    "convnext": (lambda: Of(convnext, norm=Gains()), ["norm: LayerNorm2d(eps=0.0001)"]),
    "by_variance": (lambda: Of(by_variance, norm=Gains()), ["norm: LayerNorm2d(eps=0.0001)"]),
    "without_gains": (lambda: Of(without_gains), ["div: LayerNorm(eps=0.0001, elementwise_affine=False)"]),
    "focus": (lambda: Of(focus), ["MaxPool2d(1, stride=2)", "Slice(1, dim=2)", "Slice(1, dim=3)"]),
    "gated": (lambda: Of(gated, conv=nn.Conv2d(3, 8, 1)), ["Slice(0, 4)", "Slice(4)", "Sigmoid", "Mul("]),
}


@pytest.mark.parametrize("name", SPELLED)
def test_it_is_the_operator_that_it_comes_to(name: str) -> None:
    build, words = SPELLED[name]
    module, batch = build().eval(), torch.randn(2, 3, 8, 10)
    spec = cnnspec.from_torch(module, (3, 8, 10))
    with torch.no_grad():
        torch.testing.assert_close(spec.build().eval()(batch), module(batch), rtol=1e-5, atol=1e-5)
    for word in words:
        assert word in spec.text


def test_a_product_with_a_matrix_is_a_linear_layer() -> None:
    def last(net: Any, x: Tensor) -> Tensor:
        return x @ net.one.weight + torch.mm(x, net.other.weight.t())

    module = Of(last, one=Gains((6, 6)), other=nn.Linear(6, 6, bias=False)).eval()
    spec, batch = cnnspec.from_torch(module, (6,)), torch.randn(2, 6)
    with torch.no_grad():
        torch.testing.assert_close(spec.build().eval()(batch), module(batch), rtol=1e-5, atol=1e-5)
    assert [node.op.op_name for node in spec.graph] == ["Linear", "Linear", "Add"]


def test_a_convolution_keeps_its_name_beside_its_padding() -> None:
    module = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1, padding_mode="reflect"), nn.ReLU())
    spec = cnnspec.from_torch(module, (3, 8, 8))
    assert set(spec.weights()) == set(module.state_dict())
    assert [node.op.op_name for node in spec.graph] == ["ReflectionPad2d", "Conv2d", "ReLU"]


def test_an_unbiased_variance_is_a_gap() -> None:
    with pytest.raises(cnnspec.CnnspecError) as caught:
        cnnspec.from_torch(Of(lambda net, x: x.var(1)), (3, 8, 8))
    assert caught.value.gaps[0].missing == "an unbiased variance"  # type: ignore[attr-defined]


def test_what_runs_without_gradients_is_said() -> None:
    def frozen(net: Any, x: Tensor) -> Tensor:
        with torch.no_grad():
            y = net.one(x).relu()
            z = net.two(y)
        return net.three(y + z)

    children = {name: nn.Conv2d(3, 3, 3, padding=1) for name in ("one", "two", "three")}
    module, batch = Of(frozen, **children).eval(), torch.randn(2, 3, 8, 8)
    spec = cnnspec.from_torch(module, (3, 8, 8))
    assert [node.name for node in spec.graph] == ["one", "relu", "two", "add", "three"]
    with torch.no_grad():
        torch.testing.assert_close(spec.build().eval()(batch), module(batch), rtol=1e-5, atol=1e-5)


def test_that_values_are_dropped_at_inference_too_is_told() -> None:
    spec = cnnspec.from_torch(Of(lambda net, x: functional.dropout(x.relu(), 0.5)), (3, 8, 8))
    assert any("drops values at inference too" in note for note in spec.notes)
    assert "Dropout" in spec.text
    tame = cnnspec.from_torch(Of(lambda net, x: functional.dropout(x.relu(), 0.5, net.training)), (3, 8, 8))
    assert tame.notes == ()


@pytest.mark.parametrize("scaled", [True, False])
def test_dropped_paths_are_those_that_are_scaled(scaled: bool) -> None:
    def dropped(net: Any, x: Tensor) -> Tensor:
        y: Tensor = net.conv(x)
        if net.training:
            noise = y.new_empty((y.shape[0], 1, 1, 1)).bernoulli_(0.75)
            y = y * (noise.div_(0.75) if scaled else noise)
        return x + y

    spec = cnnspec.from_torch(Of(dropped, conv=nn.Conv2d(3, 3, 1)), (3, 8, 8))
    assert ("StochasticDepth(0.25)" in spec.text) is scaled
    assert any("in training it computes something else" in note for note in spec.notes) is not scaled
