"""What torch's own operators are here: one function for each family, which gets its arguments by name.

That a call works in place says nothing of what it computes, and is not kept.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import Any, Final, TypeAlias

from torch import fx

from cnnspec.foreign.network import Stored
from cnnspec.foreign.primitives import (
    Affine,
    Joined,
    Reduced,
    Reshaped,
)
from cnnspec.ops import make_op
from cnnspec.torch_backend.program_values import Activation, Arguments, Made, Missing, Noise, Value, Weight, base_name

__all__ = ["read_call"]


def read_call(node: fx.Node, arguments: Arguments) -> Value:
    """What a node stands for. Raises Missing where there is nothing for it."""
    name = base_name(node.target)
    rule = RULES.get(name) or RULES.get(name.removesuffix("_"))
    if rule is None:
        raise Missing(f"there is no operator for torch's {name}")
    return rule(node, arguments)


Rule: TypeAlias = Callable[[fx.Node, Arguments], Value]


def _read(arguments: Arguments, name: str = "input") -> Activation:
    value = arguments[name]
    if not isinstance(value, Activation):
        raise Missing(f"its {name} is no value of a layer")
    return value


def _weight(arguments: Arguments, name: str) -> Weight | None:
    value = arguments.get(name)
    if value is None or isinstance(value, Weight):
        return value
    raise Missing(f"its {name} is worked out anew for each run")


def _weights(arguments: Arguments, **names: str) -> dict[str, Stored]:
    found = {ours: _weight(arguments, theirs) for ours, theirs in names.items()}
    return {ours: weight.reference for ours, weight in found.items() if weight is not None}


def _short(values: Sequence[int]) -> Any:
    return tuple(values)


# Layers with weights ------------------------------------------------------------------------------------------------


def _conv(node: fx.Node, arguments: Arguments) -> Made:
    read, weight = _read(arguments), _weight(arguments, "weight")
    assert weight is not None
    rank = len(weight.shape) - 2
    padding = arguments["padding"]
    op = make_op(
        f"Conv{rank}d",
        out_channels=weight.shape[0],
        kernel_size=weight.shape[2:],
        stride=_each(arguments["stride"], rank),
        padding=padding if isinstance(padding, str) else _each(padding, rank),
        dilation=_each(arguments["dilation"], rank),
        groups=arguments["groups"],
        bias=arguments["bias"] is not None,
    )
    return Made(op, (read,), _weights(arguments, weight="weight", bias="bias"))


def _each(values: Any, rank: int) -> tuple[int, ...]:
    given = list(values) if isinstance(values, (list, tuple)) else [values]
    return tuple(given * rank if len(given) == 1 else given)


def _conv_transpose(node: fx.Node, arguments: Arguments) -> Made:
    read, weight = _read(arguments), _weight(arguments, "weight")
    assert weight is not None
    rank, groups = len(weight.shape) - 2, arguments["groups"]
    fields = ("stride", "padding", "output_padding", "dilation")
    op = make_op(
        f"ConvTranspose{rank}d",
        out_channels=weight.shape[1] * groups,
        kernel_size=weight.shape[2:],
        groups=groups,
        bias=arguments["bias"] is not None,
        **{name: _each(arguments[name], rank) for name in fields},
    )
    return Made(op, (read,), _weights(arguments, weight="weight", bias="bias"))


def _linear(node: fx.Node, arguments: Arguments) -> Made:
    read, weight = _read(arguments), _weight(arguments, "weight")
    assert weight is not None
    op = make_op("Linear", out_features=weight.shape[0], bias=arguments["bias"] is not None)
    return Made(op, (read,), _weights(arguments, weight="weight", bias="bias"))


def _batch_norm(node: fx.Node, arguments: Arguments) -> Made:
    read = _read(arguments)
    rank = max(1, len(read.shape) - 1)
    affine, tracked = arguments["weight"] is not None, arguments["running_mean"] is not None
    op = make_op(
        f"BatchNorm{rank}d",
        eps=float(arguments["eps"]),
        momentum=float(arguments["momentum"]),
        affine=affine,
        track_running_stats=tracked,
    )
    names = {name: name for name in ("weight", "bias", "running_mean", "running_var")}
    weights = _weights(arguments, **names)
    return Made(op, (read,), _with_counter(weights))


def _with_counter(weights: dict[str, Stored]) -> dict[str, Stored]:
    mean = weights.get("running_mean")
    if mean is not None and mean.key.endswith("running_mean"):
        weights["num_batches_tracked"] = Stored(f"{mean.key.removesuffix('running_mean')}num_batches_tracked")
    return weights


def _group_norm(node: fx.Node, arguments: Arguments) -> Made:
    op = make_op(
        "GroupNorm",
        num_groups=arguments["num_groups"],
        eps=float(arguments["eps"]),
        affine=arguments["weight"] is not None,
    )
    return Made(op, (_read(arguments),), _weights(arguments, weight="weight", bias="bias"))


def _layer_norm(node: fx.Node, arguments: Arguments) -> Made:
    read, shape = _read(arguments), arguments["normalized_shape"]
    if len(shape) != 1:
        raise Missing(f"a layer norm over {len(shape)} axes")
    affine = arguments["weight"] is not None
    named = {"bias": False} if affine and arguments["bias"] is None else {}
    op = make_op("LayerNorm", eps=float(arguments["eps"]), elementwise_affine=affine, **named)
    return Made(op, (read,), _weights(arguments, weight="weight", bias="bias"))


def _prelu(node: fx.Node, arguments: Arguments) -> Made:
    weight = _weight(arguments, "weight")
    assert weight is not None
    op = make_op("PReLU", num_parameters=prod(weight.shape))
    return Made(op, (_read(arguments),), _weights(arguments, weight="weight"))


# Activations --------------------------------------------------------------------------------------------------------


def _activation(name: str, **fields: str) -> Rule:
    """The rule for an activation: ours by this name, whose fields are torch's arguments of those names."""

    def rule(node: fx.Node, arguments: Arguments) -> Made:
        given = {ours: _number(arguments[theirs]) for ours, theirs in fields.items()}
        return Made(make_op(name, **given), (_read(arguments),))

    return rule


def _number(value: Value) -> Any:
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else value


def _softmax(node: fx.Node, arguments: Arguments) -> Made:
    return Made(make_op("Softmax", dim=arguments["dim"]), (_read(arguments),))


# Windows ------------------------------------------------------------------------------------------------------------


def _pool(node: fx.Node, arguments: Arguments) -> Made:
    read = _read(arguments)
    name = base_name(node.target)
    rank = int(name[-2])
    kernel = _each(arguments["kernel_size"], rank)
    stride = _each(arguments["stride"], rank) if arguments["stride"] else kernel
    fields: dict[str, Any] = {"padding": _each(arguments["padding"], rank), "ceil_mode": arguments["ceil_mode"]}
    if stride != kernel:
        fields["stride"] = stride
    if name.startswith("max"):
        fields["dilation"] = _each(arguments["dilation"], rank)
        return Made(make_op(f"MaxPool{rank}d", kernel_size=kernel, **fields), (read,))
    fields["count_include_pad"] = arguments["count_include_pad"]
    if arguments.get("divisor_override") is not None:
        fields["divisor_override"] = arguments["divisor_override"]
    return Made(make_op(f"AvgPool{rank}d", kernel_size=kernel, **fields), (read,))


def _adaptive(node: fx.Node, arguments: Arguments) -> Value:
    name = base_name(node.target)
    rank = int(name[-2])
    kind = "Avg" if "avg" in name else "Max"
    return Made(
        make_op(f"Adaptive{kind}Pool{rank}d", output_size=_each(arguments["output_size"], rank)), (_read(arguments),)
    )


def _upsample(mode: str) -> Rule:
    def rule(node: fx.Node, arguments: Arguments) -> Made:
        read = _read(arguments)
        fields: dict[str, Any] = {"mode": mode}
        if not mode.startswith("nearest"):
            fields["align_corners"] = True if arguments["align_corners"] else None
        factors = arguments.get("scale_factors")
        if factors:
            short = tuple(float(each) for each in factors)
            fields["scale_factor"] = short[0] if len(set(short)) == 1 else short
        else:
            sizes = tuple(arguments["output_size"])
            fields["size"] = sizes[0] if len(set(sizes)) == 1 else sizes
        return Made(make_op("Upsample", **fields), (read,))

    return rule


# Shapes -------------------------------------------------------------------------------------------------------------


def _viewed(node: fx.Node, arguments: Arguments) -> Value:
    """The same values in their order, whatever torch calls it."""
    read, shape = arguments["input"], tuple(node.meta["val"].shape)
    if isinstance(read, Weight):
        stored = Stored(read.reference.key, read.reference.view, read.reference.order, shape)
        return Weight(stored, shape, read.trained)
    return Made(Reshaped(shape[1:]), (_read(arguments),))


def _flatten(node: fx.Node, arguments: Arguments) -> Value:
    read = arguments["input"]
    start, end = arguments["start_dim"], arguments["end_dim"]
    if not isinstance(read, Activation) or start == 0:
        return _viewed(node, arguments)
    return Made(make_op("Flatten", start_dim=start, end_dim=-1 if end == len(read.shape) else end), (read,))


def _permute(node: fx.Node, arguments: Arguments) -> Made:
    read = _read(arguments)
    axes = len(read.shape) + 1
    if "dims" in arguments:
        dims = [dim % axes for dim in arguments["dims"]]
    else:
        dims = list(range(axes))
        one, other = (arguments[name] % axes for name in ("dim0", "dim1"))
        dims[one], dims[other] = other, one
    if dims[0] != 0:
        raise Missing("an order of axes that moves the batch")
    return Made(make_op("Permute", dims=tuple(dims)), (read,))


def _same(node: fx.Node, arguments: Arguments) -> Value:
    return arguments["input"]


def _noise(node: fx.Node, arguments: Arguments) -> Noise:
    """Memory that nobody has filled, of which stochastic depth makes its noise."""
    return Noise(tuple(node.meta["val"].shape))


def _bernoulli(node: fx.Node, arguments: Arguments) -> Noise:
    read = arguments["input"]
    if not isinstance(read, Noise):
        raise Missing("noise that is drawn from values")
    return Noise(read.shape, float(arguments["p"]))


def _dropout(node: fx.Node, arguments: Arguments) -> Made:
    return Made(make_op("Dropout", p=float(arguments["p"])), (_read(arguments),))


def _reduce(how: Any) -> Rule:
    def rule(node: fx.Node, arguments: Arguments) -> Made:
        read = _read(arguments)
        axes = len(read.shape) + 1
        dims = arguments["dim"]
        dims = list(range(axes)) if dims in (None, []) else dims if isinstance(dims, list) else [dims]
        return Made(Reduced(how, tuple(sorted(dim % axes for dim in dims)), bool(arguments["keepdim"])), (read,))

    return rule


# Joins --------------------------------------------------------------------------------------------------------------


def _cat(node: fx.Node, arguments: Arguments) -> Made:
    reads = arguments["tensors"]
    if not all(isinstance(each, Activation) for each in reads):
        raise Missing("a concatenation with what is no value of a layer")
    axes = len(reads[0].shape) + 1
    dim = arguments["dim"] % axes
    return Made(make_op("Concat") if dim == 1 else Joined(dim), tuple(reads))


def _add(node: fx.Node, arguments: Arguments) -> Made:
    one, other, alpha = arguments["input"], arguments["other"], arguments.get("alpha", 1)
    if isinstance(one, Activation) and isinstance(other, Activation):
        if alpha != 1:
            raise Missing(f"a sum of two layers with the factor {alpha}")
        return Made(make_op("Add"), (one, other))
    if isinstance(one, Activation) and isinstance(other, (int, float)):
        return Made(Affine(1.0, float(other) * alpha), (one,))
    raise Missing("a sum with what is no value of a layer")


def _mul(node: fx.Node, arguments: Arguments) -> Made:
    one, other = arguments["input"], arguments["other"]
    if isinstance(other, Activation) and not isinstance(one, Activation):
        one, other = other, one
    if isinstance(one, Activation) and isinstance(other, Noise):
        return Made(_stochastic_depth(one, other), (one,))
    if isinstance(one, Activation) and isinstance(other, Activation):
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
        return one
    if isinstance(one, Activation) and isinstance(other, Activation):
        return Made(Divided(), (one, other))
    if isinstance(one, Activation) and isinstance(other, (int, float)):
        return Made(Affine(1 / other), (one,))
    raise Missing("a quotient with what is no value of a layer")


RULES: Final[dict[str, Rule]] = {
    **dict.fromkeys(("conv1d", "conv2d", "conv3d"), _conv),
    **dict.fromkeys(("conv_transpose1d", "conv_transpose2d", "conv_transpose3d"), _conv_transpose),
    "linear": _linear,
    "batch_norm": _batch_norm,
    "group_norm": _group_norm,
    "layer_norm": _layer_norm,
    "prelu": _prelu,
    "relu": _activation("ReLU"),
    "leaky_relu": _activation("LeakyReLU", negative_slope="negative_slope"),
    "elu": _activation("ELU", alpha="alpha"),
    "hardtanh": _activation("Hardtanh", min_val="min_val", max_val="max_val"),
    "silu": _activation("SiLU"),
    "gelu": _activation("GELU", approximate="approximate"),
    "mish": _activation("Mish"),
    "hardswish": _activation("Hardswish"),
    "hardsigmoid": _activation("Hardsigmoid"),
    "softplus": _activation("Softplus", beta="beta", threshold="threshold"),
    "softmax": _softmax,
    **dict.fromkeys((f"{kind}_pool{rank}d" for kind in ("max", "avg") for rank in (1, 2, 3)), _pool),
    **dict.fromkeys((f"adaptive_{kind}_pool{rank}d" for kind in ("max", "avg") for rank in (1, 2, 3)), _adaptive),
    **{f"upsample_nearest{rank}d": _upsample("nearest") for rank in (1, 2, 3)},
    "upsample_linear1d": _upsample("linear"),
    "upsample_bilinear2d": _upsample("bilinear"),
    "upsample_bicubic2d": _upsample("bicubic"),
    "upsample_trilinear3d": _upsample("trilinear"),
    **dict.fromkeys(("view", "reshape", "_unsafe_view", "squeeze", "unsqueeze"), _viewed),
    "flatten": _flatten,
    **dict.fromkeys(("permute", "transpose"), _permute),
    **dict.fromkeys(("contiguous", "clone", "to", "alias", "detach", "detach_"), _same),
    "dropout": _dropout,
    "mean": _reduce("mean"),
    "sum": _reduce("sum"),
    "amax": _reduce("max"),
    "cat": _cat,
    "add": _add,
    "mul": _mul,
    "div": _div,
    **dict.fromkeys(("empty", "new_empty"), _noise),
    "bernoulli": _bernoulli,
}


def _plain(name: str) -> Rule:
    """A rule for an activation that takes no `inplace`."""

    def rule(node: fx.Node, arguments: Arguments) -> Made:
        return Made(make_op(name), (_read(arguments),))

    return rule


RULES.update(tanh=_plain("Tanh"), sigmoid=_plain("Sigmoid"))
