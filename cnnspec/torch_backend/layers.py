"""What each operator is in torch: one exhaustive `match`, which the type checker holds equal to the operators' list.

An operator is a module, or a function of the tensors that it reads, or a parameter that multiplies what it reads.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from functools import partial, reduce
from typing import Any, Final, TypeAlias, assert_never

import torch
from torch import nn

from cnnspec import ops
from cnnspec.ops import AnyOp, Shape, activation, norm
from cnnspec.ops.conv import Conv, ConvTranspose
from cnnspec.ops.dropout import Dropout, StochasticDepth
from cnnspec.ops.linear import Linear
from cnnspec.ops.pad import ZeroPad
from cnnspec.ops.pool import AdaptiveAvgPool, AdaptiveMaxPool, AvgPool, LPPool, MaxPool
from cnnspec.ops.resample import PixelShuffle, Upsample
from cnnspec.ops.reshape import ChannelShuffle, Flatten, Identity, Permute, Slice
from cnnspec.ops.scale import Scale
from cnnspec.torch_backend import modules

__all__ = ["Function", "Layer", "layer"]

Function: TypeAlias = Callable[..., Any]  # of tensors, or of the fx proxies that stand for them
Layer: TypeAlias = nn.Module | nn.Parameter | Function

# For an operator with a sibling per number of spatial dimensions: the classes for 1, 2 and 3.
CONV: Final = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
CONV_TRANSPOSE: Final = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
MAX_POOL: Final = (nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d)
AVG_POOL: Final = (nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d)
ADAPTIVE_AVG_POOL: Final = (nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d, nn.AdaptiveAvgPool3d)
ADAPTIVE_MAX_POOL: Final = (nn.AdaptiveMaxPool1d, nn.AdaptiveMaxPool2d, nn.AdaptiveMaxPool3d)
BATCH_NORM: Final = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
INSTANCE_NORM: Final = (nn.InstanceNorm1d, nn.InstanceNorm2d, nn.InstanceNorm3d)
LP_POOL: Final = (nn.LPPool1d, nn.LPPool2d, nn.LPPool3d)
ZERO_PAD: Final = (nn.ZeroPad1d, nn.ZeroPad2d, nn.ZeroPad3d)


def layer(op: AnyOp, *inputs: Shape) -> Layer:
    """The torch form of `op` for these input shapes (without the batch axis), freshly initialised as torch does."""
    match op:
        case Conv():
            conv: Callable[..., nn.Module] = CONV[op.rank - 1]
            return conv(
                inputs[0][0],
                op.out_channels,
                op.kernel_size,
                stride=op.stride,
                padding=op.padding,
                dilation=op.dilation,
                groups=op.groups,
                bias=op.bias,
                padding_mode=op.padding_mode,
            )
        case ConvTranspose():
            transposed: Callable[..., nn.Module] = CONV_TRANSPOSE[op.rank - 1]
            return transposed(
                inputs[0][0],
                op.out_channels,
                op.kernel_size,
                stride=op.stride,
                padding=op.padding,
                output_padding=op.output_padding,
                groups=op.groups,
                bias=op.bias,
                dilation=op.dilation,
                padding_mode=op.padding_mode,
            )
        case MaxPool():
            return MAX_POOL[op.rank - 1](
                op.kernel_size, op.strides, padding=op.padding, dilation=op.dilation, ceil_mode=op.ceil_mode
            )
        case AvgPool():
            average: Callable[..., nn.Module] = AVG_POOL[op.rank - 1]
            only_wide = {} if op.divisor_override is None else {"divisor_override": op.divisor_override}
            return average(
                op.kernel_size,
                op.strides,
                padding=op.padding,
                ceil_mode=op.ceil_mode,
                count_include_pad=op.count_include_pad,
                **only_wide,
            )
        case AdaptiveAvgPool():
            return ADAPTIVE_AVG_POOL[op.rank - 1](op.out_shape(*inputs)[1:])
        case AdaptiveMaxPool():
            return ADAPTIVE_MAX_POOL[op.rank - 1](op.out_shape(*inputs)[1:])
        case LPPool():
            power: Callable[..., nn.Module] = LP_POOL[op.rank - 1]
            sizes = (op.kernel_size, op.stride or op.kernel_size)
            kernel, stride = (each[0] if op.rank == 1 else each for each in sizes)  # LPPool1d takes no tuple
            return power(op.norm_type, kernel, stride, ceil_mode=op.ceil_mode)
        case norm.BatchNorm() | norm.InstanceNorm():
            kinds: Any = BATCH_NORM if isinstance(op, norm.BatchNorm) else INSTANCE_NORM
            made: nn.Module = kinds[op.rank - 1](
                inputs[0][0],
                eps=op.eps,
                momentum=op.momentum,
                affine=op.affine,
                track_running_stats=op.track_running_stats,
            )
            return made
        case norm.GroupNorm():
            return nn.GroupNorm(op.num_groups, inputs[0][0], eps=op.eps, affine=op.affine)
        case norm.LayerNorm():
            return nn.LayerNorm(inputs[0][-1], op.eps, op.elementwise_affine, op.bias)
        case norm.LayerNorm2d():
            return modules.LayerNorm2d(inputs[0][0], op.eps, op.elementwise_affine, op.bias)
        case norm.LocalResponseNorm():
            kind = modules.LocalResponseNorm3d if len(inputs[0]) > 3 else nn.LocalResponseNorm
            return kind(op.size, op.alpha, op.beta, op.k)
        case Linear():
            return nn.Linear(inputs[0][-1], op.out_features, bias=op.bias)
        case Scale():
            (factor,) = op.parameter_shapes(*inputs).values()
            return nn.Parameter(torch.full(factor, op.init))
        case Flatten():
            return nn.Flatten(op.start_dim, op.end_dim)
        case Permute():
            return partial(_permuted, op.dims)
        case ChannelShuffle():
            return nn.ChannelShuffle(op.groups)
        case Slice():
            return partial(_sliced, *op.bounds(inputs[0][0]))
        case ZeroPad():
            pad: Callable[..., nn.Module] = ZERO_PAD[op.rank - 1]
            return pad(op.padding)
        case Upsample():
            return nn.Upsample(op.size, op.scale_factor, op.mode, op.align_corners)
        case PixelShuffle():
            return nn.PixelShuffle(op.upscale_factor)
        case Identity():
            return nn.Identity()
        case Dropout():
            return nn.Dropout(op.p, inplace=op.inplace)
        case StochasticDepth():
            return modules.StochasticDepth(op.p, op.mode)
        case activation.ReLU():
            return nn.ReLU(inplace=op.inplace)
        case activation.ReLU6():
            return nn.ReLU6(inplace=op.inplace)
        case activation.LeakyReLU():
            return nn.LeakyReLU(op.negative_slope, inplace=op.inplace)
        case activation.PReLU():
            return nn.PReLU(op.num_parameters, op.init)
        case activation.ELU():
            return nn.ELU(op.alpha, inplace=op.inplace)
        case activation.SiLU():
            return nn.SiLU(inplace=op.inplace)
        case activation.GELU():
            return nn.GELU(approximate=op.approximate)
        case activation.Mish():
            return nn.Mish(inplace=op.inplace)
        case activation.Hardswish():
            return nn.Hardswish(inplace=op.inplace)
        case activation.Hardsigmoid():
            return nn.Hardsigmoid(inplace=op.inplace)
        case activation.Hardtanh():
            return nn.Hardtanh(op.min_val, op.max_val, inplace=op.inplace)
        case activation.Softplus():
            return nn.Softplus(op.beta, op.threshold)
        case activation.Tanh():
            return nn.Tanh()
        case activation.Sigmoid():
            return nn.Sigmoid()
        case activation.Softmax():
            return nn.Softmax(dim=op.dim)
        case ops.Add():
            return partial(_joined, operator.add)
        case ops.Mul():
            return partial(_joined, operator.mul)
        case ops.Concat():
            return _concat
        case _:
            assert_never(op)


def _joined(join: Callable[[Any, Any], Any], *reads: Any) -> Any:
    return reduce(join, reads)


def _concat(*reads: Any) -> Any:
    return torch.cat(reads, 1)


def _permuted(dims: tuple[int, ...], read: Any) -> Any:
    return torch.permute(read, dims)


def _sliced(start: int, end: int, read: Any) -> Any:
    return read[:, start:end]
