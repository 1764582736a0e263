"""The operators of the language. `AnyOp` is the only list of them; everything else is derived from it."""

from functools import cache
from typing import Any, Final, get_args

from cnnspec.ops.activation import (
    ELU,
    GELU,
    Hardsigmoid,
    Hardswish,
    Hardtanh,
    LeakyReLU,
    LogSoftmax,
    Mish,
    PReLU,
    ReLU,
    ReLU6,
    Sigmoid,
    SiLU,
    Softmax,
    Softplus,
    Tanh,
)
from cnnspec.ops.affine import Affine
from cnnspec.ops.arguments import ArgumentError
from cnnspec.ops.base import AXES, AbstractOp, AbstractSpatialOp, Shape, show_shape
from cnnspec.ops.conv import Conv, ConvTranspose
from cnnspec.ops.dropout import Dropout, StochasticDepth
from cnnspec.ops.linear import Linear
from cnnspec.ops.merge import Add, Concat, Div, Mul, Sub
from cnnspec.ops.norm import GRN, BatchNorm, GroupNorm, InstanceNorm, LayerNorm, LayerNorm2d, LocalResponseNorm
from cnnspec.ops.pad import CircularPad, ConstantPad, ReflectionPad, ReplicationPad, ZeroPad
from cnnspec.ops.pool import AdaptiveAvgPool, AdaptiveMaxPool, AvgPool, BlurPool, LPPool, MaxPool
from cnnspec.ops.reduce import Amax, Amin, Mean, Sum
from cnnspec.ops.resample import PixelShuffle, Upsample
from cnnspec.ops.reshape import ChannelShuffle, Flatten, Identity, Permute, Slice
from cnnspec.ops.scale import Bias, Scale
from cnnspec.ops.std_conv import ScaledStdConv, StdConv
from cnnspec.ops.unflatten import Reshape, Unflatten

__all__ = [
    "AXES",
    "JOINS",
    "REDUCTIONS",
    "AbstractOp",
    "AbstractSpatialOp",
    "Add",
    "AnyOp",
    "ArgumentError",
    "Concat",
    "Div",
    "Mul",
    "Shape",
    "Sub",
    "make_op",
    "operators",
    "show_shape",
]

AnyOp = (
    Conv
    | ConvTranspose
    | StdConv
    | ScaledStdConv
    | MaxPool
    | AvgPool
    | LPPool
    | BlurPool
    | AdaptiveAvgPool
    | AdaptiveMaxPool
    | BatchNorm
    | InstanceNorm
    | GroupNorm
    | LayerNorm
    | LayerNorm2d
    | LocalResponseNorm
    | GRN
    | Linear
    | Scale
    | Bias
    | Affine
    | Mean
    | Sum
    | Amax
    | Amin
    | Flatten
    | Unflatten
    | Reshape
    | Permute
    | ChannelShuffle
    | Slice
    | ZeroPad
    | ConstantPad
    | ReflectionPad
    | ReplicationPad
    | CircularPad
    | Upsample
    | PixelShuffle
    | Identity
    | Dropout
    | StochasticDepth
    | ReLU
    | ReLU6
    | LeakyReLU
    | PReLU
    | ELU
    | SiLU
    | GELU
    | Mish
    | Hardswish
    | Hardsigmoid
    | Hardtanh
    | Softplus
    | Tanh
    | Sigmoid
    | Softmax
    | LogSoftmax
    | Add
    | Sub
    | Mul
    | Div
    | Concat
)

JOINS: Final = (Add, Sub, Mul, Div, Concat)
REDUCTIONS: Final = (Mean, Sum, Amax, Amin)


@cache
def operators() -> dict[str, tuple[type[AnyOp], int | None]]:
    """Every name a spec can call: `Conv2d` -> (Conv, 2), `Linear` -> (Linear, None)."""
    by_name: dict[str, tuple[type[AnyOp], int | None]] = {}
    for op in get_args(AnyOp):
        for rank in op.ranks:
            by_name[f"{op.__name__}{rank}d"] = (op, rank)
        if not op.ranks:
            by_name[op.__name__] = (op, None)
    return by_name


def make_op(name: str, **arguments: Any) -> AnyOp:
    """The operator called `name` with these arguments.

    Raises KeyError for an unknown name and ArgumentError for arguments that do not fit.
    """
    op, rank = operators()[name]
    ranked: dict[str, Any] = arguments if rank is None else {"rank": rank, **arguments}
    return op(**ranked)
