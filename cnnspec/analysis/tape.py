"""The tape: what one operator makes torch call, what each call allocates and keeps, and what its gradient gives back.

Facts about torch's CPU kernels and its autograd, found by watching the live tensors of real steps; the tests compare
them with torch again. `analysis/calls.py` says operator by operator which calls there are, `analysis/step.py` runs
them.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from math import prod

from cnnspec.analysis.flow import (
    FLOAT,
    HALF,
    PARAMETER,
    Back,
    Backward,
    Call,
    Flow,
    Form,
    Program,
    Value,
    flows,
    gradient,
    passed,
)
from cnnspec.analysis.strides import (
    channels_last,
    contiguous,
    converted_strides,
    is_contiguous,
    kernel_strides,
    pointwise_strides,
    view_strides,
)
from cnnspec.ops import Shape

__all__ = ["Tape"]


class Tape:
    """Writes down the calls of one operator. `half`: whether autocast runs matrix products in 2 bytes."""

    def __init__(self, reads: Sequence[Form], *, half: bool) -> None:
        self.reads = [Value.of(slot, form) for slot, form in enumerate(reads)]
        self.half = half
        self.calls: list[Call] = []
        self.idle = False
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
        brief: int | None = None,
        shares: Value | None = None,
        lasting: bool = False,
        view: bool = False,
        changes: bool = False,
        storage: int = 0,
    ) -> Value:
        """Write a call down; gives back its output. `brief` where evaluation mode makes less besides.

        `storage` is the memory of the output in bytes, where that is more than the output needs.
        """
        calls, last = self.calls, self._last
        index = len(calls)
        slot = len(self.reads) + index
        grad = False
        for read in reads:
            grad = grad or read.form.grad
            last[read.slot] = index
        last[slot] = index
        form = Form.of(shape, strides, width, grad)
        brief = own + scratch if brief is None else brief
        kept: tuple[int, ...] = ()
        if grad:
            if keeps:
                kept = tuple([read.slot for read in keeps if read.slot != PARAMETER])
            if keeps_output:
                kept = (*kept, slot)
        else:
            own, scratch = 0, own + scratch
        size, shared = (0, shares.slot) if shares else (max(form.size, storage), None)
        followed = backward if grad else None
        calls.append(Call(form, size, shared, kept, own, scratch, brief, followed, lasting, view, changes))
        return Value(slot, form, shape, (shape, strides))

    def hold(self, *values: Value) -> None:
        """Let tensors live until the call written last is over, as a variable of the function does."""
        for value in values:
            self._last[value.slot] = len(self.calls) - 1

    def program(self, result: Value) -> Program:
        """The calls, each with the tensors that are let go after it."""
        calls, count = self.calls, len(self.reads)
        if len(calls) > 1 or result.slot < count:
            drops: dict[int, list[int]] = {}
            for slot, last in self._last.items():
                if slot >= count and slot != result.slot and not calls[slot - count].lasting:
                    drops.setdefault(last, []).append(slot)
            for index, slots in drops.items():
                calls[index].drops = tuple(slots)
        return Program(tuple(calls), result.slot, self.idle)

    # Parameters, and widths

    def parameter(self, shape: Shape, *, cast: bool = False) -> Value:
        """A weight; with `cast`, autocast's copy of it in 2 bytes, made once a step."""
        value = _parameter(shape)
        return self.cast(value, HALF) if cast and self.half else value

    def constant(self, shape: Shape, *, cast: bool = False) -> Value:
        """A buffer, which wants no gradient; with `cast`, autocast's copy of it in 2 bytes."""
        value = _parameter(shape)
        value = value._replace(form=value.form._replace(grad=False))
        return self.cast(value, HALF) if cast and self.half else value

    def cast(self, value: Value, width: int) -> Value:
        """A copy in another width, where autocast is on and the width is another."""
        if not self.half or value.form.width == width:
            return value

        def backward(strides: Shape) -> Back:
            return flows(gradient(value, converted_strides(value.shape, strides)))

        lasting = value.slot == PARAMETER and value.form.grad
        return self.call(value.shape, converted_strides(*value.laid), width, [value], backward, lasting=lasting)

    # Views and copies

    def view(self, value: Value, shape: Shape, *, own: bool = False) -> Value:
        """The same memory in another shape; a copy in order comes first where the strides forbid it (`reshape`).

        With `own` autograd takes it for a tensor of its own (`_unsafe_view`).
        """
        strides = view_strides(*value.laid, shape)
        if strides is None:
            return self.view(self.copy(value), shape, own=own)

        def backward(incoming: Shape) -> Back:
            seen = view_strides(shape, incoming, value.shape)
            if seen is None:
                return flows(gradient(value, contiguous(value.shape)))
            return Back((Flow(value.slot, 0, seen, view=True),), 0, 0)

        return self.call(shape, strides, value.form.width, [value], backward, shares=value, view=not own)

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

        return self.call(shape, strides, value.form.width, [value], backward, shares=value, view=True)

    def part(self, value: Value, shape: Shape) -> Value:
        """Some units of an axis; the gradient is a whole tensor of zeros with the part filled in."""

        def backward(incoming: Shape) -> Back:
            if shape == value.shape:  # a slice of everything is an alias
                return Back((Flow(value.slot, 0, incoming, view=True),), 0, 0)
            return flows(gradient(value, contiguous(value.shape)))

        return self.call(shape, value.form.strides, value.form.width, [value], backward, shares=value, view=True)

    # Kernels

    def pointwise(
        self,
        value: Value,
        *,
        keeps_input: bool = False,
        keeps_output: bool = False,
        own: int = 0,
        scratch: int = 0,
        tensors: int = 1,
    ) -> Value:
        """One number out for each number in. `tensors` is how many of its size live at once in the backward."""

        def backward(incoming: Shape) -> Back:
            reads = [(value.shape, incoming), value.laid] if keeps_input or keeps_output else [(value.shape, incoming)]
            return flows(gradient(value, pointwise_strides(value.shape, *reads)), least=tensors * value.form.size)

        return self.call(
            value.shape,
            self._like(value),
            value.form.width,
            [value],
            backward,
            keeps=[value] if keeps_input else [],
            keeps_output=keeps_output,
            own=own,
            scratch=scratch,
        )

    def in_place(self, value: Value, *, keeps_output: bool = False, copies: bool = False, own: int = 0) -> Value:
        """One number over each number; `copies` where the backward pass wants what was there before."""

        def backward(incoming: Shape) -> Back:
            return flows(gradient(value, pointwise_strides(value.shape, (value.shape, incoming), value.laid)))

        own += value.form.size if copies and value.form.grad else 0
        kept, width = keeps_output, value.form.width
        return self.call(
            *value.laid, width, [value], backward, keeps_output=kept, own=own, brief=0, shares=value, changes=True
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
        brief: int | None = None,
        in_order: bool = False,
        keeps_weight: bool = True,
        storage: int = 0,
    ) -> Value:
        """A kernel with weights, of which the first is kept: a convolution, a product, a norm.

        With `in_order` outputs and gradients are contiguous, however the input lies.
        """

        laid = value.laid
        ordered = in_order or laid[1] == contiguous(laid[0])

        def lies(given: Shape) -> Shape:
            return contiguous(given) if ordered or len(given) != len(laid[0]) else kernel_strides(given, laid)

        def backward(_: Shape) -> Back:
            return flows(*[gradient(read, lies(read.shape)) for read in (value, *weights)])

        keeps, reads = [value, *weights[:keeps_weight]], [value, *weights]
        return self.call(
            shape, lies(shape), value.form.width, reads, backward, keeps=keeps, own=own, brief=brief, storage=storage
        )

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
            return flows(*produced, least=4 * prod(shape) * width if divides and second.form.grad else 0)

        keeps = [other for value, other in ((first, second), (second, first)) if value.form.grad]
        if divides and second.form.grad:  # the quotient is worked out anew
            keeps = [second, first]
        strides = pointwise_strides(shape, first.laid, second.laid)
        return self.call(shape, strides, width, [first, second], backward, keeps=keeps)

    def sum(self, first: Value, second: Value, *, negates: bool = False) -> Value:
        """Two tensors added, axes of size 1 broadcast; or the second taken from the first, whose gradient is negated.

        Each gets the gradient itself, summed where it was broadcast and converted where it is narrower.
        """
        shape = tuple(max(a, b) for a, b in zip(first.shape, second.shape, strict=True))
        width = max(first.form.width, second.form.width)

        def backward(incoming: Shape) -> Back:
            return flows(
                *(
                    passed(value, shape, incoming, width=width, anew=negates and value is second)
                    for value in (first, second)
                )
            )

        strides = pointwise_strides(shape, first.laid, second.laid)
        return self.call(shape, strides, width, [first, second], backward)

    def concat(self, values: Sequence[Value], axis: int) -> Value:
        """Tensors side by side on an axis: each gets a view of the gradient. Autocast makes them equally wide."""
        width = max(value.form.width for value in values)
        cast = [self.cast(value, width) for value in values]
        first = cast[0].shape
        shape = (*first[:axis], sum(value.shape[axis] for value in cast), *first[axis + 1 :])

        def backward(incoming: Shape) -> Back:
            return Back(tuple(Flow(value.slot, 0, incoming, view=True) for value in cast if value.form.grad), 0, 0)

        last = all(channels_last(*value.laid) for value in cast)
        strides = kernel_strides(shape, cast[0].laid) if last else contiguous(shape)
        return self.call(shape, strides, width, cast, backward)

    def _like(self, value: Value) -> Shape:
        return pointwise_strides(value.shape, value.laid)


@lru_cache(4096)
def _parameter(shape: Shape) -> Value:
    return Value.of(PARAMETER, Form.of(shape, contiguous(shape), FLOAT, True))
