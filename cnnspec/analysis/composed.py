"""Operators that are no kernel of torch's: the calls that it composes them of. `calls` names them."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from cnnspec.analysis.flow import FLOAT, INT64, Back, Flow, Value, flows, gradient, passed
from cnnspec.analysis.strides import contiguous, pointwise_strides
from cnnspec.analysis.tape import Tape
from cnnspec.ops import Shape, norm
from cnnspec.ops.reduce import Amax, Amin, Mean, Sum
from cnnspec.ops.window import Sliding

__all__ = ["global_response_norm", "padding_by_copies", "reduction"]


def padding_by_copies(windows: Sequence[Sliding], tape: Tape, x: Value) -> Value:
    """Padding by copies of the axes, the same for all. Autocast runs it in float32, unless volumes are mirrored."""
    sizes = (size + window.before + window.after for window, size in zip(windows, x.shape[2:], strict=True))
    out = (*x.shape[:2], *sizes)
    if windows[0].border == "circular":
        return _circular_pad(windows, tape, x, out)
    x = x if windows[0].border == "reflect" and len(windows) == 3 else tape.cast(x, FLOAT)
    return tape.kernel(x, out, keeps_input=True)


def _circular_pad(windows: Sequence[Sliding], tape: Tape, x: Value, out: Shape) -> Value:
    """The middle is copied into an empty tensor, then to each end what lies at the other one, the last axis first."""
    axes = list(enumerate(windows, 2))[::-1]
    middle = x
    for axis, window in axes:
        middle = _part(tape, middle, axis, x.shape[axis] + min(window.before, 0) + min(window.after, 0))
    whole = _filled(tape, None, middle, out)
    for axis, window in axes:
        for places in (window.before, window.after):
            if places > 0:
                whole = _filled(tape, whole, _part(tape, whole, axis, places), out)
    return whole


def _part(tape: Tape, value: Value, axis: int, size: int) -> Value:
    """A slice along one axis, also where it is all of it."""

    def backward(_: Shape) -> Back:
        return flows(gradient(value, contiguous(value.shape)))

    shape = (*value.shape[:axis], size, *value.shape[axis + 1 :])
    return tape.call(shape, value.form.strides, value.form.width, [value], backward, shares=value, view=True)


def _filled(tape: Tape, whole: Value | None, part: Value, shape: Shape) -> Value:
    """A part copied into a whole, which is made where there is none. On the way back the gradient is copied whole, then
    its part, and zeros are put there (`CopySlices`)."""
    size = prod(shape) * part.form.width

    def backward(_: Shape) -> Back:
        own = Flow(part.slot, part.form.size, contiguous(part.shape))
        if whole is None:
            return Back((own,), 0, size + part.form.size)
        return Back((Flow(whole.slot, size, contiguous(shape)), own), 0, size + 2 * part.form.size)

    reads = [part] if whole is None else [whole, part]
    return tape.call(shape, contiguous(shape), part.form.width, reads, backward, shares=whole)


def global_response_norm(op: norm.GRN, tape: Tape, x: Value) -> Value:
    """Norms of the channels over their mean, times what is read, with gain and shift, and the sum with it."""
    channels = op.axis(x.shape[1:]) + 1
    norms = _norms(tape, x, channels)
    mean = tape.shifted(_average(tape, norms, channels))
    shares = tape.product(norms, mean, divides=True)
    product = tape.product(x, shares)
    sizes = tuple(size if axis == channels else 1 for axis, size in enumerate(x.shape))
    shifted = _gained(tape, product, tape.parameter(sizes), tape.parameter(sizes))
    result = tape.sum(x, shifted)
    tape.hold(norms, shares)
    return result


def _norms(tape: Tape, x: Value, channels: int) -> Value:
    """The Euclidean norm of each channel (`linalg.vector_norm`)."""
    shape = tuple(size if axis in (0, channels) else 1 for axis, size in enumerate(x.shape))

    def backward(incoming: Shape) -> Back:
        spread = tuple(stride if axis in (0, channels) else 0 for axis, stride in enumerate(incoming))
        return flows(gradient(x, pointwise_strides(x.shape, (x.shape, spread), x.laid)), least=2 * x.form.size)

    return tape.call(shape, contiguous(shape), x.form.width, [x], backward, keeps=[x], keeps_output=True)


def _average(tape: Tape, x: Value, axis: int) -> Value:
    """The mean over one axis, whose gradient is spread and divided."""
    shape = (*x.shape[:axis], 1, *x.shape[axis + 1 :])

    def backward(incoming: Shape) -> Back:
        spread = (*incoming[:axis], 0, *incoming[axis + 1 :])
        return flows(gradient(x, pointwise_strides(x.shape, (x.shape, spread))))

    return tape.call(shape, contiguous(shape), x.form.width, [x], backward)


def _gained(tape: Tape, x: Value, gain: Value, shift: Value) -> Value:
    """`shift + gain * x` (`addcmul`)."""
    width = max(x.form.width, gain.form.width)

    def backward(incoming: Shape) -> Back:
        strides = pointwise_strides(x.shape, (x.shape, incoming), gain.laid)
        return flows(
            passed(shift, x.shape, incoming, width=width),
            gradient(gain, contiguous(gain.shape), shape=x.shape, width=width),
            gradient(x, strides, width=width),
            least=prod(x.shape) * (x.form.width + width),  # what is read, times a constant 1, and the gain's gradient
        )

    return tape.call(
        x.shape, pointwise_strides(x.shape, shift.laid, gain.laid, x.laid), width, [shift, gain, x], backward, keeps=[x]
    )


def reduction(op: Mean | Sum | Amax | Amin, tape: Tape, x: Value, out: Shape) -> Value:
    """The gradient is spread over what was read: as a view of a sum's, divided for a mean, and for an extreme shared by
    the places that have it, which a mask shows."""
    reduced = {axis + 1 for axis in op.reduced(x.shape[1:])}
    gone = {axis + 1 for axis in op.gone(x.shape[1:])}

    def backward(incoming: Shape) -> Back:
        given = iter(incoming)
        spread = tuple(0 if axis in gone else (next(given) * (axis not in reduced)) for axis in range(len(x.shape)))
        strides = pointwise_strides(x.shape, (x.shape, spread))
        match op:
            case Sum():
                return Back((Flow(x.slot, 0, spread, view=True),), 0, 0)
            case Mean():
                return flows(gradient(x, strides))
            case Amax() | Amin():
                shared = prod(out) * (INT64 + x.form.width)  # how many places have it, and the share of each
                return flows(gradient(x, strides), least=prod(x.shape) + shared + x.form.size)

    extreme = isinstance(op, (Amax, Amin))
    return tape.call(out, contiguous(out), x.form.width, [x], backward, keeps=[x] * extreme, keeps_output=extreme)
