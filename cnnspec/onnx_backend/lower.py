"""Graph and weights to ONNX, layer by layer: no tracing, no torch.

`lower` writes the model; `lower_layer` says what each operator is in ONNX, as one `match` that the type checker
holds equal to the list of operators. Operators are chosen so that every opset from `MIN_OPSET` on computes the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from typing import TYPE_CHECKING, Any, Final, assert_never

import numpy as np
from onnx import ModelProto, TensorProto, ValueInfoProto, helper

from cnnspec import ops
from cnnspec.errors import UsageError
from cnnspec.graph import INPUT, Graph, Node
from cnnspec.hints import did_you_mean
from cnnspec.images import NHWC_TO_NCHW, channels_last, scale_and_shift
from cnnspec.onnx_backend.activations import affine, clip, gelu, hardswish, prelu, softplus
from cnnspec.onnx_backend.convs import conv, conv_transpose
from cnnspec.onnx_backend.fold import fold_batch_norms
from cnnspec.onnx_backend.moves import channel_shuffle, flatten, unflatten, upsample
from cnnspec.onnx_backend.norms import (
    batch_norm,
    group_norm,
    instance_norm,
    layer_norm,
    local_response_norm,
    response_norm,
)
from cnnspec.onnx_backend.options import Lowering
from cnnspec.onnx_backend.pads import pad
from cnnspec.onnx_backend.pools import adaptive_pool, average_pool, blur_pool, lp_pool, max_pool, reduction
from cnnspec.onnx_backend.writer import Writer
from cnnspec.ops.activation import (
    ELU,
    GELU,
    Hardsigmoid,
    Hardswish,
    Hardtanh,
    LeakyReLU,
    LogSoftmax,
    Mish,
    PReLU,
    ReLU,
    ReLU6,
    Sigmoid,
    SiLU,
    Softmax,
    Softplus,
    Tanh,
)
from cnnspec.ops.affine import Affine
from cnnspec.ops.base import LIMIT
from cnnspec.ops.conv import Conv, ConvTranspose
from cnnspec.ops.dropout import Dropout, StochasticDepth
from cnnspec.ops.linear import Linear
from cnnspec.ops.norm import GRN, BatchNorm, GroupNorm, InstanceNorm, LayerNorm, LayerNorm2d, LocalResponseNorm
from cnnspec.ops.pad import CircularPad, ConstantPad, ReflectionPad, ReplicationPad, ZeroPad
from cnnspec.ops.pool import AdaptiveAvgPool, AdaptiveMaxPool, AvgPool, BlurPool, LPPool, MaxPool
from cnnspec.ops.reduce import Amax, Amin, Mean, Sum
from cnnspec.ops.resample import PixelShuffle, Upsample
from cnnspec.ops.reshape import ChannelShuffle, Flatten, Identity, Permute, Slice
from cnnspec.ops.scale import Bias, Scale
from cnnspec.ops.std_conv import ScaledStdConv, StdConv
from cnnspec.ops.unflatten import Reshape, Unflatten

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["check_size", "lower", "lower_layer", "select_outputs"]

MAX_BYTES: Final = 2**31 - 2**25  # of weights: a protobuf message has less than 2 GiB, and more than weights in it


def select_outputs(graph: Graph, outputs: Sequence[str] = ()) -> Graph:
    """The part of the network that `outputs` need (default: its own outputs, without the training-only heads).

    Raises UsageError for a name that is no layer.
    """
    for name in outputs:
        if name not in graph.by_name:
            raise UsageError(f"there is no layer `{name}`", hint=did_you_mean(name, list(graph.by_name)))
    return graph.part(dict.fromkeys(outputs) or graph.outputs)


def lower(
    graph: Graph,
    weights: Mapping[str, NDArray[Any]],
    options: Lowering | None = None,
) -> ModelProto:
    """The network with these weights (by `state_dict` name) as an ONNX model.

    The input is `input`, the outputs and all tensors in between have the names of the spec's layers.
    Raises CnnspecError where the weights do not belong to the network, or where a layer has no form in ONNX.
    """
    options = options or Lowering()
    check_size(graph, half=options.half)
    if options.fold:
        graph, weights = fold_batch_norms(graph, weights)
    writer = Writer(weights, opset=options.opset, half=options.half, dynamic_size=options.dynamic_size)
    _enter(writer, graph, options)
    for node in graph:
        lower_layer(writer, node)
    outputs = _leave(writer, graph, options)
    model = writer.model
    model.graph.name = graph.name
    model.graph.input.append(_input(graph, options))
    model.graph.output.extend(outputs)
    model.producer_name = "cnnspec"
    model.opset_import.append(helper.make_opsetid("", options.opset))
    model.ir_version = helper.find_min_ir_version_for(list(model.opset_import))
    return model


def check_size(graph: Graph, *, half: bool = False) -> None:
    """Raise UsageError where the weights are more than one ONNX file can hold. None of them has to be there."""
    size = (2 if half else 4) * sum(prod(shape) for shape in graph.state_shapes().values())
    if size <= MAX_BYTES:
        return
    hint = "`cnnspec export --precision fp16` halves them, and they fit"
    if half or size // 2 > MAX_BYTES:
        hint = "`cnnspec export --outputs NAME` writes the network up to a layer, with fewer weights"
    kind = "fp16" if half else "fp32"
    raise UsageError(f"the weights are {size:,} bytes in {kind}, and one ONNX file holds {MAX_BYTES:,}", hint=hint)


def _sizes(shape: ops.Shape, options: Lowering) -> list[str | int]:
    """The dimensions of a tensor as they are declared, with the batch first."""
    batch: str | int = "batch" if options.batch is None else options.batch
    if options.dynamic_size and len(shape) > 1:
        return [batch, shape[0], *ops.AXES[len(shape) - 1]]
    return [batch, *shape]


def _input(graph: Graph, options: Lowering) -> ValueInfoProto:
    sizes = _sizes(graph.input_shape, options)
    if not options.preprocess:
        return helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, sizes)
    if len(graph.input_shape) != 3:
        raise UsageError("`--preprocess` is for networks that read images", hint="the input has to be [C, H, W]")
    return helper.make_tensor_value_info(INPUT, TensorProto.UINT8, [sizes[0], *channels_last(tuple(sizes[1:]))])


def _enter(writer: Writer, graph: Graph, options: Lowering) -> None:
    """From what the caller gives to what the first layer reads."""
    read = INPUT
    if options.preprocess:
        scale, shift = scale_and_shift(graph.mean, graph.std, graph.input_shape[0])
        read = writer.add("Cast", [read], "input/float", to=TensorProto.FLOAT)
        read = writer.add("Transpose", [read], "input/planes", perm=NHWC_TO_NCHW)
        read = writer.add(
            "Mul", [read, writer.constant("input/scale", scale[:, None, None], np.float32)], "input/scaled"
        )
        read = writer.add(
            "Add", [read, writer.constant("input/shift", shift[:, None, None], np.float32)], "input/normalized"
        )
    if options.half:
        read = writer.add("Cast", [read], "input/half", to=TensorProto.FLOAT16)
    writer.alias[INPUT] = read


def _leave(writer: Writer, graph: Graph, options: Lowering) -> list[ValueInfoProto]:
    """The outputs, as float32 and, where wanted, as probabilities over the channels."""
    outputs = []
    for name in graph.outputs:
        given = name
        if options.softmax:
            given = writer.add("Softmax", [given], f"{name}/softmax", axis=1)
        if options.half:
            given = writer.add("Cast", [given], f"{name}/float", to=TensorProto.FLOAT)
        shape = graph.shape_of(name)
        sizes: list[Any] = _sizes(shape, options)
        if options.dynamic_size:  # the sizes that come out are not the ones that go in
            sizes = [sizes[0], shape[0], *(None for _ in shape[1:])]
        outputs.append(helper.make_tensor_value_info(given, TensorProto.FLOAT, sizes))
    return outputs


def lower_layer(writer: Writer, node: Node) -> None:
    """Write one layer. The last tensor written has the layer's name."""
    op, name, reads = node.op, node.name, writer.reads(node)
    match op:
        case Conv() | StdConv() | ScaledStdConv():
            conv(writer, op, node)
        case ConvTranspose():
            conv_transpose(writer, op, node)
        case MaxPool():
            max_pool(writer, op, node)
        case AvgPool():
            average_pool(writer, op, node)
        case LPPool():
            lp_pool(writer, op, node)
        case AdaptiveAvgPool() | AdaptiveMaxPool():
            adaptive_pool(writer, op, node)
        case BlurPool():
            blur_pool(writer, op, node)
        case GRN():
            response_norm(writer, op, node)
        case BatchNorm():
            batch_norm(writer, op, node)
        case InstanceNorm():
            instance_norm(writer, op, node)
        case GroupNorm():
            group_norm(writer, op, node)
        case LayerNorm() | LayerNorm2d():
            layer_norm(writer, op, node)
        case LocalResponseNorm():
            local_response_norm(writer, op, node)
        case Linear():
            _linear(writer, op, node)
        case Scale():
            factor = writer.constant(f"{name}/factor", writer.array(node, ""))  # `name` itself is what comes out
            writer.add("Mul", [*reads, factor], name)
        case Bias():
            writer.add("Add", [*reads, writer.constant(f"{name}/term", writer.array(node, ""))], name)
        case Affine():
            affine(writer, op, node)
        case Mean() | Sum() | Amax() | Amin():
            reduction(writer, op, node)
        case Flatten():
            flatten(writer, op, node)
        case Unflatten():
            unflatten(writer, op, node)
        case Reshape():
            sizes = writer.integers(f"{name}/shape", [0, *(op.sizes if writer.dynamic_size else node.shape)])
            writer.add("Reshape", [*reads, sizes], name)
        case Permute():
            order = op.permuted(node.input_shapes[0])
            writer.add("Transpose", reads, name, perm=[0, *(axis + 1 for axis in order)])
        case ChannelShuffle():
            channel_shuffle(writer, op, node)
        case Slice():
            bounds = op.start, LIMIT if op.end is None else op.end, op.axis(node.input_shapes[0]) + 1
            parts = zip(("start", "end", "axis"), bounds, strict=True)
            writer.add("Slice", [*reads, *(writer.integers(f"{name}/{key}", [value]) for key, value in parts)], name)
        case ZeroPad() | ReflectionPad() | ReplicationPad() | CircularPad():
            pad(writer, op.axes, reads[0], name)
        case ConstantPad():
            pad(writer, op.axes, reads[0], name, value=op.number)
        case Upsample():
            upsample(writer, op, node)
        case PixelShuffle():
            writer.add("DepthToSpace", reads, name, blocksize=op.upscale_factor, mode="CRD")
        case Identity() | Dropout() | StochasticDepth():
            writer.add("Identity", reads, name)
        case ReLU():
            writer.add("Relu", reads, name)
        case ReLU6():
            clip(writer, node, 0, 6)
        case Hardtanh():
            clip(writer, node, op.min_val, op.max_val)
        case LeakyReLU():
            writer.add("LeakyRelu", reads, name, alpha=op.negative_slope)
        case PReLU():
            prelu(writer, op, node)
        case ELU():
            writer.add("Elu", reads, name, alpha=op.alpha)
        case SiLU():
            gate = writer.add("Sigmoid", reads, f"{name}/gate")
            writer.add("Mul", [*reads, gate], name)
        case GELU():
            gelu(writer, op, node)
        case Mish():
            gate = writer.add("Tanh", [writer.add("Softplus", reads, f"{name}/softplus")], f"{name}/gate")
            writer.add("Mul", [*reads, gate], name)
        case Hardswish():
            hardswish(writer, node)
        case Hardsigmoid():
            writer.add("HardSigmoid", reads, name, alpha=1 / 6, beta=0.5)
        case Softplus():
            softplus(writer, op, node)
        case Tanh():
            writer.add("Tanh", reads, name)
        case Sigmoid():
            writer.add("Sigmoid", reads, name)
        case Softmax():
            writer.add("Softmax", reads, name, axis=op.dim)
        case LogSoftmax():
            writer.add("LogSoftmax", reads, name, axis=op.dim)
        case ops.Add() | ops.Sub() | ops.Mul() | ops.Div():
            _join(writer, op.op_name, reads, name)
        case ops.Concat():
            writer.add("Concat", reads, name, axis=op.axis(node.shape) + 1)
        case _:
            assert_never(op)


def _linear(writer: Writer, op: Linear, node: Node) -> None:
    reads = writer.reads(node)
    if len(node.shape) == 1:
        writer.add("Gemm", [*reads, *writer.weights(node, "weight", "bias")], node.name, transB=1)
        return
    transposed = writer.constant(f"{node.name}.weight/transposed", writer.array(node, "weight").T)
    product = writer.add("MatMul", [*reads, transposed], f"{node.name}/product" if op.bias else node.name)
    if op.bias:
        writer.add("Add", [product, writer.weight(node, "bias")], node.name)


def _join(writer: Writer, kind: str, reads: list[str], name: str) -> None:
    """Two by two, as torch does: rounding is the same."""
    total = reads[0]
    for step, read in enumerate(reads[1:-1], 1):
        total = writer.add(kind, [total, read], f"{name}/{step}")
    if len(reads) == 1:
        writer.add("Identity", [total], name)
    else:
        writer.add(kind, [total, reads[-1]], name)
