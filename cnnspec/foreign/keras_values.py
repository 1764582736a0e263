"""What Keras's layers stand for while a model is read: values with their channels first, and variables."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

from cnnspec.foreign.keras_config import KerasLayer
from cnnspec.foreign.network import Reference, Stored
from cnnspec.foreign.primitives import Primitive
from cnnspec.ops import AnyOp, Shape

__all__ = ["KerasGap", "KerasRule", "LayerReader", "Seen", "each_axis", "variable"]


class KerasGap(Exception):  # no error: a row in the table of gaps
    """What a layer computes has no operator; the text says what is missing."""


@dataclass(frozen=True, slots=True)
class Seen:
    """A value: the call that gives it, and its shape with the channels first.

    `columns` is there where it is maps that were flattened in Keras with their channels last: their `(H, W, C)`.
    """

    name: str
    shape: Shape
    columns: Shape = ()


class LayerReader(Protocol):
    """What rules ask of who reads a model."""

    channels_last: bool

    def add(
        self,
        layer: KerasLayer,
        op: AnyOp | Primitive,
        reads: Sequence[Seen],
        *,
        word: str = "",
        weights: Mapping[str, Reference] | None = None,
        shape: Shape | None = None,
        columns: Shape = (),
    ) -> Seen:
        """A call. With a `word` it is one on the way, named after the layer and the word."""

    def activated(self, layer: KerasLayer, activation: Any, value: Seen) -> Seen:
        """A value behind the activation that a layer has inside."""


KerasRule: TypeAlias = Callable[[LayerReader, KerasLayer, Sequence[Seen]], Seen]


def variable(layer: KerasLayer, word: str) -> Stored:
    """One of a layer's variables, as Keras calls it."""
    return Stored(f"{layer.path}/{word}")


def each_axis(value: Any, rank: int, what: str) -> tuple[int, ...]:
    """A size for each axis. Raises ValueError."""
    values = [value] * rank if type(value) is int else value
    if not isinstance(values, (list, tuple)) or len(values) != rank or any(type(each) is not int for each in values):
        raise ValueError(f"`{what}` is to be {rank} whole numbers")
    return tuple(values)
