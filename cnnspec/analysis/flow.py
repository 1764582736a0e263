"""What the tape is made of: the calls of kernels, what each allocates and keeps, and what its backward does.

Shapes hold the batch axis, sizes are bytes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from math import prod
from typing import NamedTuple, TypeAlias

from cnnspec.analysis.strides import is_contiguous
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
]

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


class Value(NamedTuple):
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
    if not value.form.grad:
        return None
    size = value.form.size
    width = value.form.width if width is None else width
    made = prod(value.shape if shape is None else shape) * width
    if value.slot == PARAMETER:
        settles = 0 if is_contiguous(value.shape, strides) else size
        return Produced(None, settles, size, made, prod(value.shape) * width)
    return Produced(Flow(value.slot, size, strides, view), 0, size, made, prod(value.shape) * width)


def flows(*produced: Produced | None, least: int = 0) -> Back:
    """A backward that makes all these at once, then brings them to shape and width one by one (`validate_outputs`).

    `least` is what it needs at least on the way to them.
    """
    found = [each for each in produced if each is not None]
    alive = sum(each.made for each in found)
    rise = max(alive, least)
    for each in found:
        for before, after in ((each.made, each.summed), (each.summed, each.size)):
            if before != after:
                rise = max(rise, alive + after)
                alive += after - before
    held = sum(each.size for each in found if each.flow is None)
    settles = max((each.settles for each in found), default=0)
    return Back(tuple(each.flow for each in found if each.flow is not None), held, rise, settles)
