"""Normalisation in ONNX."""

from __future__ import annotations

import numpy as np

from cnnspec.errors import CnnspecError
from cnnspec.graph import Node
from cnnspec.images import NCHW_TO_NHWC, NHWC_TO_NCHW
from cnnspec.onnx_backend.writer import Writer
from cnnspec.ops.norm import GRN, BatchNorm, GroupNorm, InstanceNorm, LayerNorm, LayerNorm2d, LocalResponseNorm

__all__ = ["batch_norm", "group_norm", "instance_norm", "layer_norm", "local_response_norm", "response_norm"]


def _affine(writer: Writer, node: Node, size: int) -> list[str]:
    """Scale and shift of a layer, or ones and zeros where it has none."""
    shapes = node.op.parameter_shapes(*node.input_shapes)
    scale = writer.weight(node, "weight") if "weight" in shapes else writer.constant(f"{node.name}/ones", np.ones(size))
    shift = writer.weight(node, "bias") if "bias" in shapes else writer.constant(f"{node.name}/zeros", np.zeros(size))
    return [scale, shift]


def batch_norm(writer: Writer, op: BatchNorm | InstanceNorm, node: Node) -> None:
    if not op.track_running_stats:
        raise CnnspecError(
            f"`{node.name}` normalises with the statistics of the batch that it is given, so that one image's result"
            " depends on the others",
            hint="export wants track_running_stats=True",
        )
    statistics = [writer.weight(node, "running_mean"), writer.weight(node, "running_var")]
    reads = [*writer.reads(node), *_affine(writer, node, node.shape[0]), *statistics]
    writer.add("BatchNormalization", reads, node.name, epsilon=op.eps)


def instance_norm(writer: Writer, op: InstanceNorm, node: Node) -> None:
    if op.track_running_stats:
        batch_norm(writer, op, node)
        return
    reads = [*writer.reads(node), *_affine(writer, node, node.shape[0])]
    writer.add("InstanceNormalization", reads, node.name, epsilon=op.eps)


def group_norm(writer: Writer, op: GroupNorm, node: Node) -> None:
    """Each group as one channel of an instance norm: ONNX's own operator came with opset 21."""
    name, groups = node.name, op.num_groups
    shape = writer.integers(f"{name}/groups", [0, groups, -1])
    grouped = writer.add("Reshape", [*writer.reads(node), shape], f"{name}/grouped")
    ones = [writer.constant(f"{name}/ones", np.ones(groups)), writer.constant(f"{name}/zeros", np.zeros(groups))]
    normal = writer.add("InstanceNormalization", [grouped, *ones], f"{name}/normal", epsilon=op.eps)
    normal = writer.like(normal, node, f"{name}/channels" if op.affine else name)
    if op.affine:
        each = (-1, *(1 for _ in node.shape[1:]))
        scale = writer.constant(f"{name}.weight", writer.array(node, "weight").reshape(each))
        shift = writer.constant(f"{name}.bias", writer.array(node, "bias").reshape(each))
        writer.add("Add", [writer.add("Mul", [normal, scale], f"{name}/scaled"), shift], name)


def layer_norm(writer: Writer, op: LayerNorm | LayerNorm2d, node: Node) -> None:
    """Over the last axis; for images the channels are moved there and back."""
    name, (read,) = node.name, writer.reads(node)
    output = name
    if isinstance(op, LayerNorm2d):
        read = writer.add("Transpose", [read], f"{name}/last", perm=NCHW_TO_NHWC)
        output = f"{name}/normal"
    scale, shift = _affine(writer, node, node.shape[op.axis])
    if writer.opset >= 17:
        writer.add("LayerNormalization", [read, scale, shift], output, axis=-1, epsilon=op.eps)
    else:
        mean = writer.reduce("ReduceMean", read, [-1], f"{name}/mean")
        centred = writer.add("Sub", [read, mean], f"{name}/centred")
        square = writer.add("Mul", [centred, centred], f"{name}/square")
        variance = writer.reduce("ReduceMean", square, [-1], f"{name}/variance")
        padded = writer.add("Add", [variance, writer.constant(f"{name}/eps", op.eps)], f"{name}/padded")
        spread = writer.add("Sqrt", [padded], f"{name}/spread")
        normal = writer.add("Div", [centred, spread], f"{name}/unit")
        writer.add("Add", [writer.add("Mul", [normal, scale], f"{name}/scaled"), shift], output)
    if isinstance(op, LayerNorm2d):
        writer.add("Transpose", [output], name, perm=NHWC_TO_NCHW)


def local_response_norm(writer: Writer, op: LocalResponseNorm, node: Node) -> None:
    """`LRN` for an odd window on images. Torch puts the odd channel of an even window before, ONNX behind."""
    name, (x,) = node.name, writer.reads(node)
    if op.size % 2 and len(node.shape) == 3:
        writer.add("LRN", [x], name, size=op.size, alpha=op.alpha, beta=op.beta, bias=op.k)
        return
    square = writer.add("Mul", [x, x], f"{name}/square")
    flat = writer.integers(f"{name}/flat", [0, 1, node.shape[0], -1])
    square = writer.add("Reshape", [square, flat], f"{name}/channels")
    pads = writer.integers(f"{name}/pads", [0, 0, op.size // 2, 0, 0, 0, (op.size - 1) // 2, 0])
    square = writer.add("Pad", [square, pads], f"{name}/padded")
    mean = writer.add("AveragePool", [square], f"{name}/mean", kernel_shape=[op.size, 1])
    mean = writer.like(mean, node, f"{name}/around")
    scaled = writer.add("Mul", [mean, writer.constant(f"{name}/alpha", op.alpha)], f"{name}/scaled")
    base = writer.add("Add", [scaled, writer.constant(f"{name}/k", op.k)], f"{name}/base")
    divisor = writer.add("Pow", [base, writer.constant(f"{name}/beta", op.beta)], f"{name}/divisor")
    writer.add("Div", [x, divisor], name)


def response_norm(writer: Writer, op: GRN, node: Node) -> None:
    """`input + bias + weight * input * share`, where a channel's share is its norm over the mean of all."""
    name, (x,), channels = node.name, writer.reads(node), op.axis(node.shape) + 1
    places = [axis for axis in range(1, len(node.shape) + 1) if axis != channels]
    norms = writer.reduce("ReduceL2", x, places, f"{name}/norms")
    mean = writer.reduce("ReduceMean", norms, [channels], f"{name}/mean")
    mean = writer.add("Add", [mean, writer.constant(f"{name}/eps", op.eps)], f"{name}/padded")
    shares = writer.add("Div", [norms, mean], f"{name}/shares")
    along = (-1, *(1 for _ in node.shape[channels:]))
    scale = writer.constant(f"{name}.weight", writer.array(node, "weight").reshape(along))
    shift = writer.constant(f"{name}.bias", writer.array(node, "bias").reshape(along))
    scaled = writer.add("Mul", [writer.add("Mul", [x, shares], f"{name}/shared"), scale], f"{name}/scaled")
    writer.add("Add", [x, writer.add("Add", [scaled, shift], f"{name}/shifted")], name)
