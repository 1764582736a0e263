"""What each operator is in torch, as data: the name of what is called, and with what. One exhaustive `match`.

`torch_backend` builds from it; nothing here needs torch, so that source code can be written without it too.
"""

from collections.abc import Mapping
from math import isfinite
from types import MappingProxyType
from typing import Any, Final, Literal, NamedTuple, TypeAlias, assert_never

from cnnspec.ops import Add, AnyOp, Concat, Div, Mul, Shape, Sub, activation, norm
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

__all__ = ["Kind", "TorchCall", "spelled", "torch_call"]

Kind: TypeAlias = Literal["module", "function", "reads", "fold", "factor", "term"]

ALL: Final = slice(None)


class TorchCall(NamedTuple):
    """`name(*arguments, **named)`, where `name` is `nn.Conv2d`, `torch.cat`, `operator.add`, or without a dot a module
    of `torch_backend.modules`, which torch itself does not have.

    The kind says what the reads have to do with it:
    - module: it makes a module, which is called with them;
    - function: it is called with the read before its arguments;
    - reads: with the list of reads before its arguments;
    - fold: with two of them, then with the result and the next;
    - factor: it makes a tensor, which is a parameter of its own and multiplies the read;
    - term: it makes such a parameter, which is added to the read.
    """

    name: str
    arguments: tuple[Any, ...] = ()
    named: Mapping[str, Any] = MappingProxyType({})
    kind: Kind = "module"


def torch_call(op: AnyOp, *inputs: Shape) -> TorchCall:
    """The torch form of `op` for these input shapes (without the batch axis)."""
    shape = inputs[0]
    match op:
        case Conv():
            named = _named(op, "stride", "padding", "dilation", "groups", "bias", "padding_mode")
            return TorchCall(f"nn.{op.op_name}", (shape[0], op.out_channels, op.kernel_size), named)
        case StdConv() | ScaledStdConv():
            named = _named(op, "stride", "padding", "dilation", "groups", "bias", "eps")
            if isinstance(op, ScaledStdConv):
                named |= _named(op, "gamma", "gain_init")
            return TorchCall(op.op_name, (shape[0], op.out_channels, op.kernel_size), named)
        case ConvTranspose():
            named = _named(op, "stride", "padding", "output_padding", "groups", "bias", "dilation", "padding_mode")
            return TorchCall(f"nn.{op.op_name}", (shape[0], op.out_channels, op.kernel_size), named)
        case MaxPool():
            named = _named(op, "padding", "dilation", "ceil_mode")
            return TorchCall(f"nn.{op.op_name}", (op.kernel_size, op.strides), named)
        case AvgPool():
            named = _named(op, "padding", "ceil_mode", "count_include_pad")
            if op.divisor_override is not None:  # which AvgPool1d does not have
                named["divisor_override"] = op.divisor_override
            return TorchCall(f"nn.{op.op_name}", (op.kernel_size, op.strides), named)
        case AdaptiveAvgPool() | AdaptiveMaxPool():
            return TorchCall(f"nn.{op.op_name}", (op.out_shape(*inputs)[1:],))
        case LPPool():
            sizes = (op.kernel_size, op.stride or op.kernel_size)
            kernel, stride = (each[0] if op.rank == 1 else each for each in sizes)  # LPPool1d takes no tuple
            return TorchCall(f"nn.{op.op_name}", (op.norm_type, kernel, stride), _named(op, "ceil_mode"))
        case BlurPool():
            return TorchCall("BlurPool2d", shape[:1], _named(op, "filt_size", "stride"))
        case norm.GRN():
            return TorchCall("GRN", (shape[op.axis(shape)],), _named(op, "eps", "dim"))
        case norm.BatchNorm() | norm.InstanceNorm():
            named = _named(op, "eps", "momentum", "affine", "track_running_stats")
            return TorchCall(f"nn.{op.op_name}", shape[:1], named)
        case norm.GroupNorm():
            return TorchCall("nn.GroupNorm", (op.num_groups, shape[0]), _named(op, "eps", "affine"))
        case norm.LayerNorm():
            return TorchCall("nn.LayerNorm", shape[-1:], _named(op, "eps", "elementwise_affine", "bias"))
        case norm.LayerNorm2d():
            return TorchCall("LayerNorm2d", shape[:1], _named(op, "eps", "elementwise_affine", "bias"))
        case norm.LocalResponseNorm():
            name = "LocalResponseNorm3d" if len(shape) > 3 else "nn.LocalResponseNorm"
            return TorchCall(name, (op.size,), _named(op, "alpha", "beta", "k"))
        case Linear():
            return TorchCall("nn.Linear", (shape[-1], op.out_features), _named(op, "bias"))
        case Scale() | Bias():
            (parameter,) = op.parameter_shapes(*inputs).values()
            return TorchCall("torch.full", (parameter, op.init), kind="factor" if isinstance(op, Scale) else "term")
        case Affine():
            if op.shift == 0:
                return TorchCall("operator.mul", (op.scale,), kind="function")
            if op.scale == 1:
                return TorchCall("operator.add", (op.shift,), kind="function")
            return TorchCall("Affine", (op.scale, op.shift))
        case Mean() | Sum() | Amax() | Amin():
            dims = op.dim[0] if isinstance(op.dim, tuple) and len(op.dim) == 1 else op.dim
            named = {"keepdim": True} if op.keepdim else {}
            return TorchCall(f"torch.{op.op_name.lower()}", (dims,), named, kind="function")
        case Flatten():
            return TorchCall("nn.Flatten", (op.start_dim, op.end_dim))
        case Unflatten():
            return TorchCall("nn.Unflatten", (op.dim, op.sizes))
        case Reshape():
            return TorchCall("Reshape", (op.sizes,))
        case Permute():
            return TorchCall("torch.permute", (op.dims,), kind="function")
        case ChannelShuffle():
            return TorchCall("nn.ChannelShuffle", (op.groups,))
        case Slice():
            axis = op.axis(shape)
            start, end = op.bounds(shape[axis])
            index = (ALL, *(ALL for _ in range(axis)), slice(start, None if op.end is None else end))
            return TorchCall("operator.getitem", (index,), kind="function")
        case ZeroPad() | ReflectionPad() | ReplicationPad() | CircularPad():
            return TorchCall(f"nn.{op.op_name}", (op.padding,))
        case ConstantPad():
            return TorchCall(f"nn.{op.op_name}", (op.padding, op.number))
        case Upsample():
            return TorchCall("nn.Upsample", (), _named(op, "size", "scale_factor", "mode", "align_corners"))
        case PixelShuffle():
            return TorchCall("nn.PixelShuffle", (op.upscale_factor,))
        case Dropout():
            return TorchCall("nn.Dropout", (op.p,), _named(op, "inplace"))
        case StochasticDepth():
            return TorchCall("StochasticDepth", (op.p, op.mode))
        case activation.LeakyReLU():
            return TorchCall("nn.LeakyReLU", (op.negative_slope,), _named(op, "inplace"))
        case activation.PReLU():
            return TorchCall("nn.PReLU", (op.num_parameters, op.init))
        case activation.ELU():
            return TorchCall("nn.ELU", (op.alpha,), _named(op, "inplace"))
        case activation.Hardtanh():
            return TorchCall("nn.Hardtanh", (op.min_val, op.max_val), _named(op, "inplace"))
        case activation.GELU():
            return TorchCall("nn.GELU", (), _named(op, "approximate"))
        case activation.Softplus():
            return TorchCall("nn.Softplus", (op.beta, op.threshold))
        case activation.Softmax():
            return TorchCall("nn.Softmax", (), _named(op, "dim"))
        case activation.LogSoftmax():
            return TorchCall("nn.LogSoftmax", (), _named(op, "dim"))
        case (
            activation.ReLU()
            | activation.ReLU6()
            | activation.SiLU()
            | activation.Mish()
            | activation.Hardswish()
            | activation.Hardsigmoid()
        ):
            return TorchCall(f"nn.{op.op_name}", (), _named(op, "inplace"))
        case Identity() | activation.Tanh() | activation.Sigmoid():
            return TorchCall(f"nn.{op.op_name}")
        case Add():
            return TorchCall("operator.add", kind="fold")
        case Sub():
            return TorchCall("operator.sub", kind="fold")
        case Mul():
            return TorchCall("operator.mul", kind="fold")
        case Div():
            return TorchCall("operator.truediv", kind="fold")
        case Concat():
            return TorchCall("torch.cat", (op.dim,), kind="reads")
        case _:
            assert_never(op)


def spelled(argument: Any) -> str:
    """An argument of a call as Python writes it; `repr` of a number without end is no expression."""
    if isinstance(argument, float) and not isfinite(argument):
        return f'float("{argument}")'
    return repr(argument)


def _named(op: AnyOp, *names: str) -> dict[str, Any]:
    """These fields of an operator, under the names that they have in torch too."""
    return {name: getattr(op, name) for name in names}
