"""What may be written: a document of blocks, bodies and items, every one with its place.

They are small records that `reader.py` fills by hand: models of pydantic would report every layer once per member of
their union, would lose the place of a word inside a line, and every start would wait for them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final, Literal, NamedTuple, TypeAlias

from cnnspec.errors import Place
from cnnspec.intake import STRETCH, Intake
from cnnspec.language.figures import Limit
from cnnspec.tasks import TaskOptions

__all__ = [
    "BODIES",
    "FAULT",
    "INLINE",
    "NOTHING",
    "OF_TRAINING",
    "TYPES",
    "Argument",
    "Block",
    "Body",
    "Call",
    "Choice",
    "Document",
    "Domain",
    "Expr",
    "Header",
    "Item",
    "LintOptions",
    "Param",
    "SearchSection",
]

Choice: TypeAlias = int | float | bool | str | None  # a value that a search may try

BODIES: Final = ("layers", "add", "mul", "concat")
INLINE: Final = "inline"  # children that take their places in the list around them
TYPES: Final = ("int", "float", "bool", "size", "list", "layer")
OF_TRAINING: Final = "train."  # before the name of a training option that varies in a search
FAULT: Final = object()  # the value of an `Expr` that could not be read; its error has been reported


class LintOptions(NamedTuple):
    """What the spec's author has considered: the codes of warnings that are not given about it."""

    ignore: tuple[str, ...] = ()


class Header(NamedTuple):
    """The fields of a document that are plain data."""

    cnnspec: int = 1
    name: str = "network"
    description: str | None = None
    reference: str | None = None
    classes: tuple[str, ...] = ()
    task: TaskOptions | None = None
    outputs: tuple[str, ...] = ()
    aux_outputs: tuple[str, ...] = ()
    train: Mapping[str, Any] = MappingProxyType({})
    lint: LintOptions = LintOptions()


@dataclass(frozen=True, slots=True)
class Expr:
    """A value to be worked out: a literal, an expression, or a list of them."""

    value: Any  # ast.expr, list[Expr], a plain literal, or FAULT
    place: Place
    word: str | None = None  # the text as written, for fields that take words
    cost: int = 1  # how much work it is to evaluate
    start: int = 0  # what the offsets of the syntax tree count at `place`


class Argument(NamedTuple):
    """An argument of a call; `name` is None where it is given by position."""

    name: str | None
    expr: Expr
    place: Place  # of the name, or of the value


class Call(NamedTuple):
    """A call of an operator, a block, or a parameter that holds one."""

    target: str
    place: Place
    args: tuple[Argument, ...] = ()


class Item(NamedTuple):
    """One child of a body."""

    key: str | None  # as written: it may hold `{expression}`
    place: Place
    call: Call | None = None
    body: Body | None = None
    reads: tuple[tuple[str, Place], ...] | None = None
    repeat: Expr | None = None
    when: Expr | None = None
    template: tuple[str | Expr, ...] = ()  # the key's parts, where it has expressions
    sound: bool = True  # whether nothing is wrong with it itself; that has been reported


class Body(NamedTuple):
    """`layers` (in turn), `add` | `mul` | `concat` (side by side), or `inline` (part of a list), and its children."""

    kind: str
    items: tuple[Item, ...]
    place: Place
    named: bool


class Param(NamedTuple):
    """A parameter of a block: either a type, or a default."""

    name: str
    place: Place
    type: str | None
    default: Expr | None


class Block(NamedTuple):
    """Parameters, local values, inputs and one body (None where it could not be read)."""

    name: str
    place: Place
    params: tuple[Param, ...] = ()
    let: tuple[tuple[str, Expr], ...] = ()
    inputs: tuple[tuple[str, Place], ...] = ()
    body: Body | None = None


@dataclass(frozen=True)
class Domain:
    """The values that one name of the space may have: a list of choices, or a range with both ends."""

    name: str
    place: Place
    kind: Literal["choices", "int", "float", "log"]
    values: tuple[Choice, ...]  # the choices, or the two ends; a list is written as an expression, as `--set` takes it
    step: float | None = None  # None: every number between the ends
    written: tuple[tuple[Expr, Place], ...] = ()  # the values as they stand in the text

    def __repr__(self) -> str:
        return f"<Domain of {self.name}: {self.kind} {list(self.values)}>"

    @property
    def option(self) -> str | None:
        """The training option that varies, or None for a parameter of the spec."""
        return self.name.removeprefix(OF_TRAINING) if self.name.startswith(OF_TRAINING) else None

    @property
    def ends(self) -> tuple[float, float]:
        """The first and the last value of a range."""
        first, last = self.values
        assert isinstance(first, (int, float))
        assert isinstance(last, (int, float))
        return first, last

    @property
    def count(self) -> int | None:
        """How many values there are; None where there is no end of them."""
        if self.kind == "choices":
            return len(self.values)
        if self.step is None:
            return None if self.ends[0] < self.ends[1] else 1
        first, last = self.ends
        return 1 + round((last - first) / self.step)

    def every(self) -> Sequence[Choice]:
        """All values of a domain that has a number of them."""
        if self.kind == "choices":
            return self.values
        first, step = self.ends[0], self.step or 0
        return [first + number * step for number in range(self.count or 0)]


class SearchSection(NamedTuple):
    """What a search is told. `places` are those of its keys, and of `limits.params`, …"""

    space: Mapping[str, Domain] = MappingProxyType({})
    limits: Mapping[str, Limit] = MappingProxyType({})
    trials: int = 50
    epochs: int | None = None  # None: those of the training options
    cost: str = "macs"
    prune: bool = True
    sampler: str = "tpe"
    plain: Mapping[str, Any] = MappingProxyType({})  # as it is written
    places: Mapping[str, Place] = MappingProxyType({})

    @property
    def size(self) -> int | None:
        """How many candidates the space has; None where there is no end of them."""
        counts = [domain.count for domain in self.space.values()]
        return None if None in counts else math.prod(count for count in counts if count is not None)


@dataclass(frozen=True, slots=True)
class Document:
    """A whole spec, read but not yet worked out."""

    header: Header
    main: Block
    input_shape: Expr | None
    mean: tuple[float, ...] | Expr  # an expression where a parameter holds the numbers
    std: tuple[float, ...] | Expr
    blocks: dict[str, Block]
    variants: dict[str, tuple[Argument, ...]]
    places: dict[str, Place] = field(default_factory=dict)  # of the top-level keys, and of `outputs.0`, …
    train_places: dict[str, tuple[Place, Place]] = field(default_factory=dict)  # of the keys and values of `train`
    search: SearchSection | None = None
    intake: Intake = STRETCH


# The document of a text that is none.
NOTHING: Final = Document(Header(), Block("network", Place(1, 1)), None, (), (), {}, {})
