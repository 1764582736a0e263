"""Pools in ONNX. Torch's `ceil_mode` and adaptive windows need more than one attribute."""

from __future__ import annotations

from math import comb, prod
from typing import Any, Final

import numpy as np
from onnx import helper

from cnnspec.errors import UsageError
from cnnspec.graph import Node
from cnnspec.onnx_backend.pads import pad
from cnnspec.onnx_backend.writer import Writer
from cnnspec.ops.pool import AdaptiveAvgPool, AdaptiveMaxPool, AvgPool, BlurPool, LPPool, MaxPool
from cnnspec.ops.reduce import Amax, Amin, Mean, Sum
from cnnspec.ops.window import Adaptive, Sliding

__all__ = ["adaptive_pool", "average_pool", "blur_pool", "lp_pool", "max_pool", "reduction"]

# onnxruntime's `GlobalAveragePool` adds up one number after the other: of 300x300 it loses 1e-5 of the mean, where
# means of means lose 4e-7 and take no longer. For small maps the node that everybody knows is as exact.
SERIAL: Final = 8 * 8


def _beyond(op: MaxPool | AvgPool | LPPool, node: Node) -> list[int]:
    """How far the last window reaches beyond the padded input on each axis: more than 0 only in `ceil_mode`."""
    reach = []
    for window, size, out in zip(op.windows(*node.input_shapes), node.input_shapes[0][1:], node.shape[1:], strict=True):
        assert isinstance(window, Sliding)
        reach.append(max(0, (out - 1) * window.stride + window.extent - (size + window.before + window.after)))
    return reach


def _rounds_up(writer: Writer, op: MaxPool | AvgPool | LPPool, node: Node) -> int:
    """ONNX's `ceil_mode`, only where it matters: before opset 22 shape inference has it wrong elsewhere."""
    return int(op.ceil_mode and (writer.dynamic_size or any(_beyond(op, node))))


def max_pool(writer: Writer, op: MaxPool, node: Node) -> None:
    writer.add(
        "MaxPool",
        writer.reads(node),
        node.name,
        kernel_shape=op.kernel_size,
        strides=op.strides,
        dilations=op.dilation,
        pads=op.padding * 2,
        ceil_mode=_rounds_up(writer, op, node),
    )


def average_pool(writer: Writer, op: AvgPool, node: Node) -> None:
    """Means over windows. What `ceil_mode` adds beyond the padded input never counts, the padding where it is told to.

    Runtimes do not agree on both together before opset 19, so the zeros are then a node of their own.
    """
    (read,) = writer.reads(node)
    beyond = _beyond(op, node)
    if op.divisor_override is not None and op.ceil_mode and writer.dynamic_size:
        raise UsageError(f"--size dynamic: `{node.name}` has `ceil_mode` and `divisor_override`, which is for one size")
    if op.divisor_override is not None:  # a sum over a fixed number: the mean of whole windows, rescaled
        ends = [pad + more for pad, more in zip(op.padding, beyond, strict=True)]
        mean = _mean(writer, op, read, f"{node.name}/mean", pads=[*op.padding, *ends], count_include_pad=1)
        factor = writer.constant(f"{node.name}/factor", prod(op.kernel_size) / op.divisor_override)
        writer.add("Mul", [mean, factor], node.name)
    elif op.count_include_pad and any(op.padding) and any(beyond) and not writer.dynamic_size:
        pads = writer.integers(f"{node.name}/pads", [0, 0, *op.padding] * 2)
        read = writer.add("Pad", [read, pads], f"{node.name}/padded")
        _mean(writer, op, read, node.name, pads=[*(0 for _ in beyond), *beyond], count_include_pad=0)
    else:
        include = int(op.count_include_pad and any(op.padding))
        ceil = _rounds_up(writer, op, node)
        _mean(writer, op, read, node.name, pads=op.padding * 2, count_include_pad=include, ceil_mode=ceil)


def _mean(writer: Writer, op: AvgPool, read: str, output: str, **attributes: Any) -> str:
    return writer.add("AveragePool", [read], output, kernel_shape=op.kernel_size, strides=op.strides, **attributes)


def lp_pool(writer: Writer, op: LPPool, node: Node) -> None:
    """`(sum x^p)^(1/p)` as torch has it: without ONNX's absolute value, a negative number stays negative."""
    name = node.name
    powers = writer.add("Pow", [*writer.reads(node), writer.constant(f"{name}/p", op.norm_type)], f"{name}/powers")
    mean = writer.add(
        "AveragePool",
        [powers],
        f"{name}/mean",
        kernel_shape=op.kernel_size,
        strides=op.stride or op.kernel_size,
        ceil_mode=_rounds_up(writer, op, node),
        count_include_pad=0,
    )
    total = writer.add("Mul", [mean, writer.constant(f"{name}/taps", prod(op.kernel_size))], f"{name}/sum")
    writer.add("Pow", [total, writer.constant(f"{name}/root", 1 / op.norm_type)], name)


def adaptive_pool(writer: Writer, op: AdaptiveAvgPool | AdaptiveMaxPool, node: Node) -> None:
    """A global or an ordinary pool where the output divides the input; otherwise one axis after the other."""
    average = isinstance(op, AdaptiveAvgPool)
    sizes, outs = node.input_shapes[0][1:], node.shape[1:]
    reads = writer.reads(node)
    if all(wanted == 1 for wanted in op.output_size):
        if average and (writer.dynamic_size or prod(sizes) > SERIAL):
            (read,) = reads
            for axis in reversed(range(2, op.rank + 2)):
                output = node.name if axis == 2 else f"{node.name}/axis{axis - 2}"
                read = writer.reduce("ReduceMean", read, [axis], output)
        else:
            writer.add("GlobalAveragePool" if average else "GlobalMaxPool", reads, node.name)
        return
    windows = {
        axis: Adaptive(size, out)
        for axis, (wanted, size, out) in enumerate(zip(op.output_size, sizes, outs, strict=True), 2)
        if wanted is not None and (writer.dynamic_size or size != out)
    }
    if not windows:
        writer.add("Identity", reads, node.name)
    elif not writer.dynamic_size and all(size % out == 0 for size, out in zip(sizes, outs, strict=True)):
        kernel = [size // out for size, out in zip(sizes, outs, strict=True)]
        writer.add("AveragePool" if average else "MaxPool", reads, node.name, kernel_shape=kernel, strides=kernel)
    else:
        (read,) = reads
        for axis, window in windows.items():
            output = node.name if axis == max(windows) else f"{node.name}/axis{axis - 2}"
            read = _adaptive_axis(writer, read, op, axis, window, output)


def reduction(writer: Writer, op: Mean | Sum | Amax | Amin, node: Node) -> None:
    """One axis after the other where all of them at once may be long sums, in which runtimes lose digits."""
    (read,), (shape,) = writer.reads(node), node.input_shapes
    kind = {Mean: "ReduceMean", Sum: "ReduceSum", Amax: "ReduceMax", Amin: "ReduceMin"}[type(op)]
    axes = [axis + 1 for axis in op.reduced(shape)]
    if writer.dynamic_size or prod(shape[axis - 1] for axis in axes) > SERIAL:
        for axis in axes[:0:-1]:  # the last first, so that the others keep their numbers
            read = writer.reduce(kind, read, [axis], f"{node.name}/axis{axis}", keepdims=op.keepdim)
        axes = axes[:1]
    writer.reduce(kind, read, axes, node.name, keepdims=op.keepdim)


def _adaptive_axis(
    writer: Writer, read: str, op: AdaptiveAvgPool | AdaptiveMaxPool, axis: int, window: Adaptive, output: str
) -> str:
    """Gather every unit's inputs into an axis of their own, padded to the widest unit, and reduce it."""
    give = _computed_places if writer.dynamic_size else _constant_places
    each = [window.out, -1, *[1] * (op.rank - axis + 1)]  # the spatial axes after this one are broadcast
    places, shares = give(writer, read, axis, window, output, each if isinstance(op, AdaptiveAvgPool) else None)
    gathered = writer.add("Gather", [read, places], f"{output}/gathered", axis=axis)
    if shares is None:
        return writer.reduce("ReduceMax", gathered, [axis + 1], output, keepdims=False)
    parts = writer.add("Mul", [gathered, shares], f"{output}/parts")
    return writer.reduce("ReduceSum", parts, [axis + 1], output, keepdims=False)


def _constant_places(
    writer: Writer, read: str, axis: int, window: Adaptive, output: str, each: list[int] | None
) -> tuple[str, str | None]:
    """Which inputs each unit reads `(out, widest)`, and for a mean their shares, in the shape `each`."""
    widest = max(window.widths)
    places = np.zeros((window.out, widest), np.int64)
    shares = np.zeros((window.out, widest))
    for unit, width in enumerate(window.widths):
        first, last = window.bounds(unit)
        places[unit] = np.minimum(np.arange(first, first + widest), last)  # the last one again changes no maximum
        shares[unit, :width] = 1 / width
    index = writer.constant(f"{output}/places", places, np.int64)
    return index, None if each is None else writer.constant(f"{output}/shares", shares.reshape(each))


def _computed_places(
    writer: Writer, read: str, axis: int, window: Adaptive, output: str, each: list[int] | None
) -> tuple[str, str | None]:
    """The same for an axis whose size only the image tells: unit `i` reads `i*W//out` to `((i+1)*W + out-1)//out - 1`.

    No unit reads more than `W//out + 2` inputs.
    """

    def constant(name: str, values: object) -> str:
        return writer.constant(f"{output}/{name}", values, np.int64)

    def node(kind: str, name: str, *inputs: str, **attributes: Any) -> str:
        return writer.add(kind, inputs, f"{output}/{name}", **attributes)

    units = np.arange(window.out)[:, None]
    out, one = constant("out", window.out), constant("one", 1)
    size = node("Gather", "size", node("Shape", "whole", read), constant("axis", axis), axis=0)
    first = node("Div", "first", node("Mul", "starts", constant("units", units), size), out)
    ends = node("Mul", "ends", constant("next", units + 1), size)
    past = node("Div", "past", node("Add", "rounded", ends, constant("up", window.out - 1)), out)
    widest = node("Add", "widest", node("Div", "width", size, out), constant("two", 2))
    reach = node("Add", "reach", first, node("Range", "steps", constant("zero", 0), widest, one))
    places = node("Min", "places", reach, node("Sub", "last", past, one))
    if each is None:
        return places, None
    kind = helper.np_dtype_to_tensor_dtype(writer.float)
    inside = node("Cast", "inside", node("Less", "within", reach, past), to=kind)
    share = node("Div", "share", inside, node("Cast", "widths", node("Sub", "reads", past, first), to=kind))
    return places, node("Reshape", "shares", share, constant("each", each))


def blur_pool(writer: Writer, op: BlurPool, node: Node) -> None:
    """`Pad` that mirrors, and a convolution of each channel with the binomial filter."""
    name, channels = node.name, node.shape[0]
    read = pad(writer, op.axes, writer.reads(node)[0], f"{name}/mirrored")
    row = np.array([comb(op.filt_size - 1, k) for k in range(op.filt_size)]) / 2 ** (op.filt_size - 1)
    filt = np.broadcast_to(np.outer(row, row), (channels, 1, *op.kernel_size))
    writer.add(
        "Conv",
        [read, writer.constant(f"{name}/filter", filt)],
        name,
        kernel_shape=op.kernel_size,
        strides=[op.stride] * op.rank,
        group=channels,
    )
