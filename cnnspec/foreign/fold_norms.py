"""Rules for norms that a source spells out: less the mean, over the root of the mean square."""

from __future__ import annotations

from dataclasses import replace
from math import prod
from typing import Final, NamedTuple

from cnnspec.foreign.network import Stored
from cnnspec.foreign.primitives import Affine, Divided, Parameter, Power, Reduced, Subtracted
from cnnspec.foreign.steps import Readers, Rule, Step, Steps, replace_op
from cnnspec.ops import Add, Mul, make_op

__all__ = ["NORMS", "with_parameter"]


class _Normed(NamedTuple):
    """What a layer norm without gains and shifts reads, and how it is taken."""

    read: str
    kind: str
    eps: float
    size: int  # of the axis


def _normed(steps: Steps, name: str) -> _Normed | None:
    """`(x - mean) / sqrt(mean((x - mean)^2) + eps)` over the channels of an image, or over the last axis."""
    step = steps.by_name.get(name)
    if step is None or len(step.inputs) != 2:
        return None
    pairs = [step.inputs] if isinstance(step.op, Divided) else [step.inputs, step.inputs[::-1]]
    exponent = {Divided: 0.5, Mul: -0.5}.get(type(step.op))
    for less, divisor in pairs:
        root, centred = steps.by_name.get(divisor), steps.by_name.get(less)
        if root is None or centred is None or root.op != Power(exponent or 0.0):
            continue
        plus = steps.by_name.get(root.inputs[0])
        variance = None if plus is None else steps.by_name.get(plus.inputs[0])
        if plus is None or variance is None or not isinstance(plus.op, Affine) or plus.op.factor != 1:
            continue
        read, dims = _centred(steps, centred)
        if read is None or not isinstance(variance.op, Reduced) or variance.op != Reduced("mean", dims, True):
            continue
        if _centred(steps, _squared(steps, variance.inputs[0])) != (read, dims):
            continue
        shape = steps.shape(read)
        if shape is None or len(dims) != 1:
            continue
        if dims == (1,) and len(shape) == 3:
            return _Normed(read, "LayerNorm2d", plus.op.shift, shape[0])
        if dims == (len(shape),):
            return _Normed(read, "LayerNorm", plus.op.shift, shape[-1])
    return None


def _squared(steps: Steps, name: str) -> Step | None:
    """What is squared: `x ** 2`, or `x * x`."""
    step = steps.by_name.get(name)
    if step is None or not (step.op == Power(2.0) or isinstance(step.op, Mul)) or len(set(step.inputs)) != 1:
        return None
    return steps.by_name.get(step.inputs[0])


def _centred(steps: Steps, step: Step | None) -> tuple[str | None, tuple[int, ...]]:
    """What has its mean taken off, and over which axes that is."""
    if step is None or not isinstance(step.op, Subtracted):
        return None, ()
    read, name = step.inputs
    mean = steps.by_name.get(name)
    if mean is None or not isinstance(mean.op, Reduced) or mean.inputs != (read,):
        return None, ()
    return (read, mean.op.dims) if mean.op.how == "mean" and mean.op.keepdim else (None, ())


def with_parameter(steps: Steps, name: str, kind: type[Add | Mul]) -> tuple[str, Stored | None]:
    """What a sum or product with a parameter reads, and that parameter's tensor."""
    step = steps.by_name.get(name)
    if step is None or not isinstance(step.op, kind) or len(step.inputs) != 2:
        return "", None
    for one, other in (step.inputs, step.inputs[::-1]):
        trained = steps.by_name.get(other)
        if trained is not None and isinstance(trained.op, Parameter):
            (reference,) = trained.weights.values()
            return one, reference if isinstance(reference, Stored) else None
    return "", None


def _with_gains(step: Step, steps: Steps, readers: Readers) -> bool:
    """A layer norm with gains and shifts; it takes the name of the module that holds them."""
    scaled, bias = with_parameter(steps, step.name, Add)
    name, weight = with_parameter(steps, scaled, Mul)
    found = _normed(steps, name)
    if found is None or weight is None or bias is None:
        return False
    if any(prod(each.shape or ()) != found.size for each in (weight, bias)):
        return False
    step.weights = {key: replace(each, shape=(found.size,)) for key, each in (("weight", weight), ("bias", bias))}
    scopes = {each.key.rpartition(".")[0] for each in (weight, bias)}
    steps.rename(step, steps.free(scopes.pop() or "norm") if len(scopes) == 1 else steps.free("norm"))
    return replace_op(step, make_op(found.kind, eps=found.eps), found.read)


def _without_gains(step: Step, steps: Steps, readers: Readers) -> bool:
    found = _normed(steps, step.name)
    if found is None:
        return False
    return replace_op(step, make_op(found.kind, eps=found.eps, elementwise_affine=False), found.read)


NORMS: Final[tuple[Rule, ...]] = (_with_gains, _without_gains)
