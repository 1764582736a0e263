"""The tape: what one operator makes torch call, what each call allocates and keeps, and what its gradient gives back.

Facts about torch's CPU kernels and its autograd, found by watching the live tensors of real steps; the tests compare
them with torch again. Shapes hold the batch axis, sizes are bytes. `analysis/calls.py` says operator by operator which
calls there are, `analysis/step.py` runs them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import prod
from typing import NamedTuple, TypeAlias

from cnnspec.analysis.strides import (
    channels_last,
    contiguous,
    is_contiguous,
    kernel_strides,
    pointwise_strides,
    view_strides,
)
from cnnspec.ops import Shape

__all__ = ["FLOAT", "HALF", "INT64", "Back", "Call", "Flow", "Form", "Program", "Tape", "Value"]

FLOAT, HALF, INT64 = 4, 2, 8
PARAMETER = -1  # the slot of weights, which are there whatever happens


class Form(NamedTuple):
    """All that decides how a tensor is treated: where its numbers lie, their bytes, whether gradients flow to it."""

    shape: Shape
    strides: Shape
    width: int
    grad: bool

    @property
    def size(self) -> int:
        return prod(self.shape) * self.width


@dataclass(frozen=True, slots=True)
class Value:
    """A tensor inside one operator: its place among the operator's tensors, and its form."""

    slot: int
    form: Form

    @property
    def shape(self) -> Shape:
        return self.form.shape

    @property
    def laid(self) -> tuple[Shape, Shape]:
        """Shape and strides."""
        return self.form.shape, self.form.strides


class Flow(NamedTuple):
    """A gradient that a call's backward hands to one of its reads."""

    slot: int
    size: int  # of new memory; 0 where it is the incoming gradient, or a view of it
    strides: Shape
    view: bool = False  # a view holds its base: torch does not add to it in place


class Back(NamedTuple):
    """What the backward of a call does, for an incoming gradient of certain strides."""

    flows: tuple[Flow, ...]
    held: int  # gradients of parameters, which stay
    rise: int  # the most that is alive beside what was, while incoming gradient and kept tensors still are


Backward: TypeAlias = Callable[[Shape], Back]


@dataclass(slots=True)
class Call:
    """One call of a kernel, or a view."""

    form: Form  # of the output
    size: int  # of the output's new memory; 0 for a view
    shares: int | None  # the slot whose memory a view has
    keeps: tuple[int, ...]  # slots whose memory is kept for the backward pass
    own: int  # bytes made and kept besides: indices, masks, statistics
    scratch: int  # bytes that live while it runs, beside output and `own`
    backward: Backward | None  # None where autograd does not follow
    lasting: bool = False  # autocast's copy of a weight, which lives until autocast ends
    drops: tuple[int, ...] = ()  # slots whose tensors are let go after it
    backs: dict[Shape, Back] = field(default_factory=dict)

    def back(self, strides: Shape) -> Back:
        """What its backward does, worked out once for each layout of gradients."""
        assert self.backward is not None
        found = self.backs[strides] = self.backward(strides)
        return found


class Program(NamedTuple):
    """The calls of one operator in turn. Slots number its reads first, then the outputs of its calls."""

    calls: tuple[Call, ...]
    result: int  # the slot of its output: a read's where the operator does nothing
    form: Form


class Tape:
    """Writes down the calls of one operator. `half`: whether autocast runs matrix products in 2 bytes."""

    def __init__(self, reads: Sequence[Form], *, training: bool, half: bool) -> None:
        self.reads = tuple(Value(slot, form) for slot, form in enumerate(reads))
        self.training, self.half = training, half
        self.calls: list[Call] = []
        self._last: dict[int, int] = {}

    def call(
        self,
        shape: Shape,
        strides: Shape,
        width: int,
        reads: Sequence[Value],
        backward: Backward,
        *,
        keeps: Sequence[Value] = (),
        keeps_output: bool = False,
        own: int = 0,
        scratch: int = 0,
        shares: Value | None = None,
        lasting: bool = False,
    ) -> Value:
        """Write a call down; gives back its output."""
        grad = self.training and any(read.form.grad for read in reads)
        value = Value(len(self.reads) + len(self.calls), Form(shape, strides, width, grad))
        if grad:
            kept = tuple(dict.fromkeys(read.slot for read in keeps if read.slot != PARAMETER))
            kept += (value.slot,) if keeps_output else ()
        else:
            kept, own, scratch = (), 0, own + scratch
        for read in reads:
            self._last[read.slot] = len(self.calls)
        self._last.setdefault(value.slot, len(self.calls))
        size = 0 if shares else value.form.size
        shared = shares.slot if shares else None
        self.calls.append(Call(value.form, size, shared, kept, own, scratch, backward if grad else None, lasting))
        return value

    def hold(self, *values: Value) -> None:
        """Let tensors live until the call written last is over, as a variable of the function does."""
        for value in values:
            self._last[value.slot] = len(self.calls) - 1

    def program(self, result: Value) -> Program:
        """The calls, each with the tensors that are let go after it."""
        count = len(self.reads)
        drops: dict[int, list[int]] = {}
        for slot, last in self._last.items():
            if slot >= count and slot != result.slot and not self.calls[slot - count].lasting:
                drops.setdefault(last, []).append(slot)
        for index, slots in drops.items():
            self.calls[index].drops = tuple(slots)
        return Program(tuple(self.calls), result.slot, result.form)

    # Parameters, and widths

    def parameter(self, shape: Shape, *, cast: bool = False) -> Value:
        """A weight; with `cast`, autocast's copy of it in 2 bytes, made once a step."""
        value = Value(PARAMETER, Form(shape, contiguous(shape), FLOAT, self.training))
        return self.cast(value, HALF) if cast and self.half else value

    def cast(self, value: Value, width: int) -> Value:
        """A copy in another width, where autocast is on and the width is another."""
        if not self.half or value.form.width == width:
            return value

        def backward(strides: Shape) -> Back:
            return flows(gradient(value, pointwise_strides(value.shape, (value.shape, strides))))

        lasting = value.slot == PARAMETER
        return self.call(value.shape, self._like(value), width, [value], backward, lasting=lasting)

    # Views and copies

    def view(self, value: Value, shape: Shape) -> Value:
        """The same memory in another shape; a copy in order comes first where the strides forbid it (`reshape`)."""
        strides = view_strides(*value.laid, shape)
        if strides is None:
            return self.view(self.copy(value), shape)

        def backward(incoming: Shape) -> Back:
            seen = view_strides(shape, incoming, value.shape)
            if seen is None:
                return flows(gradient(value, contiguous(value.shape)))
            return Back((Flow(value.slot, 0, seen, view=True),), 0, 0)

        return self.call(shape, strides, value.form.width, [value], backward, shares=value)

    def copy(self, value: Value) -> Value:
        """A copy in order (`clone` with contiguous format)."""

        def backward(strides: Shape) -> Back:
            return Back((Flow(value.slot, 0, strides),), 0, 0)

        return self.call(value.shape, contiguous(value.shape), value.form.width, [value], backward)

    def in_order(self, value: Value) -> Value:
        """The tensor itself where its elements lie in order, else a copy (`contiguous`)."""
        return value if is_contiguous(*value.laid) else self.copy(value)

    def permute(self, value: Value, axes: tuple[int, ...]) -> Value:
        """The axes in another order."""
        shape = tuple(value.shape[axis] for axis in axes)
        strides = tuple(value.form.strides[axis] for axis in axes)

        def backward(incoming: Shape) -> Back:
            old = dict(zip(axes, incoming, strict=True))
            return Back((Flow(value.slot, 0, tuple(old[axis] for axis in range(len(axes))), view=True),), 0, 0)

        return self.call(shape, strides, value.form.width, [value], backward, shares=value)

    def part(self, value: Value, channels: int) -> Value:
        """Some of the channels; the gradient is a whole tensor of zeros with the part filled in."""
        shape = (value.shape[0], channels, *value.shape[2:])

        def backward(incoming: Shape) -> Back:
            if channels == value.shape[1]:  # a slice of everything is an alias
                return Back((Flow(value.slot, 0, incoming, view=True),), 0, 0)
            return flows(gradient(value, contiguous(value.shape)))

        return self.call(shape, value.form.strides, value.form.width, [value], backward, shares=value)

    # Kernels

    def pointwise(
        self, value: Value, *, keeps_input: bool = False, keeps_output: bool = False, own: int = 0, scratch: int = 0,
        tensors: int = 1,
    ) -> Value:
        """One number out for each number in. `tensors` is how many of its size live at once in the backward."""

        def backward(incoming: Shape) -> Back:
            reads = [(value.shape, incoming), *([value.laid] if keeps_input or keeps_output else [])]
            return flows(gradient(value, pointwise_strides(value.shape, *reads)), least=tensors * value.form.size)

        keeps = [value] if keeps_input else []
        strides, width = self._like(value), value.form.width
        made = {"keeps": keeps, "keeps_output": keeps_output, "own": own, "scratch": scratch}
        return self.call(value.shape, strides, width, [value], backward, **made)

    def in_place(self, value: Value, *, keeps_output: bool = False, copies: bool = False, own: int = 0) -> Value:
        """One number over each number; `copies` where the backward pass wants what was there before."""

        def backward(incoming: Shape) -> Back:
            return flows(gradient(value, pointwise_strides(value.shape, (value.shape, incoming), value.laid)))

        own += value.form.size if copies and self.training and value.form.grad else 0
        strides, width = value.form.strides, value.form.width
        return self.call(
            value.shape, strides, width, [value], backward, keeps_output=keeps_output, own=own, shares=value
        )

    def kernel(
        self, value: Value, shape: Shape, *, keeps_input: bool = False, own: int = 0, flat: bool = False
    ) -> Value:
        """A kernel without weights: a pool, padding, interpolation. `flat`: run as one over an axis more, of size 1."""

        def backward(_: Shape) -> Back:
            return flows(gradient(value, kernel_strides(value.shape, value.laid), view=flat))

        keeps = [value] if keeps_input else []
        strides, width = kernel_strides(shape, value.laid), value.form.width
        return self.call(shape, strides, width, [value], backward, keeps=keeps, own=own)

    def weighted(
        self,
        value: Value,
        shape: Shape,
        weights: Sequence[Value],
        *,
        own: int = 0,
        in_order: bool = False,
    ) -> Value:
        """A kernel with weights, of which the first is kept: a convolution, a product, a norm.

        With `in_order` outputs and gradients are contiguous, however the input lies.
        """

        def backward(_: Shape) -> Back:
            strides = contiguous(value.shape) if in_order else kernel_strides(value.shape, value.laid)
            return flows(
                gradient(value, strides), *(gradient(weight, contiguous(weight.shape)) for weight in weights)
            )

        strides = contiguous(shape) if in_order else kernel_strides(shape, value.laid)
        keeps, reads = [value, *weights[:1]], [value, *weights]
        return self.call(shape, strides, value.form.width, reads, backward, keeps=keeps, own=own)

    def shifted(self, value: Value, bias: Value | None = None) -> Value:
        """A number added: a scalar into a new tensor, or `bias` along the last axis in place."""

        def backward(incoming: Shape) -> Back:
            held = flows(gradient(bias, contiguous(bias.shape))) if bias else Back((), 0, 0)
            return held._replace(flows=(Flow(value.slot, 0, incoming), *held.flows))

        reads = [value, bias] if bias else [value]
        shares = value if bias else None
        return self.call(value.shape, self._like(value), value.form.width, reads, backward, shares=shares)

    def product(self, first: Value, second: Value, *, divides: bool = False) -> Value:
        """Two tensors multiplied, axes of size 1 broadcast; or the first divided by the second."""
        shape = tuple(max(a, b) for a, b in zip(first.shape, second.shape, strict=True))
        width = max(first.form.width, second.form.width)

        def backward(incoming: Shape) -> Back:
            produced = []
            for value, other in ((first, second), (second, first)):
                strides = pointwise_strides(shape, (shape, incoming), other.laid)
                strides = strides if value.shape == shape else contiguous(value.shape)
                produced.append(gradient(value, strides, shape=shape, width=width))
            return flows(*produced, least=4 * prod(shape) * width if divides else 0)

        keeps = [other for value, other in ((first, second), (second, first)) if value.form.grad or divides]
        strides = pointwise_strides(shape, first.laid, second.laid)
        return self.call(shape, strides, width, [first, second], backward, keeps=keeps)

    def sum(self, first: Value, second: Value) -> Value:
        """Two tensors of one shape added: each gets the gradient itself, converted where it is narrower."""
        width = max(first.form.width, second.form.width)

        def backward(incoming: Shape) -> Back:
            found = []
            for value in (first, second):
                if value.form.grad and value.form.width == width:
                    found.append(Flow(value.slot, 0, incoming))
                elif value.form.grad:
                    strides = pointwise_strides(value.shape, (value.shape, incoming))
                    found.append(Flow(value.slot, value.form.size, strides))
            return Back(tuple(found), 0, sum(flow.size for flow in found))

        strides = pointwise_strides(first.shape, first.laid, second.laid)
        return self.call(first.shape, strides, width, [first, second], backward)

    def concat(self, values: Sequence[Value]) -> Value:
        """Tensors side by side on the channels: each gets a view of the gradient. Autocast makes them equally wide."""
        width = max(value.form.width for value in values)
        cast = [self.cast(value, width) for value in values]
        shape = (cast[0].shape[0], sum(value.shape[1] for value in cast), *cast[0].shape[2:])

        def backward(incoming: Shape) -> Back:
            return Back(tuple(Flow(value.slot, 0, incoming, view=True) for value in cast if value.form.grad), 0, 0)

        last = all(channels_last(*value.laid) for value in cast)
        strides = kernel_strides(shape, cast[0].laid) if last else contiguous(shape)
        return self.call(shape, strides, width, cast, backward)

    def _like(self, value: Value) -> Shape:
        return pointwise_strides(value.shape, value.laid)


class Produced(NamedTuple):
    """A gradient as a backward makes it, before it is brought to the shape and width of what it is for."""

    value: Value
    flow: Flow | None  # None: for a parameter
    size: int
    made: int  # bytes before it was reduced or converted


def gradient(
    value: Value, strides: Shape, *, shape: Shape | None = None, width: int | None = None, view: bool = False
) -> Produced | None:
    """The new gradient for a read, None where it wants none. `shape` and `width` are what the backward makes it in."""
    if not value.form.grad:
        return None
    size = value.form.size
    made = prod(value.shape if shape is None else shape) * (value.form.width if width is None else width)
    flow = None if value.slot == PARAMETER else Flow(value.slot, size, strides, view)
    return Produced(value, flow, size, made)


def flows(*produced: Produced | None, least: int = 0) -> Back:
    """A backward that makes all these at once, then brings them to shape and width one by one (`validate_outputs`).

    `least` is what it needs at least on the way to them.
    """
    found = [each for each in produced if each is not None]
    alive = sum(each.made for each in found)
    rise = max(alive, least)
    for each in found:
        if each.made != each.size:
            rise = max(rise, alive + each.size)
            alive += each.size - each.made
    held = sum(each.size for each in found if each.flow is None)
    return Back(tuple(each.flow for each in found if each.flow is not None), held, rise)
