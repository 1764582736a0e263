"""What the tape is made of: the calls of kernels, what each allocates and keeps, and what its backward does.

Shapes hold the batch axis, sizes are bytes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from math import prod
from typing import NamedTuple, TypeAlias

from cnnspec.analysis.strides import contiguous, is_contiguous, pointwise_strides
from cnnspec.ops import Shape

__all__ = [
    "FLOAT",
    "HALF",
    "INT64",
    "PARAMETER",
    "Back",
    "Backward",
    "Call",
    "Flow",
    "Form",
    "Program",
    "Value",
    "flows",
    "gradient",
    "passed",
]

FLOAT, HALF, INT64 = 4, 2, 8
PARAMETER = -1  # the slot of weights, which are there whatever happens


class Form(NamedTuple):
    """All that decides how a tensor is treated: where its numbers lie, their bytes, whether gradients flow to it."""

    shape: Shape
    strides: Shape
    width: int
    grad: bool
    size: int  # bytes

    @classmethod
    def of(cls, shape: Shape, strides: Shape, width: int, grad: bool) -> Form:
        """The form, with its size worked out."""
        return cls(shape, strides, width, grad, prod(shape) * width)


class Value(NamedTuple):
    """A tensor inside one operator: its place among the operator's tensors, and its form."""

    slot: int
    form: Form
    shape: Shape
    laid: tuple[Shape, Shape]  # shape and strides

    @classmethod
    def of(cls, slot: int, form: Form) -> Value:
        """The tensor of this form at this place."""
        return cls(slot, form, form.shape, form[:2])


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
    settles: int = 0  # a copy of a parameter's gradient, where it does not lie as the parameter does: after all that


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
    brief: int  # the same in evaluation mode, where nothing is kept
    backward: Backward | None  # None where autograd does not follow
    lasting: bool = False  # autocast's copy of a weight, which lives until autocast ends
    view: bool = False  # the output is a view of another tensor
    changes: bool = False  # the output is the tensor that was read, changed in place
    drops: tuple[int, ...] = ()  # slots whose tensors are let go after it
    backs: dict[Shape, Back] = field(default_factory=dict)

    def back(self, strides: Shape) -> Back:
        """What its backward does, worked out once for each layout of gradients."""
        assert self.backward is not None
        back = self.backs[strides] = self.backward(strides)
        return back


class Program(NamedTuple):
    """The calls of one operator in turn. Slots number its reads first, then the outputs of its calls."""

    calls: tuple[Call, ...]
    result: int  # the slot of its output: a read's where the operator does nothing
    idle: bool  # whether it does nothing in evaluation mode


class Produced(NamedTuple):
    """A gradient as a backward makes it, before it is brought to the shape and width of what it is for."""

    flow: Flow | None  # None: for a parameter
    settles: int  # bytes of a copy
    size: int
    made: int  # bytes before it is summed over axes that were broadcast
    summed: int  # bytes after that, before it is converted


def gradient(
    value: Value, strides: Shape, *, shape: Shape | None = None, width: int | None = None, view: bool = False
) -> Produced | None:
    """The new gradient for a read, None where it wants none. `shape` and `width` are what the backward makes it in."""
    slot, form, own_shape, _ = value
    if not form.grad:
        return None
    made = summed = size = form.size
    if width is not None and width != form.width:
        made = summed = size // form.width * width
    if shape is not None and shape != own_shape:
        made = prod(shape) * (form.width if width is None else width)
    if slot == PARAMETER:
        return Produced(None, 0 if is_contiguous(own_shape, strides) else size, size, made, summed)
    return Produced(Flow(slot, size, strides, view), 0, size, made, summed)


def passed(value: Value, shape: Shape, incoming: Shape, *, width: int, anew: bool = False) -> Produced | None:
    """The gradient of an operand that was broadcast to `shape` and brought to `width`: the incoming one itself, or one
    made `anew`, summed where the operand was broadcast and converted where it is narrower. None where it wants none."""
    slot, form, own_shape, _ = value
    if not form.grad:
        return None
    made = size = prod(shape) * width if anew else 0
    strides = pointwise_strides(shape, (shape, incoming)) if anew else incoming
    if own_shape != shape:
        size, strides = form.size // form.width * width, contiguous(own_shape)
    summed = size
    if form.width != width:
        size, strides = form.size, pointwise_strides(own_shape, (own_shape, strides))
    flow = None if slot == PARAMETER else Flow(slot, size, strides)
    return Produced(flow, 0, size, made, summed)


def flows(*produced: Produced | None, least: int = 0) -> Back:
    """A backward that makes all these at once, then brings them to shape and width one by one (`validate_outputs`).

    `least` is what it needs at least on the way to them.
    """
    parts = []
    alive = held = settles = 0
    even = True  # each is made as it is wanted
    for each in produced:
        if each is None:
            continue
        flow, copied, size, made, _ = each
        alive += made
        even = even and made == size
        if flow is None:
            held += size
            settles = max(settles, copied)
        else:
            parts.append(flow)
    rise = max(alive, least)
    if not even:
        for each in produced:
            if each is not None:
                for before, after in ((each.made, each.summed), (each.summed, each.size)):
                    if before != after:
                        rise = max(rise, alive + after)
                        alive += after - before
    return Back(tuple(parts), held, rise, settles)
