"""What elaboration knows at a point of the document: names and their values, and the errors found so far."""

from __future__ import annotations

import ast
from collections.abc import Mapping, Set
from dataclasses import dataclass, field, replace
from typing import Any, Final, NamedTuple

from cnnspec.errors import Diagnostic, Place, UsageError
from cnnspec.graph import INPUT
from cnnspec.hints import did_you_mean
from cnnspec.language.document import FAULT, Argument, Block, Document, Expr
from cnnspec.language.evaluate import UnknownNameError, evaluate
from cnnspec.language.expression import ExpressionError
from cnnspec.language.results import LayerName, list_problem, show
from cnnspec.language.tree import MAX_ERRORS
from cnnspec.ops import Shape, operators

__all__ = [
    "WORK_PER_NODE", "Frame", "Given", "Log", "Ref", "Scope", "TooMany", "UnknownValue", "Values", "layer_names",
    "read_hint",
]  # fmt: skip

WORK_PER_NODE: Final = 250  # of evaluation, for each node that the network may have

_TYPES: Final[dict[str, tuple[type, ...]]] = {
    "int": (int,),
    "float": (int, float),
    "bool": (bool,),
    "size": (int, tuple),
    "list": (list, tuple),
    "layer": (LayerName, type(None)),
}


class UnknownValue(Exception):
    """A value cannot be worked out because of an error that has been reported."""


class TooMany(Exception):
    """A limit was passed; the diagnostic has been reported."""


class Ref(NamedTuple):
    """A value in the graph: which node gives it, and its shape (None after an error)."""

    name: str
    shape: Shape | None


class Given(NamedTuple):
    """A parameter's value as it is given, perhaps an `Expr`, and where it is written (None: outside of the spec)."""

    value: Any
    place: Place | None


class Scope(dict[str, Any]):
    """Names and their values. The name of an operator or block stands for itself."""

    def __init__(self, names: Mapping[str, Any], layers: Mapping[str, None]) -> None:
        super().__init__(names)
        self.layers = layers

    def __missing__(self, name: str) -> LayerName:
        if name in self.layers:
            return LayerName(name)
        raise KeyError(name)


@dataclass(slots=True)
class Frame:
    """Where elaboration is: the block's names, its inputs, and the calls that led here."""

    scope: Scope
    inputs: dict[str, Ref] = field(default_factory=dict)
    siblings: dict[str, Ref] = field(default_factory=dict)  # the named nodes of the open body, so far
    stack: tuple[str, ...] = ()  # notes for diagnostics, innermost first
    chain: tuple[str, ...] = ()  # names of the open blocks
    unknown: frozenset[str] = frozenset()  # names whose value an error has taken
    depth: int = 0  # of open bodies
    unsure: bool = False  # an error leaves open whether nodes are there, or how they are called

    def bind(self, name: str, value: Any) -> None:
        """Give a name its value."""
        self.scope[name] = value
        self.unknown -= {name}

    def lose(self, name: str) -> None:
        """Let a name stand for a value that an error has taken."""
        self.scope.pop(name, None)
        self.unknown |= {name}

    def bind_channels(self, source: Ref) -> None:
        """`in_channels` and `in_features` are those of the block's first input, throughout the block."""
        for name, axis in (("in_channels", 0), ("in_features", -1)):
            if source.shape is None:
                self.lose(name)
            else:
                self.bind(name, source.shape[axis])

    def copy_number(self, i: int) -> Frame:
        """The frame of a repetition's copy `i`."""
        return replace(self, scope=Scope({**self.scope, "i": i}, self.scope.layers))

    def inner(self) -> Frame:
        """The frame of a nested body."""
        depth = self.depth + 1  # not with `replace`, which takes three times as long: there is one for each body
        return Frame(self.scope, self.inputs, {}, self.stack, self.chain, self.unknown, depth, self.unsure)


class Log:
    """The errors found, each once: the same line may be expanded many times."""

    def __init__(self) -> None:
        self.found: list[Diagnostic] = []
        self.seen: set[tuple[str, Place | str]] = set()

    def knows(self, code: str, place: Place | None) -> bool:
        """Whether an error of this code has been found at a place, in another copy: it would not be kept again."""
        return (code, place) in self.seen

    def report(self, diagnostic: Diagnostic, frame: Frame) -> None:
        """Keep an error, with the blocks that led to it. Raises TooMany when there are enough."""
        key = (diagnostic.code, diagnostic.place or diagnostic.message)
        if key in self.seen:
            return
        self.seen.add(key)
        self.found.append(replace(diagnostic, notes=(*diagnostic.notes, *frame.stack)))
        if self.full:
            raise TooMany

    @property
    def full(self) -> bool:
        """Whether there are as many errors as anybody reads."""
        return len(self.found) >= MAX_ERRORS

    def error(
        self,
        frame: Frame,
        code: str,
        message: str,
        place: Place | None,
        label: str | None = None,
        help: str | None = None,
    ) -> None:
        """Keep an error that is told by its parts."""
        self.report(Diagnostic(code, message, place, label, help=help), frame)


def read_hint(name: str, nodes: Set[str]) -> str | None:
    """The way out for a node's name among the arguments."""
    return f"`{name}` is a node: reads have brackets of their own, `Layer()({name})`" if name in nodes else None


def layer_names(document: Document) -> dict[str, None]:
    """The names that may be called: operators, then the document's blocks in the order of its text."""
    return dict.fromkeys((*operators(), *document.blocks))


class Values:
    """Works out expressions, parameters and local values, and counts the work that they are."""

    def __init__(self, document: Document, log: Log, max_nodes: int) -> None:
        self.document = document
        self.log = log
        self.layers = layer_names(document)
        self.max_nodes = max_nodes
        self.work = 0

    def charge(self, work: int, frame: Frame, place: Place | None) -> None:
        """Count work; a spec that only repeats what is absent would else never end."""
        self.work += work
        if self.work > WORK_PER_NODE * self.max_nodes:
            message = f"working this out takes more than a network of {self.max_nodes:,} nodes should"
            self.log.error(frame, "E113", message, place, help="`--max-nodes` raises the limit")
            raise TooMany

    def value(self, expr: Expr, frame: Frame) -> Any:
        """The value of an expression. Reports a fault and raises UnknownValue."""
        self.charge(expr.cost, frame, expr.place)
        tree = expr.value  # most are a number or a name, and there are thousands in a large network
        if type(tree) is ast.Constant:
            return tree.value
        if type(tree) is ast.Name:
            if tree.id in frame.scope:
                return frame.scope[tree.id]
            if tree.id in frame.unknown:
                raise UnknownValue
        return self._value(expr, frame)

    def _value(self, expr: Expr, frame: Frame) -> Any:
        if expr.value is FAULT:
            raise UnknownValue
        if isinstance(expr.value, list):
            items = [self._value(item, frame) for item in expr.value]
            if problem := list_problem(items):
                self.log.error(frame, "E110", problem, expr.place)
                raise UnknownValue
            return items
        if expr.value is None and expr.word is not None:
            self.log.error(frame, "E106", f"a quoted word `{expr.word:.40}` is no value here", expr.place)
            raise UnknownValue
        if not isinstance(expr.value, ast.expr):
            return expr.value
        try:
            return evaluate(expr.value, frame.scope)
        except UnknownNameError as error:
            if error.name not in frame.unknown:
                label = did_you_mean(error.name, [*frame.scope, *self.layers, "True", "False", "None"])
                place = expr.place.shifted(error.offset - expr.start, error.length)
                hint = None if label else read_hint(error.name, {**frame.siblings, **frame.inputs}.keys())
                self.log.error(frame, "E110", error.message, place, label, hint)
        except ExpressionError as error:
            place = expr.place.shifted(error.offset - expr.start, error.length)
            self.log.error(frame, "E110", error.message, place, help=error.help)
        raise UnknownValue

    def arguments(self, named: Mapping[str, Argument], frame: Frame) -> tuple[dict[str, Given], frozenset[str]]:
        """The values of arguments, and the names of those that an error has taken."""
        given: dict[str, Given] = {}
        lost: set[str] = set()
        for name, arg in named.items():
            try:
                given[name] = Given(self.value(arg.expr, frame), arg.expr.place)
            except UnknownValue:
                lost.add(name)
        return given, frozenset(lost)

    def bind_params(
        self, block: Block, given: Mapping[str, Given], frame: Frame, lost: frozenset[str] = frozenset()
    ) -> None:
        """Put the parameters of a block in scope: given values first, else defaults, which see those before them."""
        for param in block.params:
            try:
                if param.name in lost:
                    raise UnknownValue
                if param.name in given:
                    value, place = given[param.name].value, given[param.name].place
                    if isinstance(value, Expr):
                        value = self.value(value, frame) if place else self.setting(param.name, value, frame)
                elif param.default is not None:
                    value, place = self.value(param.default, frame), param.default.place
                else:
                    hint = f"give it a default in place of its type, or `--set {param.name}=…`"
                    self.log.error(frame, "E105", f"`{param.name}` has no value", param.place, help=hint)
                    raise UnknownValue
                frame.bind(param.name, self.typed(param.name, param.type, value, place, frame))
            except UnknownValue:
                frame.lose(param.name)

    def typed(self, name: str, kind: str | None, value: Any, place: Place | None, frame: Frame) -> Any:
        """The value as the parameter's type has it. Reports another type."""
        if kind is None:
            return value
        if kind == "size" and isinstance(value, list):
            value = tuple(value)
        good = isinstance(value, _TYPES[kind]) and (kind == "bool" or not isinstance(value, bool))
        if kind == "size" and isinstance(value, tuple):
            good = bool(value) and all(type(size) is int for size in value)
        if not good:
            message = f"`{name}` is of type {kind}, not {show(value)}"
            if place is None:
                raise UsageError(message)
            self.log.error(frame, "E115", message, place)
            raise UnknownValue
        return value

    def setting(self, name: str, expr: Expr, frame: Frame) -> Any:
        """The value of a parameter that is set from outside. Raises UsageError."""
        try:
            return evaluate(expr.value, frame.scope)
        except ExpressionError as error:
            hint = error.help
            if isinstance(error, UnknownNameError):
                label = did_you_mean(error.name, [*frame.scope, *self.layers, "True", "False", "None"])
                hint = label or "a value is a number, a list, `True` or `False`, or the name of a layer"
            raise UsageError(f"the value of `{name}`: {error.message}", hint=hint) from None

    def bind_let(self, block: Block, frame: Frame) -> None:
        """Put the local values of a block in scope, top to bottom."""
        for name, expr in block.let:
            try:
                frame.bind(name, self.value(expr, frame))
            except UnknownValue:
                frame.lose(name)

    def input_shape(self, frame: Frame) -> Shape | None:
        """The document's input shape, or None after an error."""
        expr = self.document.input_shape
        if expr is None:
            return None
        try:
            value = self.value(expr, frame)
        except UnknownValue:
            return None
        shape = tuple(value) if isinstance(value, (list, tuple)) else (value,)
        if not 1 <= len(shape) <= 4 or any(type(size) is not int or not 1 <= size < 2**31 for size in shape):
            message = "the input shape is one to four whole numbers: features, or channels and up to three axes"
            self.log.error(frame, "E107", message, expr.place, help="for example `input: [3, 224, 224]`")
            return None
        return shape

    def top_frame(self) -> Frame:
        """The frame of the document, before its parameters are bound."""
        return Frame(Scope({}, self.layers), {INPUT: Ref(INPUT, None)})

    def normalisation(self, frame: Frame) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """`mean` and `std` of the input, worked out where they are parameters. Reports what is no such list."""
        settled = []
        for name, given in (("mean", self.document.mean), ("std", self.document.std)):
            if not isinstance(given, tuple):
                try:
                    value = self.value(given, frame)
                except UnknownValue:
                    return (), ()
                numbers = value if isinstance(value, (list, tuple)) else [value]
                if not all(type(n) in (int, float) and abs(n) < 1e6 and (name == "mean" or n > 0) for n in numbers):
                    above = ", all above 0" if name == "std" else ""
                    message = f"`{name}` is a list of numbers, one per channel{above}"
                    self.log.error(frame, "E107", message, given.place)
                    return (), ()
                given = tuple(float(number) for number in numbers)
            settled.append(given)
        if len(settled[0]) != len(settled[1]):
            message = "`mean` and `std` go together, with one number per channel"
            self.log.error(frame, "E107", message, self.document.places.get("input"))
            return (), ()
        return settled[0], settled[1]
