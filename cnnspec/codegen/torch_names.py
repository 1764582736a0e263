"""What torch calls the arguments that `ops/torch_call.py` gives by position. One exhaustive `match`."""

from __future__ import annotations

from typing import Final, assert_never

from cnnspec.ops import Add, AnyOp, Concat, Mul, activation, norm
from cnnspec.ops.conv import Conv, ConvTranspose
from cnnspec.ops.dropout import Dropout, StochasticDepth
from cnnspec.ops.linear import Linear
from cnnspec.ops.pad import ZeroPad
from cnnspec.ops.pool import AdaptiveAvgPool, AdaptiveMaxPool, AvgPool, LPPool, MaxPool
from cnnspec.ops.resample import PixelShuffle, Upsample
from cnnspec.ops.reshape import ChannelShuffle, Flatten, Identity, Permute, Slice
from cnnspec.ops.scale import Scale

__all__ = ["DERIVED", "torch_names"]

# Those that torch wants and the language infers from the input
DERIVED: Final = frozenset({"in_channels", "in_features", "num_features", "num_channels", "normalized_shape"})


def torch_names(op: AnyOp) -> tuple[str, ...]:
    """The names, in order; for a function those of the operator's own arguments."""
    match op:
        case Conv() | ConvTranspose():
            return ("in_channels", "out_channels", "kernel_size")
        case MaxPool() | AvgPool():
            return ("kernel_size", "stride")
        case LPPool():
            return ("norm_type", "kernel_size", "stride")
        case AdaptiveAvgPool() | AdaptiveMaxPool():
            return ("output_size",)
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
        case Scale():
            return ("shape", "init")
        case Flatten():
            return ("start_dim", "end_dim")
        case Permute():
            return ("dims",)
        case Slice():
            return ("item",)
        case ChannelShuffle():
            return ("groups",)
        case ZeroPad():
            return ("padding",)
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
            | Mul()
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
        ):
            return ()
        case _:
            assert_never(op)
