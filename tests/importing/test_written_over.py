"""Modules that write in place, compute what nobody reads, or give back odd things: read as torch runs them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import cnnspec
from cnnspec import api
from cnnspec.errors import CnnspecError
from cnnspec.torch_backend.capture import capture


class Net(nn.Module):
    """Two layers; what is done with them is a function of the test's."""

    def __init__(self, run: Any) -> None:
        super().__init__()
        self.c = nn.Conv2d(3, 8, 3, padding=1)
        self.d = nn.Conv2d(8, 8, 3, padding=1)
        self.run = run

    def forward(self, x: Tensor) -> Any:
        return self.run(self, x)


def view_before(net: Net, x: Tensor) -> Tensor:
    value = net.c(x)
    view = value.flatten(2)
    value.relu_()
    return view.mean(2)


def part_set(net: Net, x: Tensor) -> Tensor:
    value = net.c(x)
    value[:, :4] = 0
    return net.d(value)


def part_rectified(net: Net, x: Tensor) -> Tensor:
    value = net.c(x)
    value[:, 2:].relu_()
    return net.d(value)


def view_of_a_view(net: Net, x: Tensor) -> Tensor:
    value = net.c(x)
    view = value.permute(0, 2, 3, 1)[:, :, :, :4]
    value *= 2
    return net.d(value) + view.sum()


@pytest.mark.parametrize("run", [view_before, part_set, part_rectified, view_of_a_view])
def test_a_write_into_memory_with_another_view_is_a_gap(run: Any) -> None:
    with pytest.raises(api.GapsError) as caught:
        cnnspec.from_torch(Net(run), (3, 8, 8))
    assert any("another view is read later" in gap.missing for gap in caught.value.gaps)


@pytest.mark.parametrize("run", [view_before, part_set, part_rectified])
def test_the_proof_runs_the_source_with_its_writes(run: Any) -> None:
    module, batch = Net(run).eval(), torch.randn(2, 3, 8, 8)
    given = batch.clone()
    captured = capture(module, (3, 8, 8), "net")
    (found,) = captured.outputs(captured.tensors(), batch.numpy())
    with torch.no_grad():
        np.testing.assert_allclose(found, module(batch.clone()).numpy(), rtol=1e-5, atol=1e-5)
    assert torch.equal(batch, given)


def renamed(net: Net, x: Tensor) -> Tensor:
    value = net.c(x)
    same = value
    value.relu_()  # of the same name for the same tensor
    return net.d(value) + same


def view_after(net: Net, x: Tensor) -> Tensor:
    value = net.c(x)
    value.relu_()
    return value.flatten(2).mean(2)


def own_input(net: Net, x: Tensor) -> Tensor:
    x.mul_(2)
    return net.c(x) + x.sum(1, keepdim=True)


@pytest.mark.parametrize("run", [renamed, view_after, own_input])
def test_other_writes_are_said(run: Any) -> None:
    module, batch = Net(run).eval(), torch.randn(2, 3, 8, 8)
    built = cnnspec.from_torch(module, (3, 8, 8)).build().eval()
    with torch.no_grad():
        torch.testing.assert_close(built(batch.clone()), module(batch.clone()), rtol=1e-5, atol=1e-5)


def unread(net: Net, x: Tensor) -> Tensor:
    value: Tensor = net.c(x)
    net.d(value)
    return value


def test_what_nobody_reads_costs_nothing() -> None:
    spec = cnnspec.from_torch(Net(unread), (3, 8, 8))
    assert spec.graph.macs == 3 * 8 * 9 * 64
    (tensors,) = (check.detail for check in spec.checks if check.name == "tensors")
    assert "d.weight" in tensors


def odd_outputs(net: Net, x: Tensor) -> Any:
    value = net.c(x)
    return [net.d(value), x, value, value, 3, None, net.d.bias, torch.arange(4)]


def test_outputs_that_no_layer_gives_are_left_out_and_told() -> None:
    spec = cnnspec.from_torch(Net(odd_outputs), (3, 8, 8))
    assert spec.graph.outputs == ("d", "c")
    assert set(spec.notes) == {
        "an output that is the input itself is left out",
        "an output that is given twice is given once",
        "an output that no input changes is left out",
    }


@pytest.mark.parametrize("module", [nn.Identity(), nn.Sequential(), Net(lambda net, x: None)])
def test_a_module_without_a_layer_is_refused(module: nn.Module) -> None:
    with pytest.raises(CnnspecError, match="gives nothing that a layer"):
        cnnspec.from_torch(module, (3, 8, 8), name="net")


def test_an_output_that_comes_to_the_input_is_a_gap() -> None:
    with pytest.raises(api.GapsError) as caught:
        cnnspec.from_torch(nn.Dropout(0.0), (3, 8, 8))
    assert caught.value.gaps[0].missing == "an output that is the input itself"


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float64])
def test_weights_in_other_floats_become_float32(kind: torch.dtype) -> None:
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)).to(kind).eval()
    spec = cnnspec.from_torch(module, (3, 8, 8))
    batch = torch.randn(2, 3, 8, 8)
    with torch.no_grad():
        torch.testing.assert_close(spec.build().eval()(batch), module.float()(batch), rtol=1e-5, atol=1e-5)
    assert spec.notes == (f"its weights in {str(kind).partition('.')[2]} are kept in float32",)


def test_a_module_that_computes_in_half_precision_is_refused() -> None:
    module = Net(lambda net, x: net.c.bfloat16()(x.bfloat16()).float())
    with pytest.raises(CnnspecError, match="cannot"):
        cnnspec.from_torch(module, (3, 8, 8))


def test_tensors_that_a_module_makes_need_no_device() -> None:
    module = Net(lambda net, x: net.c(x) + torch.zeros(1))
    spec = cnnspec.from_torch(module, (3, 8, 8))
    assert len(spec.graph) == 1


def test_a_norm_that_averages_over_all_batches_gets_a_momentum() -> None:
    spec = cnnspec.from_torch(nn.Sequential(nn.BatchNorm2d(3, momentum=None)), (3, 8, 8))
    assert "momentum" not in spec.text
    assert any("its momentum is 0.1" in note for note in spec.notes)
