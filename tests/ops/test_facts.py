"""What every operator says of itself is true: each fact against torch, over all rows of the operator."""

from __future__ import annotations

from collections.abc import Iterator
from typing import get_args

import numpy as np
import pytest
import torch
from cases import ROWS
from references import reference
from torch import nn

from cnnspec.errors import ShapeError
from cnnspec.ops import AbstractOp, AnyOp, Shape, make_op, operators
from cnnspec.ops.activation import LogSoftmax, Softmax
from cnnspec.ops.norm import GRN, GroupNorm, LayerNorm, LayerNorm2d, LocalResponseNorm

FACTS = ("pointwise", "keeps_sizes", "slides", "activation", "passive", "keeps_groups", "windowed", "features_last")
GROWN = (1, 2, 3, 5, 6, 8, 12)  # sizes that an axis is given in place of its own

pytestmark = pytest.mark.filterwarnings("ignore:Using padding=.same. with even kernel")


def rows(kind: type[AbstractOp]) -> Iterator[tuple[str, AnyOp, tuple[Shape, ...]]]:
    """The rows of a class under all its names, with the operator made."""
    for name, (op, _) in operators().items():
        if op is kind:
            for args, shapes in ROWS[name]:
                yield name, make_op(name, **args), shapes


def truth(name: str, op: AnyOp, shapes: tuple[Shape, ...]) -> nn.Module:
    return reference(name, op.arguments(), shapes).eval()


@pytest.mark.parametrize("kind", get_args(AnyOp))
def test_every_operator_says_every_fact(kind: type[AbstractOp]) -> None:
    assert [fact for fact in FACTS if type(getattr(kind, fact, None)) is not bool] == []
    assert not any(hasattr(AbstractOp, fact) for fact in FACTS), "a default could be forgotten"


@pytest.mark.parametrize("kind", get_args(AnyOp))
def test_pointwise_is_what_commutes_with_every_order_of_the_values(kind: type[AnyOp]) -> None:
    if kind.arity != (1, 1):
        assert not kind.pointwise
        return
    torch.manual_seed(0)
    assert kind.pointwise == all(commutes(truth(name, op, shapes), shapes[0]) for name, op, shapes in rows(kind))


@torch.no_grad()
def drawn(module: nn.Module) -> nn.Module:
    """The module with other numbers in its tensors than those that it starts with."""
    for tensor in module.state_dict().values():
        if tensor.is_floating_point():
            tensor.uniform_(0.5, 1.5)
    return module


@torch.no_grad()
def commutes(module: nn.Module, shape: Shape) -> bool:
    module = drawn(module)
    x = torch.randn(2, *shape)
    order = torch.randperm(x[0].numel())
    plain, mixed = module(x.clone()), module(x.flatten(1)[:, order].reshape(x.shape))
    return plain.shape == x.shape and torch.allclose(plain.flatten(1)[:, order], mixed.flatten(1), atol=1e-6)


@pytest.mark.parametrize("kind", get_args(AnyOp))
def test_keeps_sizes_is_what_no_size_makes_a_difference_to(kind: type[AnyOp]) -> None:
    assert kind.keeps_sizes == all(kept(op, shapes) for _, op, shapes in rows(kind))
    assert kind.keeps_sizes or not kind.pointwise


def kept(op: AnyOp, shapes: tuple[Shape, ...]) -> bool:
    """Whether every size of every axis but the first is taken and given back, with the same tensors."""
    tensors = op.parameter_shapes(*shapes)
    for read, shape in enumerate(shapes):
        for axis in range(1, len(shape)):
            for size in GROWN:
                grown = (*shape[:axis], size, *shape[axis + 1 :])
                given = (*shapes[:read], grown, *shapes[read + 1 :])
                try:
                    out = op.out_shape(*given)
                except ShapeError:
                    return False
                if out[1:] != grown[1:] or op.parameter_shapes(*given) != tensors:
                    return False
    return True


@pytest.mark.parametrize("kind", get_args(AnyOp))
def test_slides_is_what_torch_gives_a_kernel_and_reads_with_it(kind: type[AnyOp]) -> None:
    kernels = [hasattr(truth(*row), "kernel_size") for row in rows(kind)]
    transposed = "Transpose" in kind.__name__
    assert kind.slides == (all(kernels) and not transposed)


@pytest.mark.parametrize("kind", get_args(AnyOp))
def test_an_activation_is_what_torch_files_among_them(kind: type[AnyOp]) -> None:
    filed = all(type(truth(*row)).__module__ == "torch.nn.modules.activation" for row in rows(kind))
    assert kind.activation == (filed and kind not in (LogSoftmax, Softmax))


@pytest.mark.parametrize("kind", get_args(AnyOp))
def test_passive_is_what_gives_every_value_back(kind: type[AnyOp]) -> None:
    torch.manual_seed(0)
    given = []
    for name, op, shapes in rows(kind):
        inputs = [torch.randn(2, *shape) for shape in shapes]
        with torch.no_grad():
            out = drawn(truth(name, op, shapes))(*(x.clone() for x in inputs))
        given.append(len(inputs) == 1 and torch.equal(out.flatten(), inputs[0].flatten()))
    assert kind.passive == all(given)


@pytest.mark.parametrize("kind", get_args(AnyOp))
def test_groups_are_kept_where_no_gradient_crosses_them(kind: type[AnyOp]) -> None:
    if kind.arity != (1, 1):
        assert not kind.keeps_groups
        return
    if kind in (
        LogSoftmax,
        Softmax,
        GroupNorm,
        LayerNorm,
        LayerNorm2d,
        LocalResponseNorm,
        GRN,
    ):  # a sum of others scales the values,
        assert kind.keeps_groups  # and each stays where it is
        return
    torch.manual_seed(0)
    kept = [apart(drawn(truth(name, op, shapes)), shapes[0]) for name, op, shapes in rows(kind)]
    assert kind.keeps_groups == (False not in kept)


def apart(module: nn.Module, shape: Shape) -> bool | None:
    """Whether each group of the output depends on its own group of the input alone; None where there are no groups."""
    x = torch.rand(2, *shape, requires_grad=True)
    out = module(x.clone())
    cuts = [groups for groups in range(2, shape[0] + 1) if shape[0] % groups == out.shape[1] % groups == 0]
    for groups in cuts:
        for number, part in enumerate(out.chunk(groups, 1)):
            (gradient,) = torch.autograd.grad(part.square().sum(), x, retain_graph=True)
            other = [piece for place, piece in enumerate(gradient.chunk(groups, 1)) if place != number]
            if any(piece.any() for piece in other):
                return False
    return True if cuts else None


@pytest.mark.parametrize("kind", get_args(AnyOp))
def test_windowed_is_what_torch_gives_a_kernel_or_an_output_size(kind: type[AnyOp]) -> None:
    modules = [truth(*row) for row in rows(kind)]
    assert kind.windowed == all(hasattr(module, "kernel_size") or hasattr(module, "output_size") for module in modules)
    assert kind.windowed or not kind.slides


@pytest.mark.parametrize("kind", get_args(AnyOp))
def test_features_are_last_where_tensors_are_as_wide_or_another_axis_comes_last(kind: type[AnyOp]) -> None:
    """Torch makes the tensors for a wider last axis, and runs on an input that is wider on another one."""
    last = set()
    for name, op, shapes in rows(kind):
        if len(shapes) > 1 or len(shapes[0]) < 2:
            continue
        (shape,) = shapes
        sides = [made(name, op, wider) for wider in (shape, (*shape[:-1], shape[-1] + 4))]
        if None not in sides and sides[0][0] != sides[1][0]:
            last.add("width")
        for axis in range(len(shape) - 1):
            other = made(name, op, (*shape[:axis], 2 * shape[axis], *shape[axis + 1 :]))
            if other is not None and other[1] != sides[0][1]:
                last.add("order")
    assert kind.features_last == bool(last)


def made(name: str, op: AnyOp, shape: Shape) -> tuple[list[Shape], int] | None:
    """The shapes of a module's tensors for this input, and the last axis that it gives; None where it refuses it."""
    try:
        module = truth(name, op, (shape,))
        with torch.no_grad():
            return [tuple(tensor.shape) for tensor in module.state_dict().values()], module(
                torch.rand(2, *shape)
            ).shape[-1]
    except (RuntimeError, ValueError):
        return None


@pytest.mark.parametrize("kind", get_args(AnyOp))
def test_tensors_start_as_torch_starts_them(kind: type[AnyOp]) -> None:
    torch.manual_seed(0)
    for name, op, shapes in rows(kind):
        for key, tensor in truth(name, op, shapes).state_dict().items():
            start = op.initial(key.replace("layer_scale", ""), *shapes)
            values = tensor.double().numpy()
            if not start.spread:
                assert np.allclose(values, start.value, atol=1e-7), (name, key)
                continue
            away = np.abs(values - start.value).max() / start.spread
            assert away <= 1 + 1e-6, (name, key)
            if values.size >= 64:
                assert away > 0.8, (name, key)  # all below it: once in a million
        with pytest.raises(KeyError):
            AbstractOp.initial(op, "weight", *shapes)


@pytest.mark.parametrize("kind", get_args(AnyOp))
def test_neutral_tensors_change_nothing(kind: type[AnyOp]) -> None:
    """A norm without its gain and shift computes the same; without neutral tensors there is nothing to compare."""
    for name, op, shapes in rows(kind):
        neutral = [key for key in op.parameter_shapes(*shapes) if op.initial(key, *shapes).neutral]
        assert bool(neutral) == (name.rpartition("Norm")[1] == "Norm" and bool(op.parameter_shapes(*shapes)))
        if not neutral:
            continue
        switch = {"affine": False} if "affine" in type(op).fields() else {"elementwise_affine": False}
        bare = truth(name, op.replaced(**switch), shapes)
        x = torch.randn(2, *shapes[0])
        with torch.no_grad():
            torch.testing.assert_close(truth(name, op, shapes)(x.clone()), bare(x.clone()))
