"""Every operator against torch: chosen rows in full, random configurations by shape, parameters and cost."""

from __future__ import annotations

import json
import pickle
import re
import warnings
from itertools import permutations
from math import prod
from random import Random
from typing import Any

import pytest
import torch
from cases import ROWS, Row
from draws import draw
from references import reference
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from cnnspec.errors import ShapeError
from cnnspec.ops import AnyOp, ArgumentError, Shape, make_op, operators
from cnnspec.torch_backend.layers import Trained, layer

RANDOM = 300  # random configurations for each operator
NEVER_INVALID = {"Identity", "Tanh", "Sigmoid", "ReLU", "ReLU6", "SiLU", "Mish", "Hardswish", "Hardsigmoid"}
NEVER_INVALID |= {"Affine", "ELU", "LeakyReLU", "Softplus", "GELU"}  # whatever `draw` makes of them
NAMED = [pytest.param(name, *row, id=f"{name}-{i}") for name, rows in ROWS.items() for i, row in enumerate(rows)]


def tensors(shapes: tuple[Shape, ...], device: str = "cpu") -> list[Tensor]:
    return [torch.randn(3, *shape, device=device) for shape in shapes]


def state_of(module: nn.Module) -> dict[str, Shape]:
    """Names and shapes; a bare parameter (`layer_scale`) has the empty name."""
    return {key.replace("layer_scale", ""): tuple(value.shape) for key, value in module.state_dict().items()}


def test_every_operator_has_rows() -> None:
    assert set(ROWS) == set(operators())
    assert min(len(rows) for rows in ROWS.values()) >= 4
    assert sum(len(rows) for rows in ROWS.values()) >= 260


@pytest.mark.filterwarnings("ignore:Using padding=.same. with even kernel")
@pytest.mark.parametrize(("name", "args", "shapes"), NAMED)
def test_row(name: str, args: dict[str, Any], shapes: tuple[Shape, ...]) -> None:
    torch.manual_seed(0)
    op = make_op(name, **args)
    truth = reference(name, args, shapes).eval()
    inputs = tensors(shapes)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        expected = truth(*[x.clone() for x in inputs])
    assert op.out_shape(*shapes) == tuple(expected.shape[1:])
    assert op.macs(*shapes) * 2 * len(inputs[0]) == counter.get_total_flops()
    assert_state(op, truth, shapes)
    assert_copies(name, op)
    assert op.op_name == name
    assert_forward(op, truth, inputs, shapes)
    assert_trains(op, shapes)


def assert_state(op: AnyOp, truth: nn.Module, shapes: tuple[Shape, ...]) -> None:
    parameters = op.parameter_shapes(*shapes)
    buffers = op.buffer_shapes(*shapes)
    assert list((parameters | buffers).items()) == list(state_of(truth).items())
    assert len(parameters) == len(list(truth.parameters()))
    formula = op.parameter_formula(*shapes)
    assert (formula is None) == (not parameters)
    if formula is not None:
        assert arithmetic(formula) == sum(prod(shape) for shape in parameters.values())
    product = op.mac_formula(*shapes)
    assert (product is None) == (not op.macs(*shapes))
    if product is not None:
        assert arithmetic(re.sub(r"(?<=\d)x", "*", re.sub(r" [a-z]+", "", product))) == op.macs(*shapes)
    flops = op.other_flops(*shapes)
    assert flops is None or flops >= 0


def arithmetic(formula: str) -> float:
    """The value of a printed formula, such as `(4/2)*8*3² + 8`."""
    plain = formula.replace("²", "**2").replace("³", "**3").replace("^", "**")
    assert set(plain) <= set("0123456789+-*/(). ")
    return float(eval(plain))


def assert_copies(name: str, op: AnyOp) -> None:
    assert pickle.loads(pickle.dumps(op)) == op
    assert make_op(name, **json.loads(json.dumps(op.arguments()))) == op


def built(op: AnyOp, shapes: tuple[Shape, ...]) -> nn.Module:
    """The torch form as a module that takes tensors, with one state_dict key fewer than `layer_scale`'s."""
    made = layer(op, *shapes)
    if isinstance(made, nn.Module):
        return made
    module = nn.Module()
    if isinstance(made, Trained):
        module.register_parameter("layer_scale", made.parameter)
        module.forward = lambda x: made.join(x, made.parameter)  # type: ignore[assignment]
    else:
        module.forward = made  # type: ignore[assignment]
    return module


def assert_forward(op: AnyOp, truth: nn.Module, inputs: list[Tensor], shapes: tuple[Shape, ...]) -> None:
    """Equal outputs with equal weights; in training mode too, with equal noise, and equal statistics afterwards."""
    ours = built(op, shapes)
    for tensor in truth.state_dict().values():
        if tensor.is_floating_point():
            tensor.uniform_(0.5, 1.5)
    ours.load_state_dict(truth.state_dict(), strict=True)
    for training in (False, True):
        results = []
        for module in (ours, truth):
            torch.manual_seed(1)
            with torch.no_grad():
                results.append(module.train(training)(*[x.clone() for x in inputs]))
        torch.testing.assert_close(*results, equal_nan=True)
    for mine, theirs in zip(ours.state_dict().values(), truth.state_dict().values(), strict=True):
        torch.testing.assert_close(mine, theirs)


def assert_trains(op: AnyOp, shapes: tuple[Shape, ...]) -> None:
    module = built(op, shapes).train()
    inputs = [x.abs().add_(0.1).requires_grad_() for x in tensors(shapes)]  # LPPool's root has no slope at 0
    before = [parameter.detach().clone() for parameter in module.parameters()]
    (
        module(*[x * 1 for x in inputs]) * torch.arange(3).reshape(3, *[1] * len(op.out_shape(*shapes)))
    ).square().sum().backward()
    if before:
        torch.optim.SGD(module.parameters(), 0.01).step()
    for x in inputs:
        assert x.grad is not None
        assert x.grad.isfinite().all()
    for old, parameter in zip(before, module.parameters(), strict=True):
        assert parameter.isfinite().all()
        assert not torch.equal(old, parameter) or not parameter.grad.any()  # type: ignore[union-attr]


def ours(name: str, row: Row) -> tuple[AnyOp, Shape] | None:
    args, shapes = row
    try:
        op = make_op(name, **args)
        return op, op.out_shape(*shapes)
    except (ArgumentError, ShapeError):
        return None


def torchs(name: str, row: Row, device: str = "meta") -> tuple[nn.Module, Shape] | None:
    """The module and its shape; None where torch refuses. A result without elements is none."""
    args, shapes = row
    try:
        with torch.device(device):
            module = reference(name, args, shapes).eval()
        out = tuple(module(*tensors(shapes, device)).shape[1:])
        if 0 in out:
            return None
    except (RuntimeError, ValueError, AssertionError, IndexError, NotImplementedError):
        return None
    return module, out


@pytest.mark.parametrize("name", operators())
def test_random_configurations(name: str) -> None:
    rng = Random(name)
    valid = 0
    with torch.no_grad(), warnings.catch_warnings(), FlopCounterMode(display=False) as counter:
        warnings.simplefilter("ignore")
        for _ in range(RANDOM):
            row = draw(name, rng)
            before = counter.get_total_flops()
            mine, truth = ours(name, row), torchs(name, row)
            if (mine is None) != (truth is None):  # some checks are made only on a real device
                truth = torchs(name, row, "cpu")
            assert (mine is None) == (truth is None), (name, row, mine, truth)
            if mine is None or truth is None:
                continue
            valid += 1
            op, out = mine
            module, shape = truth
            assert out == shape, (name, row)
            parameters, buffers = op.parameter_shapes(*row[1]), op.buffer_shapes(*row[1])
            assert list((parameters | buffers).items()) == list(state_of(module).items()), (name, row)
            assert op.macs(*row[1]) * 6 == counter.get_total_flops() - before, (name, row)
    assert valid >= RANDOM // 3
    assert (valid == RANDOM) == (name in NEVER_INVALID), f"{valid} of {RANDOM} are valid"


@pytest.mark.filterwarnings("ignore:Using padding=.same. with even kernel")
@pytest.mark.parametrize(("name", "args", "shapes"), NAMED)
def test_a_layer_runs_on_any_order_in_memory(name: str, args: dict[str, Any], shapes: tuple[Shape, ...]) -> None:
    """Behind a Permute a tensor of the same shape has other strides, which some kernels of torch do not take."""
    torch.manual_seed(0)
    module = built(make_op(name, **args), shapes).eval()
    inputs = tensors(shapes)
    with torch.no_grad():
        expected = module(*(x.clone() for x in inputs))  # in place, some of them
        for order in permutations(range(1, inputs[0].dim())):
            back = [0, *(order.index(axis) + 1 for axis in range(1, inputs[0].dim()))]
            moved = [x.permute(0, *order).clone(memory_format=torch.contiguous_format).permute(back) for x in inputs]
            assert moved[0].shape == inputs[0].shape
            assert torch.allclose(module(*moved), expected, atol=1e-5), order
