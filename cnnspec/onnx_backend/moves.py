"""Operators that move values or change the resolution, in ONNX."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from onnx import TensorProto

from cnnspec.errors import UsageError
from cnnspec.graph import Node
from cnnspec.onnx_backend.writer import Writer
from cnnspec.ops import Shape
from cnnspec.ops.resample import Upsample
from cnnspec.ops.reshape import ChannelShuffle, Flatten
from cnnspec.ops.unflatten import Unflatten
from cnnspec.ops.window import Resized

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["channel_shuffle", "flatten", "unflatten", "upsample"]


def flatten(writer: Writer, op: Flatten, node: Node) -> None:
    (shape,) = node.input_shapes
    start, end = (dim % (len(shape) + 1) for dim in (op.start_dim, op.end_dim))
    if (start, end) == (1, len(shape)):
        writer.add("Flatten", writer.reads(node), node.name, axis=1)
        return
    # 0 keeps the size of the axis in the same place; the axes after the merged ones have moved
    sizes = [0] * start + [-1] + list(shape[end:])
    writer.add("Reshape", [*writer.reads(node), writer.integers(f"{node.name}/shape", sizes)], node.name)


def unflatten(writer: Writer, op: Unflatten, node: Node) -> None:
    """`Reshape`, which finds the axes behind the cut one where they were only if their sizes are told."""
    name, (read,), (shape,) = node.name, writer.reads(node), node.input_shapes
    axis = op.axis(shape) + 1
    behind = len(shape) - axis
    if not writer.dynamic_size:
        sizes = writer.integers(f"{name}/shape", [0, *node.shape])
    elif not behind:
        sizes = writer.integers(f"{name}/shape", [0] * axis + list(op.sizes))
    else:
        whole = writer.add("Shape", [read], f"{name}/whole")
        bounds = [
            writer.integers(f"{name}/{key}", [place]) for key, place in (("from", axis + 1), ("to", len(shape) + 1))
        ]
        rest = writer.add("Slice", [whole, *bounds], f"{name}/behind")
        front = writer.integers(f"{name}/front", [0] * axis + list(op.sizes))
        sizes = writer.add("Concat", [front, rest], f"{name}/shape", axis=0)
    writer.add("Reshape", [read, sizes], name)


def channel_shuffle(writer: Writer, op: ChannelShuffle, node: Node) -> None:
    channels = node.shape[0]
    order = [(c % op.groups) * (channels // op.groups) + c // op.groups for c in range(channels)]
    writer.add("Gather", [*writer.reads(node), writer.integers(f"{node.name}/order", order)], node.name, axis=1)


def upsample(writer: Writer, op: Upsample, node: Node) -> None:
    """`Resize`, with the coordinates that torch uses for each mode."""
    name, (shape,), spatial = node.name, node.input_shapes, range(1, len(node.shape))
    factors = _factors(op, shape, node.shape)
    exact = all(float(factor).is_integer() for factor in factors)
    computed = writer.dynamic_size and op.scale_factor is None
    if op.mode.startswith("nearest") and (computed or not (exact or writer.dynamic_size)):
        read = writer.reads(node)[0]  # runtimes round fractions in ways of their own: what each output copies is told
        for axis, window in zip(spatial, op.windows(shape), strict=True):
            assert isinstance(window, Resized)
            output = name if axis == spatial[-1] else f"{name}/axis{axis}"
            if computed:
                places = _computed_places(writer, op, read, axis + 1, window.out, output)
            else:
                places = writer.integers(f"{output}/places", [window.reads(i)[0] for i in range(window.out)])
            read = writer.add("Gather", [read, places], output, axis=axis + 1)
        return
    for factor in factors if writer.dynamic_size and op.scale_factor is not None else ():
        if not _rounds_alike(op, factor):
            raise UsageError(
                f"--size dynamic: `{name}` grows by {factor:g}, and runtimes round that otherwise than torch",
                hint="whole factors, halves and quarters are always exact",
            )
    if op.mode == "nearest":
        how = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
    elif op.mode == "nearest-exact":
        how = {"mode": "nearest", "coordinate_transformation_mode": "half_pixel", "nearest_mode": "round_prefer_ceil"}
    else:
        corners = "align_corners" if op.align_corners else "half_pixel"
        how = {"mode": "cubic" if op.mode == "bicubic" else "linear", "coordinate_transformation_mode": corners}
    inputs, axes = _target(writer, op, node, factors)
    writer.add("Resize", [writer.reads(node)[0], "", *inputs], name, cubic_coeff_a=-0.75, **how, **axes)


def _target(
    writer: Writer, op: Upsample, node: Node, factors: tuple[float, ...]
) -> tuple[list[str], dict[str, list[int]]]:
    """`Resize`'s inputs for factors, or for sizes: of the spatial axes from opset 18 on, before that of all axes."""
    name, (shape,) = node.name, node.input_shapes
    if op.scale_factor is not None:
        sizes = zip(shape[1:], node.shape[1:], factors, strict=True)
        return [writer.constant(f"{name}/scales", [1, 1, *(_scale(*size) for size in sizes)], np.float32)], {}
    wanted = writer.integers(f"{name}/sizes", node.shape[1:])
    if writer.opset >= 18:
        return ["", wanted], {"axes": list(range(2, len(node.shape) + 1))}
    whole = writer.add("Shape", writer.reads(node), f"{name}/whole")
    bounds = [writer.integers(f"{name}/{key}", [value]) for key, value in (("first", 0), ("spatial", 2))]
    front = writer.add("Slice", [whole, *bounds], f"{name}/front")
    return ["", writer.add("Concat", [front, wanted], f"{name}/target", axis=0)], {}


def _factors(op: Upsample, shape: Shape, out: Shape) -> tuple[float, ...]:
    """By how much each spatial axis grows. A factor that was given is not the ratio of the rounded sizes."""
    if op.scale_factor is None:
        return tuple(big / small for big, small in zip(out[1:], shape[1:], strict=True))
    return op.scale_factor if isinstance(op.scale_factor, tuple) else (op.scale_factor,) * (len(shape) - 1)


def _units(op: Upsample, out: int) -> NDArray[np.float32]:
    return np.arange(out, dtype=np.float32) + np.float32(0.5 if op.mode == "nearest-exact" else 0)


def _rounds_alike(op: Upsample, factor: float) -> bool:
    """Whether `Resize`, which takes the factor in float32, does what torch does, for up to 32,768 pixels.

    That is the size that comes out and, for the modes that copy, which input is copied.
    """
    sizes, scale = np.arange(2**15), np.float32(factor)
    alike = np.array_equal(np.floor(sizes.astype(np.float32) * scale), np.floor(sizes * factor))
    if not (alike and op.mode.startswith("nearest")):
        return alike
    units, half = _units(op, 2**15), np.float32(0.5 if op.mode == "nearest-exact" else 0)
    return np.array_equal(np.floor((units / scale - half) + half), np.floor(units * np.float32(1 / factor)))


def _computed_places(writer: Writer, op: Upsample, read: str, axis: int, out: int, output: str) -> str:
    """Which inputs are copied along an axis whose size only the image tells, as `Resized` has it."""
    whole = writer.add("Shape", [read], f"{output}/whole")
    size = writer.add("Gather", [whole, writer.constant(f"{output}/axis", axis, np.int64)], f"{output}/size", axis=0)
    given = writer.add("Cast", [size], f"{output}/given", to=TensorProto.FLOAT)
    step = writer.add("Div", [given, writer.constant(f"{output}/out", out, np.float32)], f"{output}/step")
    units = writer.constant(f"{output}/units", _units(op, out), np.float32)
    exact = writer.add("Mul", [units, step], f"{output}/exact")
    places = writer.add("Cast", [exact], f"{output}/floor", to=TensorProto.INT64)
    last = writer.add("Sub", [size, writer.constant(f"{output}/one", 1, np.int64)], f"{output}/last")
    return writer.add("Min", [places, last], f"{output}/places")


def _scale(size: int, out: int, factor: float) -> np.float32:
    """The factor in float32, as close as rounding lets `floor(size * factor)` be `out`."""
    scale = np.float32(factor)
    while np.floor(np.float32(size) * scale) < out:
        scale = np.nextafter(scale, np.float32(np.inf))
    return scale
