"""What every operator says of itself is true: each fact against torch, over all rows of the operator."""

from __future__ import annotations

from collections.abc import Iterator
from typing import get_args

import numpy as np
import pytest
import torch
from cases import ROWS, reference
from torch import nn

from cnnspec.errors import ShapeError
from cnnspec.ops import AbstractOp, AnyOp, Shape, make_op, operators
from cnnspec.ops.activation import Softmax

FACTS = ("pointwise", "keeps_sizes", "slides", "activation")
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
def commutes(module: nn.Module, shape: Shape) -> bool:
    for tensor in module.state_dict().values():
        if tensor.is_floating_point():
            tensor.uniform_(0.5, 1.5)
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
    assert kind.activation == (filed and kind is not Softmax)


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
        switch = {"affine": False} if "affine" in type(op).model_fields else {"elementwise_affine": False}
        bare = truth(name, op.model_copy(update=switch), shapes)
        x = torch.randn(2, *shapes[0])
        with torch.no_grad():
            torch.testing.assert_close(truth(name, op, shapes)(x.clone()), bare(x.clone()))
