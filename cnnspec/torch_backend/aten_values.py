"""What torch's arithmetic is here: reductions, joins, sums and products."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

from torch import Tensor, fx

from cnnspec.foreign.primitives import (
    Affine,
    Clamped,
    Divided,
    Joined,
    Power,
    Reduced,
    Reshaped,
    Subtracted,
)
from cnnspec.ops import AnyOp, make_op
from cnnspec.torch_backend.program_values import (
    PREVIOUS,
    Activation,
    Arguments,
    Made,
    Missing,
    Noise,
    Rule,
    Value,
    Weight,
    base_name,
    read_of,
)

__all__ = ["VALUES"]


# Reductions -----------------------------------------------------------------------------------------------------------


def _reduce(how: Any) -> Rule:
    def rule(node: fx.Node, arguments: Arguments) -> Value:
        read = read_of(arguments)
        axes = len(read.shape) + 1
        dims = arguments.get("dim")
        listed: Sequence[int] = range(axes) if dims in (None, []) else dims if isinstance(dims, list) else [dims]
        reduced = Reduced(how, tuple(sorted(dim % axes for dim in listed)), bool(arguments.get("keepdim", False)))
        if 0 in reduced.dims:
            raise Missing(f"the {how} over the samples of a batch")
        made = Made(reduced, (read,))
        return (made,) if isinstance(node.meta["val"], (tuple, list)) else made

    return rule


def _variance(node: fx.Node, arguments: Arguments) -> list[Made]:
    """The mean square of what is left without the mean; unbiased ones divide by one less, which a spec cannot say."""
    read, axes = read_of(arguments), len(read_of(arguments).shape) + 1
    unbiased = arguments.get("unbiased", arguments.get("correction", 1) != 0)
    if unbiased or arguments.get("dim") in (None, []):
        raise Missing("an unbiased variance" if unbiased else "a variance over all axes")
    dims = tuple(sorted(dim % axes for dim in arguments["dim"]))
    if 0 in dims:
        raise Missing("the variance over the samples of a batch")
    return [
        Made(Reduced("mean", dims, True), (read,)),
        Made(Subtracted(), (read, PREVIOUS)),
        Made(Power(2.0), (PREVIOUS,)),
        Made(Reduced("mean", dims, bool(arguments.get("keepdim", False))), (PREVIOUS,)),
    ]


# Joins --------------------------------------------------------------------------------------------------------------


def _cat(node: fx.Node, arguments: Arguments) -> Value:
    reads = arguments["tensors"]
    if not all(isinstance(each, Activation) for each in reads):
        raise Missing("a concatenation with what is no value of a layer")
    dim = arguments["dim"] % (len(reads[0].shape) + 1)
    if dim == 0:
        raise Missing("a concatenation of batches")
    return Made(make_op("Concat") if dim == 1 else Joined(dim), tuple(reads))


def _stack(node: fx.Node, arguments: Arguments) -> Value:
    reads = arguments["tensors"]
    if not all(isinstance(each, Activation) for each in reads):
        raise Missing("a stack with what is no value of a layer")
    shape = reads[0].shape
    dim = arguments["dim"] % (len(shape) + 2)
    if dim == 0:
        raise Missing("a stack of batches")
    joined = (*shape[: dim - 1], len(reads), *shape[dim - 1 :])
    if dim - 1 == len(shape):
        raise Missing("a stack along a new last axis")
    return [
        Made(make_op("Concat") if dim == 1 else Joined(dim), tuple(reads)),
        Made(Reshaped(joined), (PREVIOUS,)),
    ]


def _operands(arguments: Arguments) -> tuple[Value, Value]:
    """The two sides of an arithmetic call: a tensor of one constant is a number, a weight is seen along the other."""
    one, other = (_number(arguments[name]) for name in ("input", "other"))
    if isinstance(one, Activation) and isinstance(other, Weight):
        other = aligned(other, one)
    elif isinstance(one, Weight) and isinstance(other, Activation):
        one = aligned(one, other)
    return one, other


def _number(value: Value) -> Value:
    return value.item() if isinstance(value, Tensor) and value.numel() == 1 else value


def aligned(weight: Weight, read: Activation) -> Weight:
    """A parameter as it is broadcast along a layer's value, seen with as many axes as that has without the batch."""
    if not weight.trained:
        raise Missing("a constant tensor, which is not trained")
    axes = len(read.shape)
    shape = weight.shape[1:] if len(weight.shape) == axes + 1 and weight.shape[0] == 1 else weight.shape
    if len(shape) > axes:
        raise Missing("a parameter for each sample of the batch")
    seen = (1,) * (axes - len(shape)) + shape
    return replace(weight, reference=replace(weight.reference, shape=seen), shape=seen, values=None)


_BOTH: Final = (Activation, Weight)


def _are_layers(one: Value, other: Value) -> bool:
    return isinstance(one, _BOTH) and isinstance(other, _BOTH) and Activation in (type(one), type(other))


def _add(node: fx.Node, arguments: Arguments) -> Value:
    one, other = _operands(arguments)
    alpha = arguments.get("alpha", 1)
    if _are_layers(one, other):
        if alpha == -1:
            return Made(Subtracted(), (one, other))
        if alpha != 1:
            raise Missing(f"a sum of two layers with the factor {alpha}")
        return Made(make_op("Add"), (one, other))
    if isinstance(one, (int, float)) and isinstance(other, Activation):
        return Made(Affine(alpha, float(one)), (other,))
    if isinstance(one, Activation) and isinstance(other, (int, float)):
        return Made(Affine(1.0, float(other) * alpha), (one,))
    raise Missing("a sum with what is no value of a layer")


def _sub(node: fx.Node, arguments: Arguments) -> Value:
    one, other = _operands(arguments)
    if arguments.get("alpha", 1) != 1:
        raise Missing("a difference with a factor")
    if base_name(node.target) == "rsub":
        one, other = other, one
    if _are_layers(one, other):
        return Made(Subtracted(), (one, other))
    if isinstance(one, (int, float)) and isinstance(other, Activation):
        return Made(Affine(-1.0, float(one)), (other,))
    if isinstance(one, Activation) and isinstance(other, (int, float)):
        return Made(Affine(1.0, -float(other)), (one,))
    raise Missing("a difference with what is no value of a layer")


def _mul(node: fx.Node, arguments: Arguments) -> Value:
    one, other = _operands(arguments)
    if not isinstance(one, Activation):
        one, other = other, one
    if isinstance(one, Activation) and isinstance(other, Noise):
        dropped = Made(_stochastic_depth(one, other), (one,))
        return dropped if other.scaled or other.kept == 1 else [dropped, Made(Affine(other.kept), (PREVIOUS,))]
    if _are_layers(one, other):
        return Made(make_op("Mul"), (one, other))
    if isinstance(one, Activation) and isinstance(other, (int, float)):
        return Made(Affine(float(other)), (one,))
    raise Missing("a product with what is no value of a layer")


def _stochastic_depth(read: Activation, noise: Noise) -> AnyOp:
    rows, *rest = noise.shape
    if set(rest) - {1} or len(noise.shape) != len(read.shape) + 1:
        raise Missing(f"noise of the shape {noise.shape}")
    return make_op("StochasticDepth", p=round(1 - noise.kept, 12), mode="row" if rows != 1 else "batch")


def _div(node: fx.Node, arguments: Arguments) -> Value:
    one, other = arguments["input"], arguments["other"]
    if isinstance(one, Noise) and isinstance(other, (int, float)):
        if other != one.kept:
            raise Missing(f"noise that is divided by {other}, and kept with {one.kept}")
        return replace(one, scaled=True)
    if arguments.get("rounding_mode") is not None:
        raise Missing("a quotient that is rounded")
    one, other = _operands(arguments)
    if _are_layers(one, other):
        return Made(Divided(), (one, other))
    if isinstance(one, Activation) and isinstance(other, (int, float)) and other:
        return Made(Affine(1 / other), (one,))
    raise Missing("a quotient with what is no value of a layer")


def _addcmul(node: fx.Node, arguments: Arguments) -> list[Made]:
    """A sum with a product."""
    term, one, other = (arguments[name] for name in ("input", "tensor1", "tensor2"))
    read = one if isinstance(one, Activation) else other
    if arguments.get("value", 1) != 1 or not isinstance(read, Activation):
        raise Missing("a sum with a product that has a factor")
    one, other, term = (aligned(each, read) if isinstance(each, Weight) else each for each in (one, other, term))
    if not all(isinstance(each, _BOTH) for each in (one, other, term)):
        raise Missing("a sum with a product of what is no value of a layer")
    return [Made(make_op("Mul"), (one, other)), Made(make_op("Add"), (PREVIOUS, term))]


def _norm(node: fx.Node, arguments: Arguments) -> Value:
    order = arguments.get("ord", arguments.get("p"))
    if order not in (2, None):
        raise Missing(f"the {order}-norm")
    return _reduce("norm")(node, arguments)


def _neg(node: fx.Node, arguments: Arguments) -> Made:
    return Made(Affine(-1.0), (read_of(arguments),))


def _pow(node: fx.Node, arguments: Arguments) -> Made:
    exponent = _number(arguments["exponent"])
    if not isinstance(exponent, (int, float)):
        raise Missing("a power that is worked out")
    return Made(Power(float(exponent)), (read_of(arguments),))


def _fixed_power(exponent: float) -> Rule:
    return lambda node, arguments: Made(Power(exponent), (read_of(arguments),))


def _clamp(node: fx.Node, arguments: Arguments) -> Made:
    low, high = (_number(arguments.get(name)) for name in ("min", "max"))
    if any(not (limit is None or isinstance(limit, (int, float))) for limit in (low, high)):
        raise Missing("limits that are worked out")
    return Made(Clamped(*(None if limit is None else float(limit) for limit in (low, high))), (read_of(arguments),))


VALUES: Final[dict[str, Rule]] = {
    "mean": _reduce("mean"),
    "sum": _reduce("sum"),
    "var": _variance,
    **dict.fromkeys(("amax", "max"), _reduce("max")),
    **dict.fromkeys(("amin", "min"), _reduce("min")),
    **dict.fromkeys(("cat", "concat", "concatenate"), _cat),
    "stack": _stack,
    **dict.fromkeys(("add", "__add__", "__iadd__"), _add),
    **dict.fromkeys(("sub", "rsub"), _sub),
    "mul": _mul,
    "div": _div,
    "addcmul": _addcmul,
    **dict.fromkeys(("norm", "linalg_vector_norm"), _norm),
    "neg": _neg,
    "pow": _pow,
    "square": _fixed_power(2.0),
    "sqrt": _fixed_power(0.5),
    "rsqrt": _fixed_power(-0.5),
    "reciprocal": _fixed_power(-1.0),
    **dict.fromkeys(("clamp", "clamp_min", "clamp_max"), _clamp),
}
