"""Keras's layers with weights, and its pools."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import prod
from typing import Any, Final

from cnnspec.foreign.keras_config import KerasLayer
from cnnspec.foreign.keras_values import KerasGap, KerasRule, LayerReader, Seen, each_axis, variable
from cnnspec.foreign.network import Filled, Reference, Stored
from cnnspec.foreign.primitives import Padded
from cnnspec.foreign.windows import Spans, padding_of, pool_of, same_ends
from cnnspec.ops import Shape, make_op

__all__ = ["LAYERS", "variables_of"]


def variables_of(layer: KerasLayer) -> tuple[str, ...]:
    """The variables of a layer in the order in which Keras keeps them, by its own words."""
    config = layer.config
    bias = ("bias",) if config.get("use_bias", True) else ()
    affine = tuple(word for word, flag in (("gamma", "scale"), ("beta", "center")) if config.get(flag, True))
    match layer.kind.rstrip("123D"):
        case "Conv" | "Dense" | "ConvTranspose" | "Conv2DTranspose" | "DepthwiseConv":
            return ("kernel", *bias)
        case "Conv1DTranspose" | "Conv3DTranspose":
            return ("kernel", *bias)
        case "SeparableConv":
            return ("depthwise_kernel", "pointwise_kernel", *bias)
        case "BatchNormalization":
            return (*affine, "moving_mean", "moving_variance")
        case "LayerNormalization" | "GroupNormalization":
            return affine
        case "PReLU":
            return ("alpha",)
        case "LayerScale":
            return ("gamma",)
        case "Normalization" if config.get("mean") is None:
            return ("mean", "variance", "count")
        case _:
            return ()


def _rank(layer: KerasLayer) -> int:
    return int(next(letter for letter in layer.kind if letter.isdigit()))


def _spans(layer: KerasLayer, value: Seen, kernel: Any, strides: Any) -> Spans:
    """The window of a layer over its maps. Raises ValueError."""
    rank, config = _rank(layer), layer.config
    if len(value.shape) != rank + 1:
        raise ValueError(f"it reads {len(value.shape)} axes")
    sizes = each_axis(kernel, rank, "kernel_size")
    stride = sizes if strides is None else each_axis(strides, rank, "strides")
    dilation = each_axis(config.get("dilation_rate", 1), rank, "dilation_rate")
    if min(*sizes, *stride, *dilation) < 1:
        raise ValueError("its window has sizes below 1")
    match config.get("padding", "valid"):
        case "valid":
            before = after = (0,) * rank
        case "same":
            before, after = same_ends(value.shape[1:], sizes, stride, dilation)
        case "causal" if rank == 1:
            before, after = (dilation[0] * (sizes[0] - 1),), (0,)
        case other:
            raise ValueError(f"there is no padding {other!r:.40}")
    return Spans(sizes, stride, dilation, before, after)


def _padded(reader: LayerReader, layer: KerasLayer, value: Seen, pad: Padded | None) -> Seen:
    if pad is None:
        return value
    pairs = list(zip(pad.padding[::2], pad.padding[1::2], strict=True))[::-1]
    shape = (value.shape[0], *(b + size + a for (b, a), size in zip(pairs, value.shape[1:], strict=True)))
    return reader.add(layer, pad, (value,), word="pad", shape=shape)


def _bias(layer: KerasLayer) -> dict[str, Reference]:
    return {"bias": variable(layer, "bias")} if layer.config.get("use_bias", True) else {}


def _conv(reader: LayerReader, layer: KerasLayer, values: Sequence[Seen]) -> Seen:
    (value,) = values
    config, spans = layer.config, _spans(layer, values[0], layer.config["kernel_size"], layer.config.get("strides", 1))
    pad, padding = padding_of(spans)
    value = _padded(reader, layer, value, pad)
    bias, rank = _bias(layer), spans.rank
    fields = {"stride": spans.stride, "padding": padding, "dilation": spans.dilation, "bias": bool(bias)}
    kernel = variable(layer, "kernel")
    if layer.kind.startswith("Depthwise"):
        return reader.activated(
            layer, config.get("activation"), _depthwise(reader, layer, value, spans, fields, kernel, bias)
        )
    op = make_op(
        f"Conv{rank}d",
        out_channels=config["filters"],
        kernel_size=spans.kernel,
        groups=config.get("groups", 1),
        **fields,
    )
    weights = {"weight": replace(kernel, order=(rank + 1, rank, *range(rank))), **bias}
    return reader.activated(layer, config.get("activation"), reader.add(layer, op, (value,), weights=weights))


def _depthwise(
    reader: LayerReader,
    layer: KerasLayer,
    value: Seen,
    spans: Spans,
    fields: dict[str, Any],
    kernel: Stored,
    bias: dict[str, Reference],
    word: str = "",
) -> Seen:
    """Every channel by itself; the kernel is `(*window, channels, multiplier)`."""
    channels, many, rank = value.shape[0], layer.config.get("depth_multiplier", 1), spans.rank
    if type(many) is not int or many < 1:
        raise ValueError("`depth_multiplier` is no number of filters")
    op = make_op(f"Conv{rank}d", out_channels=channels * many, kernel_size=spans.kernel, groups=channels, **fields)
    seen = replace(kernel, order=(rank, rank + 1, *range(rank)), shape=(channels * many, 1, *spans.kernel))
    return reader.add(layer, op, (value,), word=word, weights={"weight": seen, **bias})


def _separable(reader: LayerReader, layer: KerasLayer, values: Sequence[Seen]) -> Seen:
    config, spans = layer.config, _spans(layer, values[0], layer.config["kernel_size"], layer.config.get("strides", 1))
    pad, padding = padding_of(spans)
    value = _padded(reader, layer, values[0], pad)
    fields = {"stride": spans.stride, "padding": padding, "dilation": spans.dilation, "bias": False}
    value = _depthwise(reader, layer, value, spans, fields, variable(layer, "depthwise_kernel"), {}, word="depthwise")
    bias, rank = _bias(layer), spans.rank
    op = make_op(f"Conv{rank}d", out_channels=config["filters"], kernel_size=1, bias=bool(bias))
    weights = {"weight": replace(variable(layer, "pointwise_kernel"), order=(rank + 1, rank, *range(rank))), **bias}
    made = reader.add(layer, op, (value,), weights=weights)
    return reader.activated(layer, config.get("activation"), made)


def _conv_transpose(reader: LayerReader, layer: KerasLayer, values: Sequence[Seen]) -> Seen:
    (value,) = values
    config, rank = layer.config, _rank(layer)
    kernel = each_axis(config["kernel_size"], rank, "kernel_size")
    stride = each_axis(config.get("strides", 1), rank, "strides")
    if config.get("output_padding") is not None or set(each_axis(config.get("dilation_rate", 1), rank, "")) != {1}:
        raise KerasGap("a transposed convolution with an output padding or gaps of its own")
    more = tuple(max(s - k, 0) for k, s in zip(kernel, stride, strict=True))
    less = tuple(max(k - s, 0) for k, s in zip(kernel, stride, strict=True))
    same = config.get("padding", "valid") == "same"
    even = same and not any(each % 2 for each in less)
    bias = _bias(layer)
    op = make_op(
        f"ConvTranspose{rank}d",
        out_channels=config["filters"],
        kernel_size=kernel,
        stride=stride,
        padding=tuple(each // 2 for each in less) if even else 0,
        output_padding=more,
        bias=bool(bias),
    )
    weights = {"weight": replace(variable(layer, "kernel"), order=(rank + 1, rank, *range(rank))), **bias}
    crops = same and not even
    made = reader.add(layer, op, (value,), weights=weights, word="full" if crops else "")
    if crops:  # torch would crop the odd place at the beginning
        ends = [(-(each // 2), -(each - each // 2)) for each in less]
        shape = (made.shape[0], *(size + b + a for size, (b, a) in zip(made.shape[1:], ends, strict=True)))
        padding = tuple(size for pair in reversed(ends) for size in pair)
        made = reader.add(layer, Padded(padding), (made,), shape=shape)
    return reader.activated(layer, config.get("activation"), made)


def _dense(reader: LayerReader, layer: KerasLayer, values: Sequence[Seen]) -> Seen:
    (value,) = values
    units, bias, kernel = layer.config["units"], _bias(layer), variable(layer, "kernel")
    if len(value.shape) == 1:
        op = make_op("Linear", out_features=units, bias=bool(bias))
        weight = replace(kernel, order=(1, 0))
        if value.columns:
            last = len(value.columns)
            view, order = (*value.columns, units), (last, last - 1, *range(last - 1))
            weight = replace(kernel, view=view, order=order, shape=(units, prod(value.columns)))
    elif reader.channels_last and len(value.shape) <= 4:  # on maps it is a convolution of one place
        rank = len(value.shape) - 1
        op = make_op(f"Conv{rank}d", out_channels=units, kernel_size=1, bias=bool(bias))
        weight = replace(kernel, order=(1, 0), shape=(units, value.shape[0], *(1,) * rank))
    else:
        raise KerasGap("a dense layer on another axis than the channels")
    made = reader.add(layer, op, (value,), weights={"weight": weight, **bias})
    return reader.activated(layer, layer.config.get("activation"), made)


# Norms --------------------------------------------------------------------------------------------------------------


def _on_channels(reader: LayerReader, layer: KerasLayer, value: Seen) -> None:
    """Raise KerasGap where a norm is over other axes than the channels."""
    axis = layer.config.get("axis", -1)
    axes = axis if isinstance(axis, list) else [axis]
    count = len(value.shape) + 1
    if [each % count for each in axes] != [count - 1 if reader.channels_last else 1]:
        raise KerasGap(f"a norm along the axes {axes}")


def _affine(layer: KerasLayer, size: int, columns: Shape = ()) -> dict[str, Reference]:
    """Gain and shift of a norm. What it lacks is neutral."""
    given = set(variables_of(layer))
    weights: dict[str, Reference] = {}
    for key, word, neutral in (("weight", "gamma", 1.0), ("bias", "beta", 0.0)):
        weights[key] = _columns(variable(layer, word), columns) if word in given else Filled(neutral, (size,))
    return weights


def _columns(stored: Stored, columns: Shape) -> Stored:
    """A tensor for each feature, where these are flattened maps."""
    last = len(columns)
    return (
        replace(stored, view=columns, order=(last - 1, *range(last - 1)), shape=(prod(columns),)) if columns else stored
    )


def _batch_norm(reader: LayerReader, layer: KerasLayer, values: Sequence[Seen]) -> Seen:
    (value,) = values
    config = layer.config
    _on_channels(reader, layer, value)
    if config.get("renorm"):
        raise KerasGap("a batch norm that is corrected while it trains")
    affine = bool(set(variables_of(layer)) & {"gamma", "beta"})
    op = make_op(
        f"BatchNorm{max(1, len(value.shape) - 1)}d",
        eps=float(config.get("epsilon", 1e-3)),
        momentum=_rounded(1 - float(config.get("momentum", 0.99))),
        affine=affine,
    )
    weights = _affine(layer, value.shape[0], value.columns) if affine else {}
    for key, word in (("running_mean", "moving_mean"), ("running_var", "moving_variance")):
        weights[key] = _columns(variable(layer, word), value.columns)
    weights["num_batches_tracked"] = Filled(0, ())
    return reader.add(layer, op, (value,), weights=weights, columns=value.columns)


def _rounded(value: float) -> float:
    return float(f"{value:.10g}")


def _layer_norm(reader: LayerReader, layer: KerasLayer, values: Sequence[Seen]) -> Seen:
    (value,) = values
    _on_channels(reader, layer, value)
    if layer.config.get("rms_scaling") or value.columns:
        raise KerasGap("a norm by the root of the mean square")
    if len(value.shape) not in (1, 3):
        raise KerasGap(f"a layer norm over the channels of {len(value.shape) - 1} axes")
    affine = bool(variables_of(layer))
    kind = "LayerNorm" if len(value.shape) == 1 else "LayerNorm2d"
    op = make_op(kind, eps=float(layer.config.get("epsilon", 1e-3)), elementwise_affine=affine)
    return reader.add(layer, op, (value,), weights=_affine(layer, value.shape[0]) if affine else {})


def _group_norm(reader: LayerReader, layer: KerasLayer, values: Sequence[Seen]) -> Seen:
    (value,) = values
    _on_channels(reader, layer, value)
    groups = layer.config.get("groups", 32)
    affine = bool(variables_of(layer))
    groups = value.shape[0] if groups == -1 else groups
    op = make_op("GroupNorm", num_groups=groups, eps=float(layer.config.get("epsilon", 1e-3)), affine=affine)
    return reader.add(layer, op, (value,), weights=_affine(layer, value.shape[0]) if affine else {})


def _prelu(reader: LayerReader, layer: KerasLayer, values: Sequence[Seen]) -> Seen:
    (value,) = values
    shared = layer.config.get("shared_axes") or []
    if len(value.shape) > 1 and (sorted(shared) != list(range(1, len(value.shape))) or not reader.channels_last):
        raise KerasGap("a slope for each place: `shared_axes` of all places would be one for each channel")
    if value.columns:
        raise KerasGap("a slope for each place of flattened maps")
    op = make_op("PReLU", num_parameters=value.shape[0])
    alpha = replace(variable(layer, "alpha"), shape=(value.shape[0],))
    return reader.add(layer, op, (value,), weights={"weight": alpha})


def _layer_scale(reader: LayerReader, layer: KerasLayer, values: Sequence[Seen]) -> Seen:
    (value,) = values
    gamma = replace(variable(layer, "gamma"), shape=(value.shape[0], *(1 for _ in value.shape[1:])))
    op = make_op("Scale", init=float(layer.config.get("init_values", 1.0)))
    return reader.add(layer, op, (value,), weights={"": gamma})


# Pools --------------------------------------------------------------------------------------------------------------


def _pool(reader: LayerReader, layer: KerasLayer, values: Sequence[Seen]) -> Seen:
    spans = _spans(layer, values[0], layer.config["pool_size"], layer.config.get("strides"))
    pool = pool_of(values[0].shape, spans, is_max=layer.kind.startswith("Max"))
    if pool.op is None:
        raise KerasGap(pool.missing)
    return reader.add(layer, pool.op, (_padded(reader, layer, values[0], pool.pad),))


LAYERS: Final[dict[str, KerasRule]] = {
    **dict.fromkeys(("Conv1D", "Conv2D", "Conv3D", "DepthwiseConv1D", "DepthwiseConv2D"), _conv),
    **dict.fromkeys(("SeparableConv1D", "SeparableConv2D"), _separable),
    **dict.fromkeys(("Conv1DTranspose", "Conv2DTranspose", "Conv3DTranspose"), _conv_transpose),
    "Dense": _dense,
    "BatchNormalization": _batch_norm,
    "LayerNormalization": _layer_norm,
    "GroupNormalization": _group_norm,
    "PReLU": _prelu,
    "LayerScale": _layer_scale,
    **dict.fromkeys((f"{kind}Pooling{rank}D" for kind in ("Max", "Average") for rank in (1, 2, 3)), _pool),
}
