"""What the tensors of an ONNX graph stand for while it is read, and a node with its arguments."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from math import isnan, prod
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeAlias

from cnnspec.foreign.network import Reference, Stored
from cnnspec.foreign.primitives import Primitive
from cnnspec.ops import AnyOp, Shape

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = [
    "MAX_FOLDED",
    "Activation",
    "Known",
    "Made",
    "Malformed",
    "Missing",
    "NodeView",
    "Reader",
    "Result",
    "Rule",
    "Strung",
    "Value",
]

MAX_FOLDED: Final = 2**24  # numbers of what is worked out while a file is read


class Missing(Exception):  # no error: a row in the table of gaps
    """What a node computes has no operator; the text says what is missing."""


class Malformed(Exception):
    """A node that breaks the rules of its own operator: the file is damaged, or was never run."""


@dataclass(frozen=True, slots=True)
class Activation:
    """The value of a call, or the input.

    `shape` is that of the call, without the batch. In the file the tensor may have its axes in another `order`: its
    axis `i` is axis `order[i]` of ours, both counted with the batch. `columns` is there where an axis of features was a
    map with its channels last, `(H, W, C)`: ours are in the order of `(C, H, W)`.
    """

    name: str
    shape: Shape
    order: tuple[int, ...] = ()  # empty: as ours
    columns: Shape = ()

    @property
    def is_plain(self) -> bool:
        """Whether the tensor of the file lies as ours."""
        return self.order in ((), tuple(range(len(self.shape) + 1)))

    def axis(self, axis: int) -> int:
        """Which axis of ours is this one of the file, from either end. Both count the batch."""
        axes = len(self.shape) + 1
        if not -axes <= axis < axes:
            raise Malformed(f"there is no axis {axis}")
        return self.order[axis % axes] if self.order else axis % axes

    def sizes(self, batch: int) -> Shape:
        """The shape of the tensor in the file."""
        ours = (batch, *self.shape)
        return tuple(ours[axis] for axis in self.order) if self.order else ours


@dataclass(frozen=True, eq=False)
class Known:
    """A tensor that depends on no input. `reference` is there where the file keeps it."""

    name: str  # of the tensor in the file
    shape: tuple[int, ...]
    make: Callable[[], NDArray[Any]] = field(repr=False)
    kind: str = "f"  # numpy's letter
    reference: Stored | None = None

    @cached_property
    def array(self) -> NDArray[Any]:
        """The numbers."""
        return self.make()

    @property
    def size(self) -> int:
        """How many numbers it has."""
        return prod(self.shape)

    def seen_as(self, name: str, shape: tuple[int, ...]) -> Known:
        """The same numbers in their order, as another shape."""
        reference = replace(self.reference, shape=shape) if self.reference else None
        return Known(name, shape, lambda: self.array.reshape(shape), self.kind, reference)

    def turned(self, name: str, order: tuple[int, ...]) -> Known:
        """With its axes in another order."""
        shape = tuple(self.shape[axis] for axis in order)
        reference = None
        if self.reference and self.reference.order is None:
            reference = Stored(self.reference.key, self.reference.shape, order)
        elif self.reference and self.reference.shape is None and self.reference.order is not None:
            composed = tuple(self.reference.order[axis] for axis in order)
            reference = replace(self.reference, order=composed)
        return Known(name, shape, lambda: self.array.transpose(order), self.kind, reference)


@dataclass(frozen=True, slots=True)
class Strung:
    """All numbers of a batch in one row: nobody can read it but who puts them back."""

    read: Activation


Value: TypeAlias = Activation | Known | Strung | None  # None: an argument that is left out


@dataclass(frozen=True, slots=True)
class Made:
    """A call of the network: what it is here, what it reads, and which tensors of the file it has.

    `shape` is needed only for what is no operator. `order` and `columns` are those of the result.
    """

    op: AnyOp | Primitive
    reads: tuple[Activation, ...]
    weights: Mapping[str, Reference] = field(default_factory=dict)
    shape: Shape | None = None
    order: tuple[int, ...] = ()
    columns: Shape = ()


@dataclass(frozen=True)
class NodeView:
    """A node with the values that it reads and its attributes by their names. Accessors raise Malformed."""

    proto: Any
    values: tuple[Value, ...]
    attributes: Mapping[str, Any]
    opset: int

    @property
    def kind(self) -> str:
        """The operator."""
        return str(self.proto.op_type)

    def value(self, number: int) -> Value:
        """An argument; None where it is left out."""
        return self.values[number] if number < len(self.values) else None

    def activation(self, number: int = 0) -> Activation:
        """An argument that has to be a value of a layer. Raises Missing."""
        value = self.value(number)
        if isinstance(value, Activation):
            return value
        if value is None:
            raise Malformed(f"it lacks its argument {number}")
        if isinstance(value, Strung):
            raise Missing("a reshape that mixes the samples of a batch")
        raise Missing(f"{self.kind} with a constant as its argument {number}")

    def known(self, number: int) -> Known | None:
        """An argument that has to be known beforehand, or is left out. Raises Missing."""
        value = self.value(number)
        if isinstance(value, (Activation, Strung)):
            raise Missing(f"{self.kind} with an argument {number} that is worked out anew for each input")
        return value

    def whole(self, name: str, default: int | None = None) -> int:
        """A whole number among the attributes."""
        value = self.attributes.get(name, default)
        if type(value) is not int:
            raise Malformed(f"`{name}` is no whole number")
        return value

    def number(self, name: str, default: float) -> float:
        """A number among the attributes."""
        value = self.attributes.get(name, default)
        if not isinstance(value, float) or isnan(value):
            raise Malformed(f"`{name}` is no number")
        return value

    def wholes(self, name: str, default: tuple[int, ...] | None = None) -> tuple[int, ...]:
        """Whole numbers among the attributes."""
        value = self.attributes.get(name, default)
        if not isinstance(value, tuple) or any(type(each) is not int for each in value):
            raise Malformed(f"`{name}` are no whole numbers")
        return value

    def word(self, name: str, default: str) -> str:
        """A word among the attributes."""
        value = self.attributes.get(name, default)
        if not isinstance(value, str):
            raise Malformed(f"`{name}` is no word")
        return value


class Reader(Protocol):
    """What rules ask of who reads the graph."""

    batch: int
    channels_last: bool

    def add(self, node: NodeView, word: str, made: Made, *, inner: bool = False, output: str = "") -> Activation:
        """A call of the network; `inner` is one of which the file has no tensor."""

    def plain(self, read: Activation) -> Activation:
        """A value with its axes as they are in the file."""

    def reference(self, known: Known) -> Reference:
        """A tensor that a layer has."""

    def parameter(self, node: NodeView, known: Known) -> str:
        """A call that gives a tensor of the file, and its name."""

    def bias_after(self, node: NodeView, features: int) -> Known | None:
        """The bias that the one node after a product adds, which is part of it then."""


Result: TypeAlias = Made | Activation | Strung | list[Made]  # a list has one for each output
Rule: TypeAlias = Callable[[Reader, NodeView], Result]
