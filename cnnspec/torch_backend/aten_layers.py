"""What torch's layers are here: those with weights, activations and windows. Each rule gets its arguments by name.

That a call works in place says nothing of what it computes, and is not kept.
"""

from __future__ import annotations

from dataclasses import replace
from math import comb, prod
from typing import Any, Final, NamedTuple

import torch
from torch import fx

from cnnspec.foreign.network import Stored
from cnnspec.foreign.primitives import Blurred, Cut, Primitive
from cnnspec.ops import make_op
from cnnspec.ops.activation import PReLU
from cnnspec.torch_backend.program_values import (
    FIRST,
    PREVIOUS,
    Activation,
    Arguments,
    Computed,
    Made,
    Missing,
    Noise,
    Rule,
    Value,
    Weight,
    base_name,
    read_of,
)

__all__ = ["LAYERS"]


def _weight(arguments: Arguments, name: str) -> Weight | None:
    value = arguments.get(name)
    if value is None or isinstance(value, Weight):
        return value
    raise Missing(f"its {name} is worked out anew for each run")


def _weights(arguments: Arguments, **names: str) -> dict[str, Stored]:
    found = {ours: _weight(arguments, theirs) for ours, theirs in names.items()}
    return {ours: weight.reference for ours, weight in found.items() if weight is not None}


# Layers with weights ------------------------------------------------------------------------------------------------


def _conv(node: fx.Node, arguments: Arguments) -> Made:
    read, given = read_of(arguments), arguments["weight"]
    if isinstance(given, Weight) and not given.trained:
        return _filter(read, given, arguments)
    standard = _standardised(given) if isinstance(given, Computed) else None
    weight = standard.weight if standard else _weight(arguments, "weight")
    assert weight is not None
    rank = len(weight.shape) - 2
    padding = arguments["padding"]
    named: dict[str, Any] = {
        "out_channels": weight.shape[0],
        "kernel_size": weight.shape[2:],
        "stride": _each(arguments["stride"], rank),
        "padding": padding if isinstance(padding, str) else _each(padding, rank),
        "dilation": _each(arguments["dilation"], rank),
        "groups": arguments["groups"],
        "bias": arguments["bias"] is not None,
    }
    weights = {"weight": weight.reference, **_weights(arguments, bias="bias")}
    if standard is None:
        return Made(make_op(f"Conv{rank}d", **named), (read,), weights)
    if standard.gain is None:
        return Made(make_op(f"StdConv{rank}d", **named, eps=standard.eps), (read,), weights)
    gamma = float(f"{standard.scale * prod(weight.shape[1:]) ** 0.5:.12g}")
    op = make_op(f"ScaledStdConv{rank}d", **named, eps=standard.eps, gamma=gamma)
    return Made(op, (read,), {**weights, "gain": standard.gain.reference})


class _Standard(NamedTuple):
    """A weight with mean 0 and variance 1 over all that an output channel reads, times a gain and a constant."""

    weight: Weight
    eps: float
    gain: Weight | None = None
    scale: float = 1.0


def _standardised(given: Computed) -> _Standard | None:
    """The weight that a batch norm of its rows has standardised, seen again as it was."""
    norm = given.arguments.get("input")
    if given.name not in _VIEWS or not isinstance(norm, Computed) or norm.name != "batch_norm":
        return None
    rows, gain = norm.arguments["input"], norm.arguments["weight"]
    if not isinstance(rows, Weight) or not norm.arguments["training"] or norm.arguments["bias"] is not None:
        return None
    if rows.shape[:2] != (1, given.shape[0]) or len(rows.shape) != 3:
        return None
    weight = Weight(replace(rows.reference, shape=None), given.shape, True)
    eps = float(norm.arguments["eps"])
    if gain is None:
        return _Standard(weight, eps)
    while isinstance(gain, Computed) and gain.name in _VIEWS:
        gain = gain.arguments["input"]
    if not isinstance(gain, Computed) or gain.name != "mul":
        return None
    factor, scale = gain.arguments["input"], gain.arguments["other"]
    if not isinstance(factor, Weight) or not isinstance(scale, (int, float)):
        return None
    return _Standard(weight, eps, factor, float(scale))


_VIEWS: Final = ("view", "reshape", "_unsafe_view", "view_as", "reshape_as")


def _filter(read: Activation, weight: Weight, arguments: Arguments) -> Made:
    """A fixed filter: that of a blur, for each channel by itself."""
    stride, size = {*_each(arguments["stride"], 2)}, weight.shape[-1]
    alone = arguments["groups"] == read.shape[0] == weight.shape[0] and weight.shape[1] == 1
    plain = len(stride) == 1 and not any(_each(arguments["padding"], 2)) and {*_each(arguments["dilation"], 2)} == {1}
    if weight.values is None or len(weight.shape) != 4 or not alone or not plain or arguments["bias"] is not None:
        raise Missing("a convolution with a filter that is not trained")
    row = torch.tensor([float(comb(size - 1, tap)) for tap in range(size)]) / 2 ** (size - 1)
    if weight.shape[2:] != (size, size) or not torch.allclose(weight.values.float().cpu(), row[:, None] * row):
        raise Missing("a convolution with a filter that is not trained, and no blur")
    return Made(Blurred(size, stride.pop()), (read,))


def _each(values: Any, rank: int) -> tuple[int, ...]:
    given = list(values) if isinstance(values, (list, tuple)) else [values]
    return tuple(given * rank if len(given) == 1 else given)


def _conv_transpose(node: fx.Node, arguments: Arguments) -> Made:
    read, weight = read_of(arguments), _weight(arguments, "weight")
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
    read, weight = read_of(arguments), _weight(arguments, "weight")
    assert weight is not None
    op = make_op("Linear", out_features=weight.shape[0], bias=arguments["bias"] is not None)
    return Made(op, (read,), _weights(arguments, weight="weight", bias="bias"))


def _product(node: fx.Node, arguments: Arguments) -> Made:
    """`x @ W` with a matrix of the module: a linear layer, whose weight is the matrix turned."""
    weight = arguments.get("other", arguments.get("mat2"))
    if not isinstance(weight, Weight) or not isinstance(arguments["input"], Activation):
        raise Missing("a product of two layers' values")
    reference = weight.reference
    if len(weight.shape) != 2 or reference.shape is not None or reference.order not in (None, (1, 0)):
        raise Missing(f"a product with a tensor of {len(weight.shape)} axes")
    turned = replace(reference, order=(1, 0) if reference.order is None else None)
    op = make_op("Linear", out_features=weight.shape[1], bias=False)
    return Made(op, (read_of(arguments),), {"weight": turned})


def _batch_norm(node: fx.Node, arguments: Arguments) -> Made:
    read = read_of(arguments)
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


def _instance_norm(node: fx.Node, arguments: Arguments) -> Made:
    made = _batch_norm(node, arguments)
    named = made.op.arguments() if not isinstance(made.op, Primitive) else {}
    affine, tracked = arguments["weight"] is not None, arguments["running_mean"] is not None
    rank = len(read_of(arguments).shape) - 1
    op = make_op(f"InstanceNorm{rank}d", **{**named, "affine": affine, "track_running_stats": tracked})
    return Made(op, made.reads, made.weights)


def _group_norm(node: fx.Node, arguments: Arguments) -> Value:
    """A group norm; one with gains and no shifts is one without either, and a factor for each channel."""
    read, weight = read_of(arguments), _weight(arguments, "weight")
    given = {"num_groups": arguments["num_groups"], "eps": float(arguments["eps"])}
    if weight is None or arguments["bias"] is not None:
        op = make_op("GroupNorm", **given, affine=weight is not None)
        return Made(op, (read,), _weights(arguments, weight="weight", bias="bias"))
    along = (*weight.shape, *(1 for _ in read.shape[1:]))
    gains = replace(weight, reference=replace(weight.reference, shape=along), shape=along)
    return [Made(make_op("GroupNorm", **given, affine=False), (read,)), Made(make_op("Mul"), (PREVIOUS, gains))]


def _layer_norm(node: fx.Node, arguments: Arguments) -> Made:
    read, shape = read_of(arguments), arguments["normalized_shape"]
    if len(shape) != 1:
        raise Missing(f"a layer norm over {len(shape)} axes")
    affine = arguments["weight"] is not None
    named = {"bias": False} if affine and arguments["bias"] is None else {}
    op = make_op("LayerNorm", eps=float(arguments["eps"]), elementwise_affine=affine, **named)
    return Made(op, (read,), _weights(arguments, weight="weight", bias="bias"))


def _prelu(node: fx.Node, arguments: Arguments) -> Made:
    weight = _weight(arguments, "weight")
    assert weight is not None
    given = {} if weight.start in (None, PReLU.init) else {"init": weight.start}
    op = make_op("PReLU", num_parameters=prod(weight.shape), **given)
    return Made(op, (read_of(arguments),), _weights(arguments, weight="weight"))


# Activations --------------------------------------------------------------------------------------------------------


def _activation(name: str, **fields: str) -> Rule:
    """The rule for an activation: ours by this name, whose fields are torch's arguments of those names."""

    def rule(node: fx.Node, arguments: Arguments) -> Made:
        given = {ours: _number(arguments[theirs]) for ours, theirs in fields.items()}
        return Made(make_op(name, **given), (read_of(arguments),))

    return rule


def _number(value: Value) -> Any:
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else value


def _along(name: str) -> Rule:
    return lambda node, arguments: Made(make_op(name, dim=arguments["dim"]), (read_of(arguments),))


def _gated(node: fx.Node, arguments: Arguments) -> list[Made]:
    """GLU: the first half times the sigmoid of the second."""
    read = read_of(arguments)
    dim = arguments["dim"] % (len(read.shape) + 1)
    if dim == 0:
        raise Missing("halves of the batch")
    half = read.shape[dim - 1] // 2
    return [
        Made(Cut(dim, 0, half), (read,)),
        Made(Cut(dim, half, 2 * half), (read,)),
        Made(make_op("Sigmoid"), (PREVIOUS,)),
        Made(make_op("Mul"), (FIRST, PREVIOUS)),
    ]


# Windows ------------------------------------------------------------------------------------------------------------


def _pool(node: fx.Node, arguments: Arguments) -> Made:
    read = read_of(arguments)
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
    op = make_op(f"Adaptive{kind}Pool{rank}d", output_size=_each(arguments["output_size"], rank))
    made = Made(op, (read_of(arguments),))
    return made if kind == "Avg" else (made,)


def _upsample(mode: str) -> Rule:
    def rule(node: fx.Node, arguments: Arguments) -> Made:
        read = read_of(arguments)
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


# Noise --------------------------------------------------------------------------------------------------------------


def _noise(node: fx.Node, arguments: Arguments) -> Noise:
    """Memory that nobody has filled, of which stochastic depth makes its noise."""
    return Noise(tuple(node.meta["val"].shape))


def _bernoulli(node: fx.Node, arguments: Arguments) -> Noise:
    read = arguments["input"]
    if not isinstance(read, Noise):
        raise Missing("noise that is drawn from values")
    return Noise(read.shape, float(arguments["p"]))


def _dropout(node: fx.Node, arguments: Arguments) -> Value:
    if isinstance(arguments["input"], Weight):
        return arguments["input"]
    return Made(make_op("Dropout", p=float(arguments["p"])), (read_of(arguments),))


LAYERS: Final[dict[str, Rule]] = {
    **dict.fromkeys(("conv1d", "conv2d", "conv3d"), _conv),
    **dict.fromkeys(("conv_transpose1d", "conv_transpose2d", "conv_transpose3d"), _conv_transpose),
    "linear": _linear,
    **dict.fromkeys(("matmul", "mm"), _product),
    "batch_norm": _batch_norm,
    "instance_norm": _instance_norm,
    "group_norm": _group_norm,
    "layer_norm": _layer_norm,
    "prelu": _prelu,
    "relu": _activation("ReLU"),
    "relu6": _activation("ReLU6"),
    "leaky_relu": _activation("LeakyReLU", negative_slope="negative_slope"),
    "elu": _activation("ELU", alpha="alpha"),
    "hardtanh": _activation("Hardtanh", min_val="min_val", max_val="max_val"),
    "silu": _activation("SiLU"),
    "gelu": _activation("GELU", approximate="approximate"),
    "mish": _activation("Mish"),
    "hardswish": _activation("Hardswish"),
    "hardsigmoid": _activation("Hardsigmoid"),
    "softplus": _activation("Softplus", beta="beta", threshold="threshold"),
    "tanh": _activation("Tanh"),
    "sigmoid": _activation("Sigmoid"),
    "glu": _gated,
    "softmax": _along("Softmax"),
    "log_softmax": _along("LogSoftmax"),
    **dict.fromkeys((f"{kind}_pool{rank}d" for kind in ("max", "avg") for rank in (1, 2, 3)), _pool),
    **dict.fromkeys((f"adaptive_{kind}_pool{rank}d" for kind in ("max", "avg") for rank in (1, 2, 3)), _adaptive),
    **{f"upsample_nearest{rank}d": _upsample("nearest") for rank in (1, 2, 3)},
    **{f"_upsample_nearest_exact{rank}d": _upsample("nearest-exact") for rank in (1, 2, 3)},
    "upsample_linear1d": _upsample("linear"),
    "upsample_bilinear2d": _upsample("bilinear"),
    "upsample_bicubic2d": _upsample("bicubic"),
    "upsample_trilinear3d": _upsample("trilinear"),
    "dropout": _dropout,
    **dict.fromkeys(("empty", "new_empty"), _noise),
    "bernoulli": _bernoulli,
}
