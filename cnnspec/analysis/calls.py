"""The calls that torch makes for each operator: one exhaustive `match`.

Facts about torch's CPU kernels and modules, float32 or autocast; the tests compare every operator, random graphs and
the bundled networks with torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import assert_never

from cnnspec.analysis.composed import global_response_norm, padding_by_copies, reduction
from cnnspec.analysis.flow import FLOAT, HALF, INT64, Back, Form, Program, Value, flows, gradient
from cnnspec.analysis.strides import contiguous, is_contiguous, pointwise_strides
from cnnspec.analysis.tape import Tape
from cnnspec.ops import AnyOp, Shape, activation, norm
from cnnspec.ops.affine import Affine
from cnnspec.ops.conv import AbstractSlidingConv, Conv, ConvTranspose
from cnnspec.ops.dropout import Dropout, StochasticDepth
from cnnspec.ops.linear import Linear
from cnnspec.ops.merge import Add, Concat, Div, Mul, Sub
from cnnspec.ops.pad import CircularPad, ConstantPad, ReflectionPad, ReplicationPad, ZeroPad
from cnnspec.ops.pool import AdaptiveAvgPool, AdaptiveMaxPool, AvgPool, BlurPool, LPPool, MaxPool
from cnnspec.ops.reduce import Amax, Amin, Mean, Sum
from cnnspec.ops.resample import PixelShuffle, Upsample
from cnnspec.ops.reshape import ChannelShuffle, Flatten, Identity, Permute, Slice
from cnnspec.ops.scale import Bias, Scale
from cnnspec.ops.std_conv import ScaledStdConv, StdConv
from cnnspec.ops.unflatten import Reshape, Unflatten
from cnnspec.ops.window import Sliding

__all__ = ["loss_program", "program"]


def program(op: AnyOp, reads: Sequence[Form], out: Shape, *, half: bool) -> Program:
    """The calls of an operator for reads of these forms and this output shape, which has no batch axis.

    Sums and products have one read or two.

    They are those of training, in which autograd follows, and say what is less in evaluation mode. `half` runs matrix
    products in 2 bytes, as autocast does.
    """
    tape = Tape(reads, half=half)
    return tape.program(_run(op, tape, out))


def loss_program(output: Form, *, half: bool) -> Program:
    """Cross-entropy over the axis of the channels, which autocast runs in float32."""
    tape = Tape([output], half=half)
    logits = tape.cast(tape.reads[0], FLOAT)
    logs = _softmax(tape, logits)

    def backward(_: Shape) -> Back:
        return flows(gradient(logs, logs.form.strides))

    loss = tape.call((), (), FLOAT, [logs], backward, keeps=[logs], own=FLOAT)
    tape.hold(logits, logs)
    return tape.program(loss)


def _run(op: AnyOp, tape: Tape, out: Shape) -> Value:
    x = tape.reads[0]
    batch, shape = x.shape[0], x.shape[1:]
    match op:  # the frequent ones first, for speed
        case Conv() | ConvTranspose():
            return _convolution(op, tape, x, out)
        case StdConv() | ScaledStdConv():
            return _convolution(op, tape, x, out, _standardised(op, tape, shape))
        case norm.BatchNorm():
            weights = [tape.parameter(shape[:1]), tape.parameter(shape[:1])] if op.affine else []
            wide = op.affine or op.track_running_stats
            own = 2 * shape[0] * (FLOAT if wide else x.form.width)
            return tape.weighted(x, x.shape, weights, own=own, brief=0 if op.track_running_stats else own)
        case activation.ReLU():
            return tape.in_place(x, keeps_output=True) if op.inplace else tape.pointwise(x, keeps_output=True)
        case Add():
            return x if len(tape.reads) == 1 else tape.sum(x, tape.reads[1])
        case Concat():
            return tape.concat(tape.reads, op.axis(shape) + 1)
        case Linear():
            return _linear(op, tape, x)
        case Scale() | Bias():
            (trained,) = op.parameter_shapes(shape).values()
            parameter = tape.parameter((*(1 for _ in x.shape[len(trained) :]), *trained))
            return tape.product(x, parameter) if isinstance(op, Scale) else tape.sum(x, parameter)
        case MaxPool() | AdaptiveMaxPool():
            x = tape.cast(x, FLOAT) if op.rank == 3 else x
            own = INT64 * batch * prod(out)
            return _squeezed(tape, tape.kernel(x, (batch, *out), keeps_input=True, own=own, flat=op.rank == 1), op.rank)
        case AvgPool():
            x = tape.cast(x, FLOAT) if op.rank == 3 else x
            return _squeezed(tape, tape.kernel(x, (batch, *out), keeps_input=True, flat=op.rank == 1), op.rank)
        case AdaptiveAvgPool():
            x = tape.cast(x, FLOAT) if op.rank == 3 else x
            if all(size == 1 for size in out[1:]):
                return _squeezed(tape, _mean(tape, x, op.rank), op.rank)
            return _squeezed(tape, tape.kernel(x, (batch, *out), keeps_input=True, flat=op.rank == 1), op.rank)
        case BlurPool():
            return _blur_pool(op, tape, x, (batch, *out))
        case norm.GRN():
            return global_response_norm(op, tape, x)
        case LPPool():
            return _norm_pool(op, tape, x, (batch, *out))
        case norm.InstanceNorm():
            return _instance_norm(op, tape, x)
        case norm.GroupNorm():
            weights = [tape.parameter(shape[:1]), tape.parameter(shape[:1])] if op.affine else []
            width = FLOAT if op.affine and tape.half else x.form.width
            return tape.weighted(x, x.shape, weights, own=2 * batch * op.num_groups * width)
        case norm.LayerNorm():
            return _layer_norm(op, tape, x)
        case norm.LayerNorm2d():
            return tape.permute(_layer_norm(op, tape, tape.permute(x, (0, 2, 3, 1))), (0, 3, 1, 2))
        case norm.LocalResponseNorm():
            return _response_norm(op, tape, x)
        case Dropout():
            if op.p == 0:
                return x
            tape.idle = True
            own = x.form.size if op.p < 1 else x.form.width
            return tape.in_place(x, own=own) if op.inplace else tape.pointwise(x, own=own)
        case StochasticDepth():
            if op.p == 0:
                return x
            tape.idle = True
            noise = (batch if op.mode == "row" else 1) * x.form.width
            return tape.pointwise(x, own=noise, scratch=noise if op.p < 1 else 0)
        case activation.Tanh() | activation.Sigmoid():
            return tape.pointwise(x, keeps_output=True)
        case activation.AbstractSoftmax():
            return _softmax(tape, x)
        case activation.LeakyReLU() | activation.ELU():
            return tape.in_place(x, keeps_output=True) if op.inplace else tape.pointwise(x, keeps_input=True)
        case (
            activation.ReLU6()
            | activation.SiLU()
            | activation.Mish()
            | activation.Hardswish()
            | activation.Hardsigmoid()
            | activation.Hardtanh()
        ):
            return tape.in_place(x, copies=True) if op.inplace else tape.pointwise(x, keeps_input=True)
        case activation.GELU() | activation.Softplus():
            return tape.pointwise(x, keeps_input=True)
        case activation.PReLU():
            return _prelu(op, tape, x)
        case Mul():
            return x if len(tape.reads) == 1 else tape.product(x, tape.reads[1])
        case Sub():
            return tape.sum(x, tape.reads[1], negates=True)
        case Div():
            return tape.product(x, tape.reads[1], divides=True)
        case Affine():
            x = tape.pointwise(x) if op.scale != 1 or op.shift == 0 else x
            return tape.shifted(x) if op.shift != 0 else x
        case Mean() | Sum() | Amax() | Amin():
            return reduction(op, tape, x, (batch, *out))
        case Flatten():
            return x if out == shape else tape.view(x, (batch, *out))
        case Unflatten() | Reshape():
            return tape.view(x, (batch, *out))
        case Identity():
            return x
        case Permute():
            return tape.permute(x, (0, *(axis + 1 for axis in op.permuted(shape))))
        case Slice():
            return tape.part(x, (batch, *out))
        case ZeroPad() | ConstantPad() | ChannelShuffle() | PixelShuffle() | Upsample():
            return tape.kernel(x, (batch, *out))
        case ReflectionPad() | ReplicationPad() | CircularPad():
            return padding_by_copies(op.axes, tape, x)
        case _:
            assert_never(op)


def _standardised(op: StdConv | ScaledStdConv, tape: Tape, shape: Shape) -> Value:
    """The weight through a batch norm, each output channel as one of its channels."""
    sizes = op.parameter_shapes(shape)["weight"]
    rows = (1, sizes[0], prod(sizes[1:]))
    gains = []
    if isinstance(op, ScaledStdConv):
        gains.append(tape.view(tape.pointwise(tape.parameter(op.parameter_shapes(shape)["gain"])), sizes[:1]))
    return tape.view(tape.weighted(tape.parameter(rows), rows, gains, own=2 * sizes[0] * FLOAT), sizes)


def _convolution(
    op: AbstractSlidingConv | ConvTranspose, tape: Tape, x: Value, out: Shape, made: Value | None = None
) -> Value:
    """A convolution; `made` is its weight where that is no parameter itself."""
    shape = x.shape[1:]
    sizes = op.parameter_shapes(shape)
    copies = isinstance(op, AbstractSlidingConv) and op.border != "constant"
    given = x = padding_by_copies(op.axes, tape, x) if isinstance(op, AbstractSlidingConv) and copies else x
    weights = [tape.parameter(sizes["bias"], cast=True)] if op.bias else []
    weights.append(tape.parameter(sizes["weight"], cast=True) if made is None else tape.cast(made, HALF))
    x = source = tape.cast(x, HALF)
    if isinstance(op, AbstractSlidingConv) and not copies and (padded := _padded(op, shape)):
        x = tape.kernel(x, (x.shape[0], *padded))
    storage = x.form.size if _is_resized(op, x) else 0
    result = tape.weighted(x, (x.shape[0], *out), weights[::-1], storage=storage)
    tape.hold(given, source, *([] if made is None else [made, weights[-1]]))
    return result


def _is_resized(op: AbstractSlidingConv | ConvTranspose, x: Value) -> bool:
    """Whether torch makes the output like the input and then gives it its shape: transposed, over three axes, and too
    small for oneDNN (`use_mkldnn` in torch's Convolution.cpp)."""
    if not (isinstance(op, ConvTranspose) and op.rank == 3 and x.form.width == FLOAT and op.groups == 1):
        return False
    return x.shape[0] == 1 and min(op.kernel_size[-2:]) <= 3 and prod(x.shape[:4]) <= 20_480


def _padded(op: AbstractSlidingConv, shape: Shape) -> Shape | None:
    """The copy of the input that torch makes for `same` where one side needs a pixel more than the other."""
    if op.padding != "same":
        return None
    odd = [isinstance(window, Sliding) and window.before != window.after for window in op.windows(shape)]
    return (shape[0], *(size + more for size, more in zip(shape[1:], odd, strict=True))) if any(odd) else None


def _linear(op: Linear, tape: Tape, x: Value) -> Value:
    """One product of matrices: rows first become a matrix, by a copy where the input does not lie in order."""
    bias = tape.parameter((op.out_features,), cast=True) if op.bias else None
    weight = tape.parameter((op.out_features, x.shape[-1]), cast=True)
    x = tape.cast(x, HALF)
    fused = bias is not None and (len(x.shape) == 2 or is_contiguous(*x.laid))
    rows = x if len(x.shape) == 2 else tape.view(x, (prod(x.shape[:-1]), x.shape[-1]))
    weights = [weight, bias] if bias is not None and fused else [weight]
    out = tape.weighted(rows, (rows.shape[0], op.out_features), weights, in_order=True, keeps_weight=x.form.grad)
    if len(x.shape) > 2:
        out = tape.view(out, (*x.shape[:-1], op.out_features), own=not fused)
    if bias is not None and not fused:
        out = tape.shifted(out, bias)
    tape.hold(x)  # the function has its argument until it is over, autocast's copy of it too
    return out


def _squeezed(tape: Tape, value: Value, rank: int) -> Value:
    """Along one axis pools run as along two: their output is a view without the other one."""
    return tape.view(value, value.shape) if rank == 1 else value


def _mean(tape: Tape, x: Value, rank: int) -> Value:
    """The mean over all of each channel, whose gradient is spread and divided."""

    def backward(incoming: Shape) -> Back:
        spread = (*incoming[:2], *(0 for _ in x.shape[2:]))
        return flows(gradient(x, pointwise_strides(x.shape, (x.shape, spread)), view=rank == 1))

    shape = (*x.shape[:2], *(1 for _ in x.shape[2:]))
    return tape.call(shape, contiguous(shape), x.form.width, [x], backward)


def _blur_pool(op: BlurPool, tape: Tape, x: Value, out: Shape) -> Value:
    """A copy mirrored at its ends, in float32, and a convolution with a filter that is no parameter."""
    x = tape.cast(x, FLOAT)
    padded = (size + 2 * op.padding for size in x.shape[2:])
    mirrored = tape.kernel(x, (*x.shape[:2], *padded), keeps_input=True)
    (sizes,) = op.constant_shapes(x.shape[1:]).values()
    filt = tape.constant(sizes, cast=True)
    result = tape.weighted(tape.cast(mirrored, HALF), out, [filt])
    tape.hold(mirrored, filt)
    return result


def _norm_pool(op: LPPool, tape: Tape, x: Value, out: Shape) -> Value:
    """`F.lp_pool`: the mean of the powers, its sign times its size, times the window, and the root."""
    power = tape.pointwise(x, keeps_input=True, tensors=3)
    power = tape.cast(power, FLOAT) if op.rank == 3 else power
    mean = tape.kernel(power, out, keeps_input=True, flat=op.rank == 1)
    sign = tape.pointwise(mean)
    size = tape.pointwise(tape.pointwise(mean, keeps_input=True, tensors=2), keeps_output=True)
    total = tape.pointwise(tape.product(sign, size))
    tape.hold(mean)
    return tape.pointwise(total, keeps_input=True, tensors=3)


def _instance_norm(op: norm.InstanceNorm, tape: Tape, x: Value) -> Value:
    """A batch norm over each channel of each sample, with the weights and the statistics repeated for each sample."""
    batch, channels = x.shape[:2]
    repeated = []
    for parameter in [tape.parameter((channels,)), tape.parameter((channels,))] if op.affine else []:
        repeated.append(_repeated(tape, parameter, batch))
    each = 2 * batch * channels * (FLOAT if op.affine else x.form.width)  # without weights torch has them as the input
    statistics = each if op.track_running_stats else 0
    own = statistics + each
    rows = tape.view(tape.in_order(x), (1, batch * channels, *x.shape[2:]))
    out = tape.weighted(rows, rows.shape, repeated, own=own, brief=statistics or own)
    tape.hold(*repeated)
    return tape.view(out, x.shape)


def _repeated(tape: Tape, parameter: Value, batch: int) -> Value:
    def backward(_: Shape) -> Back:
        return flows(gradient(parameter, contiguous(parameter.shape)))

    shape = (batch * parameter.shape[0],)
    return tape.call(shape, (1,), FLOAT, [parameter], backward)


def _layer_norm(op: norm.LayerNorm | norm.LayerNorm2d, tape: Tape, x: Value) -> Value:
    """Over the last axis; mean and deviation of each row are kept."""
    count = (1 + op.bias) if op.elementwise_affine else 0
    weights = [tape.parameter(x.shape[-1:]) for _ in range(count)]
    width = FLOAT if weights and tape.half else x.form.width
    return tape.weighted(x, x.shape, weights, own=2 * prod(x.shape[:-1]) * width, in_order=True)


def _response_norm(op: norm.LocalResponseNorm, tape: Tape, x: Value) -> Value:
    """`F.local_response_norm`: squares, padded and averaged over the channels as over an axis of space."""
    flat = len(x.shape) == 3
    x = x if len(x.shape) < 5 else tape.in_order(x)
    squares = tape.product(x, x)
    sizes = (x.shape[0], 1, *x.shape[1:]) if flat else (*x.shape[:1], 1, *x.shape[1:3], prod(x.shape[3:]))
    plane = tape.view(squares, sizes)
    padded = tape.kernel(plane, (*sizes[:2], sizes[2] + op.size - 1, *sizes[3:]))
    mean = tape.kernel(padded if flat else tape.cast(padded, FLOAT), sizes, keeps_input=True)
    tape.hold(padded)
    seen = tape.view(mean, x.shape)
    powers = tape.pointwise(tape.shifted(tape.pointwise(seen)), keeps_input=True, tensors=3)
    tape.hold(seen)
    return tape.product(x, powers, divides=True)


def _softmax(tape: Tape, x: Value) -> Value:
    """Whatever it reads, outputs and gradients lie in order."""

    def backward(_: Shape) -> Back:
        return flows(gradient(x, contiguous(x.shape)))

    return tape.call(x.shape, contiguous(x.shape), x.form.width, [x], backward, keeps_output=True)


def _prelu(op: activation.PReLU, tape: Tape, x: Value) -> Value:
    """The gradients of the input, wanted or not, and of the weight are made for each element; the latter is summed."""
    weight = tape.parameter((op.num_parameters,), cast=True)
    x = tape.cast(x, HALF)

    def backward(incoming: Shape) -> Back:
        strides = pointwise_strides(x.shape, (x.shape, incoming), x.laid)
        return flows(gradient(x, strides), gradient(weight, (1,), shape=x.shape), least=2 * x.form.size)

    strides = pointwise_strides(x.shape, x.laid)
    return tape.call(x.shape, strides, x.form.width, [x, weight], backward, keeps=[x, weight])
