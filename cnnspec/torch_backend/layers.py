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
from cnnspec.ops import AnyOp, Shape
from cnnspec.ops.activation import GELU, Dropout, LeakyReLU, ReLU, Sigmoid, SiLU, Softmax, Tanh
from cnnspec.ops.conv import Conv, ConvTranspose
from cnnspec.ops.linear import Linear
from cnnspec.ops.norm import BatchNorm
from cnnspec.ops.pool import AdaptiveAvgPool, AdaptiveMaxPool, AvgPool, MaxPool
from cnnspec.ops.reshape import Flatten, Identity

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
        case BatchNorm():
            return BATCH_NORM[op.rank - 1](
                inputs[0][0],
                eps=op.eps,
                momentum=op.momentum,
                affine=op.affine,
                track_running_stats=op.track_running_stats,
            )
        case Linear():
            return nn.Linear(inputs[0][-1], op.out_features, bias=op.bias)
        case Flatten():
            return nn.Flatten(op.start_dim, op.end_dim)
        case Identity():
            return nn.Identity()
        case Dropout():
            return nn.Dropout(op.p, inplace=op.inplace)
        case ReLU():
            return nn.ReLU(inplace=op.inplace)
        case LeakyReLU():
            return nn.LeakyReLU(op.negative_slope, inplace=op.inplace)
        case SiLU():
            return nn.SiLU(inplace=op.inplace)
        case GELU():
            return nn.GELU(approximate=op.approximate)
        case Tanh():
            return nn.Tanh()
        case Sigmoid():
            return nn.Sigmoid()
        case Softmax():
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
