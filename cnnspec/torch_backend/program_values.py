"""What the nodes of an exported program stand for while it is read, and how the arguments of a call are found."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

import torch
from torch import Tensor, fx

from cnnspec.foreign.network import Reference, Stored
from cnnspec.foreign.primitives import Primitive
from cnnspec.ops import AnyOp, Shape

__all__ = [
    "BATCH",
    "FIRST",
    "NOISE",
    "Activation",
    "Arguments",
    "Computed",
    "Made",
    "Missing",
    "Noise",
    "Value",
    "Weight",
    "base_name",
    "bound",
    "is_constant",
    "writes_in_place",
]


BATCH: Final = 2  # with one sample a reshape that mixes samples would pass unseen
NOISE: Final = "cnnspec_noise"  # marks the nodes of a program that work on noise


@dataclass(frozen=True, slots=True)
class Activation:
    """The value of a call, or the input. The shape is without the batch axis."""

    name: str
    shape: Shape


@dataclass(frozen=True, slots=True)
class Weight:
    """A tensor of the module, seen as this shape. Where all of its numbers are alike `start` is what they are."""

    reference: Stored
    shape: Shape
    trained: bool
    values: Tensor | None = None  # of what is not trained
    start: float | None = None


@dataclass(frozen=True, slots=True)
class Computed:
    """What is worked out from weights alone: how, and of what."""

    name: str  # of the operator
    shape: Shape
    arguments: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Noise:
    """Ones and zeros drawn anew for each sample (or for the batch), one with probability `kept`; or `scaled` by it."""

    shape: tuple[int, ...]
    kept: float = 1.0
    scaled: bool = False


# Numbers, words and tensors of constants stand for themselves.
Value: TypeAlias = Any
Arguments: TypeAlias = Mapping[str, Value]


@dataclass(frozen=True, slots=True)
class Made:
    """A call of the network: what it is here, what it reads, and which tensors of the module it has."""

    op: AnyOp | Primitive
    reads: tuple[Activation | Weight, ...]
    weights: Mapping[str, Reference] = field(default_factory=dict)


PREVIOUS: Final = Activation("", ())  # of several calls in turn: what the one before gives
FIRST: Final = Activation("", (1,))  # and what the first gives


class Missing(Exception):  # no error: a row in the table of gaps
    """What a call computes has no operator; the text says what is missing."""


Rule: TypeAlias = Callable[[fx.Node, Arguments], Value]


def read_of(arguments: Arguments, name: str = "input") -> Activation:
    """The value of a layer that a call reads. Raises Missing where it is none."""
    value = arguments[name]
    if not isinstance(value, Activation):
        raise Missing(f"its {name} is no value of a layer")
    return value


def base_name(target: object) -> str:
    """`aten.relu_.default` as `relu_`, and what is no operator of torch by its own name."""
    if isinstance(target, torch._ops.OpOverload):
        return str(target._schema.name).partition("::")[2]
    return str(getattr(target, "__name__", target))


def bound(node: fx.Node) -> dict[str, Any]:
    """The arguments of a node by their names in torch's own declaration, with its defaults."""
    target = node.target
    if not isinstance(target, torch._ops.OpOverload):
        return {str(number): each for number, each in enumerate(node.args)} | dict(node.kwargs)
    found: dict[str, Any] = {}
    for number, argument in enumerate(target._schema.arguments):
        name = "input" if argument.name == "self" else argument.name
        if number < len(node.args):
            found[name] = node.args[number]
        elif argument.name in node.kwargs:
            found[name] = node.kwargs[argument.name]
        elif argument.has_default_value():
            found[name] = argument.default_value
    return found


def is_constant(value: Value) -> bool:
    """Whether a value depends on no input and no weight."""
    if isinstance(value, (list, tuple)):
        return all(map(is_constant, value))
    return value is None or isinstance(value, (bool, int, float, str, Tensor, torch.dtype, torch.device, torch.layout))


def writes_in_place(target: object) -> bool:
    """Whether an operator of torch gives back its first argument, written over."""
    if not isinstance(target, torch._ops.OpOverload):
        return False
    first = next(iter(target._schema.arguments), None)
    return first is not None and first.alias_info is not None and bool(first.alias_info.is_write)
