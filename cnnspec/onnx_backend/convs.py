"""Convolutions and transposed convolutions in ONNX."""

from __future__ import annotations

from cnnspec.graph import Node
from cnnspec.onnx_backend.pads import pad
from cnnspec.onnx_backend.standardised import standardised
from cnnspec.onnx_backend.writer import Writer
from cnnspec.ops.conv import AbstractSlidingConv, ConvTranspose
from cnnspec.ops.std_conv import ScaledStdConv, StdConv

__all__ = ["conv", "conv_transpose"]


def conv(writer: Writer, op: AbstractSlidingConv, node: Node) -> None:
    """`Conv`; a weight that is standardised in training is a constant here."""
    if isinstance(op, (StdConv, ScaledStdConv)):
        gain = writer.array(node, "gain") if isinstance(op, ScaledStdConv) else None
        weight = writer.constant(node.tensor_name("weight"), standardised(op, node, writer.array(node, "weight"), gain))
    else:
        weight = writer.weight(node, "weight")
    reads, pads = writer.reads(node), [w.before for w in op.axes] + [w.after for w in op.axes]
    if op.border != "constant" and any(pads):
        reads, pads = [pad(writer, op.axes, reads[0], f"{node.name}/padded")], [0] * len(pads)
    writer.add(
        "Conv",
        [*reads, weight, *writer.weights(node, "bias")],
        node.name,
        kernel_shape=op.kernel_size,
        strides=op.stride,
        dilations=op.dilation,
        group=op.groups,
        pads=pads,
    )


def conv_transpose(writer: Writer, op: ConvTranspose, node: Node) -> None:
    """`ConvTranspose`, which onnxruntime refuses where an output padding reaches the stride; torch wants it below the
    dilation or the stride.

    There the far end is cropped by that much less, as far as it is cropped. For what is missing still, zeros
    follow the input: each makes the output a stride longer, by units that have the bias alone, as torch's have.
    """
    reads, pads, output_padding, ends = writer.reads(node), op.padding * 2, op.output_padding, [0] * op.rank
    axes = list(zip(op.padding, op.output_padding, op.stride, strict=True))
    if any(more >= stride for _, more, stride in axes):
        ends = [max(0, -((crop - more) // stride)) for crop, more, stride in axes]
        far = (crop - more + end * stride for (crop, more, stride), end in zip(axes, ends, strict=True))
        pads, output_padding = (*op.padding, *far), (0,) * op.rank
    if any(ends):
        longer = writer.integers(f"{node.name}/zeros", [0] * (op.rank + 4) + ends)
        reads = [writer.add("Pad", [*reads, longer], f"{node.name}/longer")]
    writer.add(
        "ConvTranspose",
        [*reads, *writer.weights(node, "weight", "bias")],
        node.name,
        kernel_shape=op.kernel_size,
        strides=op.stride,
        dilations=op.dilation,
        group=op.groups,
        pads=pads,
        output_padding=output_padding,
    )
