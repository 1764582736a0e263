"""What torch holds besides a layer's output: for the backward pass, and while the layer runs.

These are facts about torch (training mode, CPU kernels, float32), found by watching its saved tensors and its live
tensors operator by operator; the tests compare every operator and the whole zoo with torch again. Parameters and
buffers are not counted.
"""

from __future__ import annotations

from math import prod
from typing import NamedTuple, assert_never

from cnnspec.ops import AnyOp, Shape, activation, norm
from cnnspec.ops.conv import Conv, ConvTranspose
from cnnspec.ops.dropout import Dropout, StochasticDepth
from cnnspec.ops.linear import Linear
from cnnspec.ops.merge import Add, Concat, Mul
from cnnspec.ops.pad import ZeroPad
from cnnspec.ops.pool import AdaptiveAvgPool, AdaptiveMaxPool, AvgPool, LPPool, MaxPool
from cnnspec.ops.resample import PixelShuffle, Upsample
from cnnspec.ops.reshape import ChannelShuffle, Flatten, Identity, Permute, Slice
from cnnspec.ops.scale import Scale
from cnnspec.ops.window import Sliding

__all__ = ["Kept", "is_view", "kept", "scratch_bytes"]

FLOAT, INT64 = 4, 8


class Kept(NamedTuple):
    """What autograd keeps of one layer."""

    inputs: bool = False  # the tensors that it reads
    output: bool = False
    floats: int = 0  # tensors of its own: numbers per sample
    int64s: int = 0  # indices per sample
    fixed: int = 0  # numbers whatever the batch


NOTHING, INPUT, OUTPUT = Kept(), Kept(inputs=True), Kept(output=True)


def kept(op: AnyOp, inputs: tuple[Shape, ...], out: Shape) -> Kept:
    """What autograd keeps of a layer, where its inputs need gradients."""
    shape = inputs[0]
    match op:
        case Conv():
            padded = _padded(op, shape)
            return Kept(floats=prod(padded)) if padded else INPUT
        case ConvTranspose() | Linear() | Scale() | AvgPool():
            return INPUT
        case MaxPool() | AdaptiveMaxPool():
            return Kept(inputs=True, int64s=prod(out))
        case AdaptiveAvgPool():
            return NOTHING if all(size == 1 for size in out[1:]) else INPUT
        case LPPool():
            return Kept(inputs=True, floats=prod(shape) + 4 * prod(out))
        case norm.BatchNorm():
            return Kept(inputs=True, fixed=2 * shape[0])
        case norm.InstanceNorm():
            return Kept(inputs=True, floats=shape[0] * (2 + op.affine + 2 * op.track_running_stats))
        case norm.GroupNorm():
            return Kept(inputs=True, floats=2 * op.num_groups)
        case norm.LayerNorm():
            return Kept(inputs=True, floats=2 * prod(shape[:-1]))
        case norm.LayerNorm2d():
            return Kept(inputs=True, floats=2 * prod(shape[1:]))
        case norm.LocalResponseNorm():
            return Kept(inputs=True, floats=(shape[0] + op.size - 1) * prod(shape[1:]) + 2 * prod(shape))
        case Dropout():
            return Kept(floats=prod(shape)) if op.p > 0 else NOTHING
        case StochasticDepth():
            return NOTHING if op.p == 0 else Kept(floats=1) if op.mode == "row" else Kept(fixed=1)
        case Mul():
            return INPUT  # of each product the factors, where the other one needs a gradient: see `_factors`
        case activation.ReLU() | activation.Tanh() | activation.Sigmoid() | activation.Softmax():
            return OUTPUT
        case activation.LeakyReLU() | activation.ELU():
            return INPUT  # in place, it keeps its output, which has the same storage
        case (
            activation.ReLU6()
            | activation.SiLU()
            | activation.Mish()
            | activation.Hardswish()
            | activation.Hardsigmoid()
            | activation.Hardtanh()
        ):
            return Kept(floats=prod(shape)) if op.inplace else INPUT  # in place, it keeps a copy
        case activation.GELU() | activation.Softplus() | activation.PReLU():
            return INPUT
        case Add() | Concat() | Flatten() | Identity() | Permute() | Slice() | ChannelShuffle() | ZeroPad():
            return NOTHING
        case Upsample() | PixelShuffle():
            return NOTHING
        case _:
            assert_never(op)


def scratch_bytes(op: AnyOp, inputs: tuple[Shape, ...], out: Shape, width: int = FLOAT) -> int:
    """Bytes per sample of the tensors that live only while the layer runs at inference, beside input and output.

    `width` is the size of an activation in bytes.
    """
    shape = inputs[0]
    match op:
        case Conv() if padded := _padded(op, shape):
            return width * prod(padded)
        case MaxPool() | AdaptiveMaxPool():  # their indices, made and dropped
            return INT64 * prod(out)
        case LPPool():
            return width * max(prod(shape), 3 * prod(out))  # the powers; then the mean, its sign and its size
        case norm.GroupNorm():
            return width * 2 * op.num_groups
        case norm.LayerNorm():
            return width * 2 * prod(shape[:-1])
        case norm.LayerNorm2d():
            return width * 2 * prod(shape[1:])
        case norm.InstanceNorm():
            return width * shape[0] * (2 + 2 * op.affine + 2 * op.track_running_stats)
        case norm.LocalResponseNorm():
            return width * 2 * prod(shape)
        case _:
            return 0


def is_view(op: AnyOp, *, training: bool) -> bool:
    """Whether the output has the storage of the input: views, and operators in place."""
    match op:
        case Identity() | Flatten() | Permute() | Slice():
            return True
        case Dropout():
            return not training or op.p == 0 or op.inplace
        case StochasticDepth():
            return not training or op.p == 0
        case _:
            return "inplace" in type(op).model_fields and bool(getattr(op, "inplace", False))


def _padded(op: Conv, shape: Shape) -> Shape | None:
    """The copy of the input that torch makes for `same` where one side needs a pixel more than the other."""
    odd = [isinstance(window, Sliding) and window.before != window.after for window in op.windows(shape)]
    return (shape[0], *(size + more for size, more in zip(shape[1:], odd, strict=True))) if any(odd) else None
