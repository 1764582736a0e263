"""What torch calls the arguments that `ops/torch_call.py` gives by position. One exhaustive `match`."""

from __future__ import annotations

from typing import Final, assert_never

from cnnspec.ops import Add, AnyOp, Concat, Div, Mul, Sub, activation, norm
from cnnspec.ops.affine import Affine
from cnnspec.ops.conv import Conv, ConvTranspose
from cnnspec.ops.dropout import Dropout, StochasticDepth
from cnnspec.ops.linear import Linear
from cnnspec.ops.pad import CircularPad, ConstantPad, ReflectionPad, ReplicationPad, ZeroPad
from cnnspec.ops.pool import AdaptiveAvgPool, AdaptiveMaxPool, AvgPool, BlurPool, LPPool, MaxPool
from cnnspec.ops.reduce import Amax, Amin, Mean, Sum
from cnnspec.ops.resample import PixelShuffle, Upsample
from cnnspec.ops.reshape import ChannelShuffle, Flatten, Identity, Permute, Slice
from cnnspec.ops.scale import Bias, Scale
from cnnspec.ops.std_conv import ScaledStdConv, StdConv
from cnnspec.ops.unflatten import Reshape, Unflatten

__all__ = ["DERIVED", "has_no_default", "torch_names"]

# Those that torch wants and the language infers from the input
DERIVED: Final = frozenset(
    {"in_channels", "in_features", "num_features", "num_channels", "normalized_shape", "channels"}
)


def has_no_default(op: AnyOp) -> bool:
    """Whether torch's own default is another one, so that what is given by name is written always: an axis that it
    would choose by the number of axes."""
    return isinstance(op, activation.AbstractSoftmax)


def torch_names(op: AnyOp) -> tuple[str, ...]:
    """The names, in order; for a function those of the operator's own arguments."""
    match op:
        case Conv() | StdConv() | ScaledStdConv() | ConvTranspose():
            return ("in_channels", "out_channels", "kernel_size")
        case MaxPool() | AvgPool():
            return ("kernel_size", "stride")
        case LPPool():
            return ("norm_type", "kernel_size", "stride")
        case AdaptiveAvgPool() | AdaptiveMaxPool():
            return ("output_size",)
        case BlurPool() | norm.GRN():
            return ("channels",)
        case norm.BatchNorm() | norm.InstanceNorm():
            return ("num_features",)
        case norm.GroupNorm():
            return ("num_groups", "num_channels")
        case norm.LayerNorm() | norm.LayerNorm2d():
            return ("normalized_shape",)
        case norm.LocalResponseNorm():
            return ("size",)
        case Linear():
            return ("in_features", "out_features")
        case Scale() | Bias():
            return ("shape", "init")
        case Affine():
            return ("scale",) if op.shift == 0 else ("shift",) if op.scale == 1 else ("scale", "shift")
        case Mean() | Sum() | Amax() | Amin():
            return ("dim",)
        case Flatten():
            return ("start_dim", "end_dim")
        case Unflatten():
            return ("dim", "unflattened_size")
        case Reshape():
            return ("shape",)
        case Permute():
            return ("dims",)
        case Slice():
            return ("item",)
        case ChannelShuffle():
            return ("groups",)
        case ZeroPad() | ReflectionPad() | ReplicationPad() | CircularPad():
            return ("padding",)
        case ConstantPad():
            return ("padding", "value")
        case PixelShuffle():
            return ("upscale_factor",)
        case Dropout():
            return ("p",)
        case StochasticDepth():
            return ("p", "mode")
        case activation.LeakyReLU():
            return ("negative_slope",)
        case activation.PReLU():
            return ("num_parameters", "init")
        case activation.ELU():
            return ("alpha",)
        case activation.Hardtanh():
            return ("min_val", "max_val")
        case activation.Softplus():
            return ("beta", "threshold")
        case Concat():
            return ("dim",)
        case (
            Upsample()
            | Identity()
            | Add()
            | Sub()
            | Mul()
            | Div()
            | activation.ReLU()
            | activation.ReLU6()
            | activation.SiLU()
            | activation.GELU()
            | activation.Mish()
            | activation.Hardswish()
            | activation.Hardsigmoid()
            | activation.Tanh()
            | activation.Sigmoid()
            | activation.Softmax()
            | activation.LogSoftmax()
        ):
            return ()
        case _:
            assert_never(op)
