"""Which inputs a unit reads along one axis, in whole numbers: the rules of torch's documentation, and torch itself.

Nothing of what is under test is used. Sliding windows, transposed ones and adaptive pools are integer arithmetic. What
interpolation reads torch is asked: an input of ones at one index shows which outputs it reaches, for the nearest pixel
in the 32 bits that decide it. `reads(i)` is not clipped, and goes on beyond the axis in the same rhythm.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from math import ceil, floor

import torch
from torch.nn import functional

from cnnspec.graph import Node
from cnnspec.ops import REDUCTIONS, conv, merge, pad, pool, reshape, unflatten
from cnnspec.ops.linear import Linear
from cnnspec.ops.resample import PixelShuffle, Upsample

__all__ = ["NOISE", "SAME", "Taps", "clipped", "taps", "whole_axes"]


NOISE = 1e-12  # a weight below it is 0 but for rounding


@dataclass(frozen=True)
class Taps:
    """`reads(i + period)` is `reads(i)`, `advance` further on; an advance of 0 means that all units read the same."""

    reads: Callable[[int], Sequence[int]]
    period: int = 1
    advance: int = 1
    regular: bool = True  # translation-regular: the rhythm does not depend on the size of the axis

    @property
    def stride(self) -> Fraction:
        return Fraction(self.advance, self.period)


SAME = Taps(lambda i: (i,))


def _sliding(kernel: int, stride: int, dilation: int = 1, before: int = 0, regular: bool = True) -> Taps:
    def reads(i: int) -> range:
        return range(i * stride - before, i * stride - before + dilation * (kernel - 1) + 1, dilation)

    return Taps(reads, 1, stride, regular)


def _transposed(kernel: int, stride: int, dilation: int, padding: int) -> Taps:
    """Input `j` is written to `j*stride - padding + k*dilation`."""

    def reads(i: int) -> list[int]:
        at = [i + padding - k * dilation for k in range(kernel)]
        return [place // stride for place in at if place % stride == 0]

    return Taps(reads, stride, 1)


def _adaptive(size: int, out: int) -> Taps:
    step = Fraction(size, out)
    return Taps(lambda i: range(floor(i * step), ceil((i + 1) * step)), step.denominator, step.numerator, False)


@cache
def _reached(mode: str, align: bool | None, op_size: object, factor: object, shape: tuple[int, ...], axis: int) -> list:
    """For each output along an axis the inputs that have a part in it, by torch on the CPU."""
    count = shape[axis]
    exact = torch.float32 if mode.startswith("nearest") else torch.float64  # which weights are 0 depends on rounding
    ones = torch.zeros(1, count, *shape, dtype=exact)
    for index in range(count):
        ones[0, index].select(axis, index).fill_(1)
    y = functional.interpolate(ones, size=op_size, scale_factor=factor, mode=mode, align_corners=align)
    others = [other + 1 for other in range(len(shape)) if other != axis]
    seen = (y[0].abs() > NOISE).any(dim=others) if others else y[0].abs() > NOISE  # inputs by outputs
    return [tuple(seen[:, at].nonzero().flatten().tolist()) for at in range(seen.shape[1])]


def _beyond(mode: str, align: bool, step: Fraction, i: int) -> Sequence[int]:
    """What unit `i` would read with exact numbers on an axis without ends."""
    if mode == "nearest":
        return (floor(i * step),)
    if mode == "nearest-exact":
        return (floor((i + Fraction(1, 2)) * step),)
    at = i * step if align else (i + Fraction(1, 2)) * step - Fraction(1, 2)
    low = floor(at)
    if at == low:
        return (low,)
    return range(low - 1, low + 3) if mode == "bicubic" else (low, low + 1)


@cache
def _interpolated(op: Upsample, shape: tuple[int, ...], out: tuple[int, ...], axis: int) -> Taps:
    factor = op.scale_factor
    inside = _reached(op.mode, op.align_corners, op.size, factor, shape, axis)
    size, units, align = shape[axis], out[axis], bool(op.align_corners)
    if align:
        steps = [Fraction(size - 1, max(1, units - 1))]
    else:
        steps = [Fraction(size, units)]
        if factor is not None:
            given = factor[axis] if isinstance(factor, tuple) else factor
            steps.insert(0, 1 / Fraction(given).limit_denominator(4096))

    if size == units and (op.mode.endswith("linear") or (op.mode == "nearest" and len(shape) == 2)):
        steps.insert(0, Fraction(1))  # torch copies such an axis

    def agrees(step: Fraction, i: int) -> bool:
        return {tap for tap in _beyond(op.mode, align, step, i) if 0 <= tap < size} == set(inside[i])

    step = next((step for step in steps if all(agrees(step, i) for i in range(units))), None)
    exact = step is not None
    kept = step if step is not None else steps[0]

    def reads(i: int) -> Sequence[int]:
        if exact or not 0 <= i < units or agrees(kept, i):
            return _beyond(op.mode, align, kept, i)
        return inside[i]  # torch rounds

    regular = exact and not align and factor is not None and kept == steps[0] != 1
    return Taps(reads, kept.denominator, kept.numerator, regular)


def whole_axes(node: Node) -> set[int]:
    """The axes of the input tensor (0 is the channels) that each unit reads whole, if they are longer than 1."""
    op, shape = node.op, node.input_shapes[0]
    match type(op).__name__:
        case "Conv" | "StdConv" | "ScaledStdConv" | "ConvTranspose" | "LayerNorm2d":
            axes = {0}
        case "Linear" | "LayerNorm":
            axes = {len(shape) - 1}
        case "Softmax" | "LogSoftmax":
            axes = {op.dim - 1 if op.dim > 0 else len(shape) + op.dim}  # type: ignore[union-attr]
        case "AdaptiveAvgPool" | "AdaptiveMaxPool":
            axes = {axis for axis in range(1, len(shape)) if node.shape[axis] == 1}
        case "Mean" | "Sum" | "Amax" | "Amin":
            axes = {(dim - 1) % (len(shape) + 1) for dim in op.dim}  # type: ignore[union-attr]
        case _:
            axes = set()
    return {axis for axis in axes if shape[axis] > 1}


def taps(node: Node, axis: int, read: int = 0) -> Taps:
    """What a unit of the node reads along an axis of its input tensor; 0 is the channels, without their groups."""
    op, shape, at = node.op, node.input_shapes[read], axis - 1
    size = shape[axis]
    if axis in whole_axes(node):
        return Taps(lambda i: range(size), 1, 0)
    if isinstance(op, (reshape.Flatten, reshape.Permute, unflatten.Reshape, unflatten.Unflatten, *REDUCTIONS)):
        return SAME  # a unit is where it was, on an axis that moved
    if size == 1 < node.shape[axis] and (axis == 0 or isinstance(op, (Linear, *merge.ELEMENTWISE))):
        return Taps(lambda i: (0,), 1, 0)  # repeated
    if axis == 0:
        return SAME
    match op:
        case conv.AbstractSlidingConv():
            kernel, dilation = op.kernel_size[at], op.dilation[at]
            if op.padding == "same":
                return _sliding(kernel, op.stride[at], dilation, dilation * (kernel - 1) // 2)
            return _sliding(kernel, op.stride[at], dilation, 0 if isinstance(op.padding, str) else op.padding[at])
        case conv.ConvTranspose():
            return _transposed(op.kernel_size[at], op.stride[at], op.dilation[at], op.padding[at])
        case pool.MaxPool():
            return _sliding(op.kernel_size[at], (op.stride or op.kernel_size)[at], op.dilation[at], op.padding[at])
        case pool.AvgPool():
            return _sliding(op.kernel_size[at], (op.stride or op.kernel_size)[at], 1, op.padding[at])
        case pool.BlurPool():
            return _sliding(op.filt_size, op.stride, 1, (op.filt_size + op.stride - 2) // 2)
        case pool.LPPool():
            return _sliding(op.kernel_size[at], (op.stride or op.kernel_size)[at])
        case pool.AdaptiveAvgPool() | pool.AdaptiveMaxPool():
            return SAME if node.shape[axis] == size else _adaptive(size, node.shape[axis])
        case pad.ZeroPad() | pad.ConstantPad() | pad.ReflectionPad() | pad.ReplicationPad() | pad.CircularPad():
            return _sliding(1, 1, 1, op.padding[2 * (op.rank - 1 - at)])
        case reshape.Slice():
            start = op.bounds(size)[0] if op.axis(shape) == axis else 0
            return _sliding(1, 1, 1, -start, regular=op.start >= 0)
        case Upsample():
            return _interpolated(op, shape[1:], node.shape[1:], at)
        case PixelShuffle():
            factor = op.upscale_factor
            return Taps(lambda i: (i // factor,), factor, 1)
        case _:
            return SAME


def clipped(found: Taps, size: int, units: int) -> list[list[int]]:
    """For each unit the inputs that exist."""
    return [[tap for tap in found.reads(i) if 0 <= tap < size] for i in range(units)]
