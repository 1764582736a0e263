"""Operators that are no kernel of torch's: the calls that it composes them of. `calls` names them."""

from __future__ import annotations

from math import prod

from cnnspec.analysis.flow import Back, Flow, Value, flows, gradient
from cnnspec.analysis.strides import contiguous
from cnnspec.analysis.tape import Tape
from cnnspec.ops import Shape
from cnnspec.ops.pad import CircularPad

__all__ = ["circular_pad"]


def circular_pad(op: CircularPad, tape: Tape, x: Value, out: Shape) -> Value:
    """The middle is copied into an empty tensor, then to each end what lies at the other one, the last axis first."""
    axes = list(enumerate(op.axes, 2))[::-1]
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
