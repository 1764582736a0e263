"""Nodes with weights: convolutions, linear layers and norms."""

from __future__ import annotations

from math import prod
from typing import Any, Final

from cnnspec.foreign.network import Filled, Reference
from cnnspec.foreign.windows import padding_of
from cnnspec.onnx_backend.read_values import Activation, Known, Made, Malformed, Missing, NodeView, Reader, Result, Rule
from cnnspec.onnx_backend.read_windows import padded, spans_of
from cnnspec.ops import Shape, make_op

__all__ = ["LAYERS"]


def _weight(node: NodeView, number: int) -> Known:
    known = node.known(number)
    if known is None:
        raise Malformed(f"it lacks its argument {number}")
    return known


def _conv(reader: Reader, node: NodeView) -> Made:
    read, weight, bias = reader.plain(node.activation()), _weight(node, 1), node.known(2)
    spans = spans_of(node, read, weight.shape[2:])
    pad, padding = padding_of(spans)
    read = padded(reader, node, read, pad)
    op = make_op(
        f"Conv{spans.rank}d",
        out_channels=weight.shape[0],
        kernel_size=spans.kernel,
        stride=spans.stride,
        padding=padding,
        dilation=spans.dilation,
        groups=node.whole("group", 1),
        bias=bias is not None,
    )
    return Made(op, (read,), _references(reader, weight=weight, bias=bias))


def _references(reader: Reader, **tensors: Known | None) -> dict[str, Reference]:
    return {key: reader.reference(known) for key, known in tensors.items() if known is not None}


def _conv_transpose(reader: Reader, node: NodeView) -> Made:
    read, weight, bias = reader.plain(node.activation()), _weight(node, 1), node.known(2)
    if "output_shape" in node.attributes:
        raise Missing("a transposed convolution that is given the shape of its output")
    spans = spans_of(node, read, weight.shape[2:])
    groups, more = node.whole("group", 1), node.wholes("output_padding", (0,) * spans.rank)
    if any(before < after for before, after in zip(spans.before, spans.after, strict=True)):
        raise Missing("a transposed convolution that is cropped more at its end")
    # What is cropped less at the end than at the beginning is what torch adds there.
    rest = tuple(e + b - a for e, b, a in zip(more, spans.before, spans.after, strict=True))
    op = make_op(
        f"ConvTranspose{spans.rank}d",
        out_channels=weight.shape[1] * groups,
        kernel_size=spans.kernel,
        stride=spans.stride,
        padding=spans.before,
        output_padding=rest,
        dilation=spans.dilation,
        groups=groups,
        bias=bias is not None,
    )
    return Made(op, (read,), _references(reader, weight=weight, bias=bias))


def _gemm(reader: Reader, node: NodeView) -> Made:
    read, weight, bias = node.activation(), _weight(node, 1), node.known(2)
    if len(read.shape) != 1 or len(weight.shape) != 2:
        raise Malformed("it wants two matrices")
    if node.whole("transA", 0) or node.number("alpha", 1.0) != 1 or (bias and node.number("beta", 1.0) != 1):
        raise Missing("a linear layer with factors, or with its input turned")
    return _linear(reader, read, weight, bias, inputs_first=not node.whole("transB", 0))


def _linear(reader: Reader, read: Activation, weight: Known, bias: Known | None, *, inputs_first: bool) -> Made:
    """A linear layer on the last axis; `weight` is `(out, in)`, or the other way round."""
    features, out = weight.shape if inputs_first else weight.shape[::-1]
    if features != read.shape[-1]:
        raise Malformed(f"weights for {features:,} features, of which there are {read.shape[-1]:,}")
    if read.columns:
        weight = _columns_first(weight, read.columns, out, inputs_first)
    elif inputs_first:
        weight = weight.turned(weight.name, (1, 0))
    if bias is not None:
        if bias.size != out:
            raise Missing(f"a bias of {bias.size:,} for {out:,} features")
        bias = bias.seen_as(bias.name, (out,))
    op = make_op("Linear", out_features=out, bias=bias is not None)
    return Made(op, (read,), _references(reader, weight=weight, bias=bias))


def _columns_first(weight: Known, columns: Shape, out: int, inputs_first: bool) -> Known:
    """The weights of flattened maps `(H, W, C)` as those of `(C, H, W)`."""
    last = len(columns)
    if inputs_first:
        maps = weight.seen_as(weight.name, (*columns, out)).turned(weight.name, (last, last - 1, *range(last - 1)))
    else:
        maps = weight.seen_as(weight.name, (out, *columns)).turned(weight.name, (0, last, *range(1, last)))
    return maps.seen_as(weight.name, (out, prod(columns)))


def _matmul(reader: Reader, node: NodeView) -> Result:
    if isinstance(node.value(0), Activation) and isinstance(node.value(1), Activation):
        raise Missing("a product of two matrices that are both worked out anew (attention)")
    read, weight = node.activation(), _weight(node, 1)
    if len(weight.shape) != 2 or weight.shape[0] != read.sizes(reader.batch)[-1]:
        raise Missing(f"a product with a tensor of {len(weight.shape)} axes")
    bias = reader.bias_after(node, weight.shape[1])
    if read.is_plain:
        return _linear(reader, read, weight, bias, inputs_first=True)
    if read.axis(-1) != 1 or not 2 <= len(read.shape) <= 4:
        return _linear(reader, reader.plain(read), weight, bias, inputs_first=True)
    turned = weight.turned(weight.name, (1, 0))
    rank = len(read.shape) - 1  # on maps with their channels last it is a convolution of one pixel
    kernel = turned.seen_as(weight.name, (*turned.shape, *(1,) * rank))
    op = make_op(f"Conv{rank}d", out_channels=turned.shape[0], kernel_size=1, bias=bias is not None)
    flat = bias and bias.seen_as(bias.name, (turned.shape[0],))
    return Made(op, (read,), _references(reader, weight=kernel, bias=flat), order=read.order)


# Norms --------------------------------------------------------------------------------------------------------------


def _batch_norm(reader: Reader, node: NodeView) -> Made:
    read = reader.plain(node.activation())
    if node.whole("training_mode", 0) or any(node.proto.output[1:]):
        raise Missing("a batch norm in training")
    channels = read.shape[:1]
    keys = ("weight", "bias", "running_mean", "running_var")
    tensors = {key: _weight(node, number) for number, key in enumerate(keys, 1)}
    if any(known.shape != channels for known in tensors.values()):
        raise Malformed(f"its tensors are not of {channels[0]} channels")
    op = make_op(
        f"BatchNorm{max(1, len(read.shape) - 1)}d",
        eps=_short(node.number("epsilon", 1e-5)),
        momentum=_short(1 - node.number("momentum", 0.9)),
    )
    weights = _references(reader, **tensors) | {"num_batches_tracked": Filled(0, ())}
    return Made(op, (read,), weights, columns=read.columns)


def _short(value: float) -> float:
    """A number as it was before it was stored in 32 bits."""
    return float(f"{value:.6g}")


def _instance_norm(reader: Reader, node: NodeView) -> Made:
    read = reader.plain(node.activation())
    op = make_op(f"InstanceNorm{len(read.shape) - 1}d", eps=_short(node.number("epsilon", 1e-5)), affine=True)
    return Made(op, (read,), _references(reader, weight=_weight(node, 1), bias=_weight(node, 2)))


def _group_norm(reader: Reader, node: NodeView) -> Made:
    read, weight, bias = reader.plain(node.activation()), _weight(node, 1), _weight(node, 2)
    channels = read.shape[:1]
    if (weight.size, bias.size) != channels * 2:
        raise Missing("a group norm with a factor for each group")
    weight, bias = weight.seen_as(weight.name, channels), bias.seen_as(bias.name, channels)
    op = make_op("GroupNorm", num_groups=node.whole("num_groups"), eps=_short(node.number("epsilon", 1e-5)))
    return Made(op, (read,), _references(reader, weight=weight, bias=bias))


def _layer_norm(reader: Reader, node: NodeView) -> Made:
    read, weight, bias = node.activation(), _weight(node, 1), node.known(2)
    axes = len(read.shape) + 1
    if node.whole("axis", -1) not in (-1, axes - 1) or any(node.proto.output[1:]):
        raise Missing("a layer norm over several axes")
    kind = "LayerNorm"
    if not read.is_plain and read.axis(-1) == 1 and len(read.shape) == 3:
        kind = "LayerNorm2d"
    else:
        read = reader.plain(read)
    given = {} if bias is not None else {"bias": False}
    op = make_op(kind, eps=_short(node.number("epsilon", 1e-5)), **given)
    return Made(op, (read,), _references(reader, weight=weight, bias=bias), order=read.order)


def _response_norm(reader: Reader, node: NodeView) -> Made:
    size = node.whole("size")
    if size % 2 == 0:
        raise Missing(f"a response norm over an even number of channels, {size}")
    fields: dict[str, Any] = {"alpha": 1e-4, "beta": 0.75}
    given = {name: _short(node.number(name, default)) for name, default in fields.items()}
    op = make_op("LocalResponseNorm", size=size, k=_short(node.number("bias", 1.0)), **given)
    return Made(op, (reader.plain(node.activation()),))


def _prelu(reader: Reader, node: NodeView) -> Made:
    read, slope = reader.plain(node.activation()), _weight(node, 1)
    if slope.size not in (1, read.shape[0]):
        raise Missing(f"a slope of {slope.size:,} numbers for {read.shape[0]} channels")
    if slope.size > 1 and slope.shape[-len(read.shape) :][0] != slope.size:
        raise Missing("a slope for each place")
    flat = slope.seen_as(slope.name, (slope.size,))
    return Made(make_op("PReLU", num_parameters=slope.size), (read,), _references(reader, weight=flat))


LAYERS: Final[dict[str, Rule]] = {
    "Conv": _conv,
    "ConvTranspose": _conv_transpose,
    "Gemm": _gemm,
    "MatMul": _matmul,
    "BatchNormalization": _batch_norm,
    "InstanceNormalization": _instance_norm,
    "GroupNormalization": _group_norm,
    "LayerNormalization": _layer_norm,
    "LRN": _response_norm,
    "PRelu": _prelu,
}
