"""What may be written: a value tree becomes a document of blocks, bodies and items, every one with its place.

`Header` is the pydantic model of the plain fields. Bodies are read by hand into small records, because a union of
models would report every layer once per member, and would lose the place of a word inside a line.
"""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass, field
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from cnnspec.errors import Diagnostic, Place
from cnnspec.spec.expression import ExpressionError, parse_expression, parse_line
from cnnspec.spec.hints import did_you_mean
from cnnspec.spec.names import RESERVED
from cnnspec.spec.source import ListValue, MapValue, Scalar, Value

__all__ = ["Argument", "Block", "Body", "Call", "Document", "Expr", "Header", "Item", "Param", "read_document"]

BODIES: Final = ("layers", "add", "mul", "concat")
JOIN_NAMES: Final = ("Add", "Mul", "Concat")
TYPES: Final = ("int", "float", "bool", "size", "list", "layer")
BLOCK_KEYS: Final = ("params", "let", "inputs", *BODIES)
HEADER_KEYS: Final = ("cnnspec", "name", "description", "reference", "classes", "outputs", "aux_outputs", "train")
TOP_KEYS: Final = (*HEADER_KEYS, "input", "variants", "blocks", "params", "let", *BODIES)
ITEM_KEYS: Final = ("type", *BODIES, "in", "repeat", "when")

_NAME = re.compile(r"[A-Za-z0-9_-]+\Z")
_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
_TEMPLATE = re.compile(r"\{([^{}]*)\}")

Word = Annotated[str, Field(strict=True, max_length=10_000)]


class Header(BaseModel):
    """The fields of a document that are plain data."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    cnnspec: Literal[1]
    name: Annotated[str, Field(strict=True, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=100)] = "network"
    description: Word | None = None
    reference: Word | None = None
    classes: tuple[Word, ...] = ()
    outputs: tuple[Word, ...] = ()
    aux_outputs: tuple[Word, ...] = ()
    train: dict[str, Any] = Field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Expr:
    """A value to be worked out: a literal, an expression, or a list of them."""

    value: Any  # ast.expr, list[Expr], or a plain literal
    place: Place
    word: str | None = None  # the text as written, for fields that take words


@dataclass(frozen=True, slots=True)
class Argument:
    """An argument of a call; `name` is None where it is given by position."""

    name: str | None
    expr: Expr
    place: Place  # of the name, or of the value


@dataclass(frozen=True, slots=True)
class Call:
    """A call of an operator, a block, or a parameter that holds one."""

    target: str
    place: Place
    args: tuple[Argument, ...] = ()


@dataclass(frozen=True, slots=True)
class Item:
    """One child of a body."""

    key: str | None  # as written: it may hold `{expression}`
    place: Place
    call: Call | None = None
    body: Body | None = None
    reads: tuple[tuple[str, Place], ...] | None = None
    repeat: Expr | None = None
    when: Expr | None = None
    template: tuple[str | Expr, ...] = ()  # the key's parts, where it has expressions


@dataclass(frozen=True, slots=True)
class Body:
    """`layers` (in turn) or `add` | `mul` | `concat` (side by side), and its children."""

    kind: str
    items: tuple[Item, ...]
    place: Place
    named: bool


@dataclass(frozen=True, slots=True)
class Param:
    """A parameter of a block: either a type, or a default."""

    name: str
    place: Place
    type: str | None
    default: Expr | None


@dataclass(frozen=True, slots=True)
class Block:
    """Parameters, local values, inputs and one body."""

    name: str
    place: Place
    params: tuple[Param, ...] = ()
    let: tuple[tuple[str, Expr], ...] = ()
    inputs: tuple[tuple[str, Place], ...] = ()
    body: Body | None = None


@dataclass(frozen=True, slots=True)
class Document:
    """A whole spec, read but not yet worked out."""

    header: Header
    main: Block
    input_shape: Expr | None
    mean: tuple[float, ...]
    std: tuple[float, ...]
    blocks: dict[str, Block]
    variants: dict[str, dict[str, Expr]]
    places: dict[str, Place] = field(default_factory=dict)  # of the top-level keys


class _Reader:
    """Reads a value tree; collects diagnostics instead of stopping at the first."""

    def __init__(self) -> None:
        self.found: list[Diagnostic] = []

    def error(self, code: str, message: str, place: Place, label: str | None = None, help: str | None = None) -> None:
        self.found.append(Diagnostic(code, message, place, label, help=help))

    # The document and its blocks

    def document(self, root: Value) -> Document | None:
        if not isinstance(root, MapValue):
            self.error("E107", "a spec is a mapping, starting with `cnnspec: 1`", root.place)
            return None
        places = {key.value: key.place for key, _ in root.entries}
        self.unknown_keys(root, TOP_KEYS, "a spec")
        header = self.header(root)
        shape, mean, std = self.input(root)
        blocks: dict[str, Block] = {}
        for key, value in self.entries(root.get("blocks"), "blocks"):
            block = self.block(key.value, value, key.place) if self.identifier(key, "block") else None
            if block:
                blocks[key.value] = block
        variants = {
            key.value: {name.value: self.expr(setting) for name, setting in self.entries(value, "a variant")}
            for key, value in self.entries(root.get("variants"), "variants")
            if self.name(key)
        }
        main = self.block(header.name if header else "", root, root.place, top=True)
        if header is None or main is None:
            return None
        return Document(header, main, shape, mean, std, blocks, variants, places)

    def header(self, root: MapValue) -> Header | None:
        if root.get("cnnspec") is None:
            self.error("E107", "the first line of a spec is `cnnspec: 1`, the version of the language", root.place)
            return None
        fields = {key: plain(value) for key in HEADER_KEYS if (value := root.get(key)) is not None}
        try:
            return Header.model_validate(fields)
        except ValidationError as error:
            for fault in error.errors(include_url=False):
                at: Value = root
                for step in fault["loc"]:
                    inner = at.get(str(step)) if isinstance(at, MapValue) else None
                    if isinstance(at, ListValue) and isinstance(step, int):
                        inner = at.items[step]
                    at = inner or at
                if fault["loc"] == ("cnnspec",):
                    message = f"this cnnspec reads version 1 of the language, not {plain(at)!r:.40}"
                elif fault["loc"] == ("name",):
                    message = "a name is letters, digits, `.`, `_` and `-`"
                else:
                    message = f"`{fault['loc'][0]}`: {fault['msg'][0].lower()}{fault['msg'][1:]}"
                self.error("E107", message, at.place)
            return None

    def input(self, root: MapValue) -> tuple[Expr | None, tuple[float, ...], tuple[float, ...]]:
        value = root.get("input")
        if value is None:
            self.error("E107", "a spec says the shape of its input: `input: [1, 28, 28]`", root.place)
            return None, (), ()
        if not isinstance(value, MapValue):
            return self.expr(value), (), ()
        self.unknown_keys(value, ("shape", "mean", "std"), "`input`")
        shape = value.get("shape")
        if shape is None:
            self.error("E107", "`input` wants a `shape`", value.place)
        mean, std = self.floats(value.get("mean"), "mean"), self.floats(value.get("std"), "std")
        if bool(mean) != bool(std) or len(mean) != len(std):
            self.error("E107", "`mean` and `std` go together, with one number per channel", value.place)
            mean = std = ()
        if any(number <= 0 for number in std):
            self.error("E107", "`std` is above 0", value.place)
        return self.expr(shape) if shape else None, mean, std

    def floats(self, value: Value | None, name: str) -> tuple[float, ...]:
        if value is None:
            return ()
        numbers = plain(value)
        numbers = numbers if isinstance(numbers, list) else [numbers]
        good = all(isinstance(n, (int, float)) and not isinstance(n, bool) and abs(n) < 1e6 for n in numbers)
        if not good:
            self.error("E107", f"`{name}` is a list of numbers, one per channel", value.place)
            return ()
        return tuple(float(number) for number in numbers)

    def block(self, name: str, value: Value, place: Place, *, top: bool = False) -> Block | None:
        what = "a spec" if top else f"the block {name}"
        if not isinstance(value, MapValue):
            if isinstance(value, ListValue):
                self.error(
                    "E107", f"{what} is a mapping with `layers:`", value.place, help="put the list below `layers:`"
                )
            else:
                self.error("E107", f"{what} is a mapping with `layers:` and perhaps `params:`", value.place)
            return None
        if not top:
            self.unknown_keys(value, BLOCK_KEYS, what)
        params = tuple(
            self.param(key, item)
            for key, item in self.entries(value.get("params"), "params")
            if self.identifier(key, "parameter")
        )
        let = tuple(
            (key.value, self.expr(item))
            for key, item in self.entries(value.get("let"), "let")
            if self.identifier(key, "local value")
        )
        inputs: list[tuple[str, Place]] = []
        if not top and (listed := value.get("inputs")) is not None:
            items = listed.items if isinstance(listed, ListValue) else [listed]
            for item in items:
                if isinstance(item, Scalar) and isinstance(item.value, str) and _IDENTIFIER.match(item.value):
                    inputs.append((item.value, item.content))
                else:
                    self.error("E107", "`inputs` is a list of names", item.place)
        bodies = [key for key, _ in value.entries if key.value in BODIES]
        if len(bodies) != 1:
            message = f"{what} has one of {', '.join(f'`{body}`' for body in BODIES)}"
            self.error("E107", message + (", not several" if bodies else ""), bodies[-1].place if bodies else place)
            return None
        inner = value.get(bodies[0].value)
        assert inner is not None
        return Block(name, place, params, let, tuple(inputs), self.body(bodies[0].value, inner))

    def param(self, key: Scalar, value: Value) -> Param:
        if isinstance(value, Scalar) and value.value in TYPES and isinstance(value.value, str):
            return Param(key.value, key.place, value.value, None)
        return Param(key.value, key.place, None, self.expr(value))

    # Bodies and their items

    def body(self, kind: str, value: Value) -> Body:
        items: list[Item] = []
        if isinstance(value, ListValue):
            items = [self.item(None, child, child.place) for child in value.items]
        elif isinstance(value, MapValue):
            items = [self.item(key, child, key.place) for key, child in value.entries if self.node_name(key)]
        else:
            self.error("E107", f"`{kind}` is a list or a mapping of layers", value.place)
        if not items and isinstance(value, (ListValue, MapValue)) and not value_entries(value):
            self.error("E107", f"`{kind}` is empty", value.place)
        return Body(kind, tuple(items), value.place, isinstance(value, MapValue))

    def item(self, key: Scalar | None, value: Value, place: Place) -> Item:
        name = key.value if key else None
        template = self.template(key) if key and "{" in key.value else ()
        if isinstance(value, Scalar):
            parts = self.line(value)
        elif isinstance(value, ListValue):
            parts = {"body": self.body("layers", value)}
        else:
            parts = self.long_form(value)
        return Item(name, place, template=template, **parts)

    def template(self, key: Scalar) -> tuple[str | Expr, ...]:
        parts: list[str | Expr] = []
        at = 0
        for match in _TEMPLATE.finditer(key.value):
            inner = Scalar(match[1], key.content.shifted(match.start(1), len(match[1])))
            parts += [key.value[at : match.start()], self.expr(inner)]
            at = match.end()
        return (*parts, key.value[at:])

    def line(self, value: Scalar) -> dict[str, Any]:
        if not isinstance(value.value, str):
            self.error("E107", f"a layer is written `Name` or `Name(arguments)`, not {value.value!r}", value.place)
            return {}
        place = value.content
        try:
            line = parse_line(value.value)
        except ExpressionError as error:
            hint = error.help
            if "{" in value.value or value.value.count("(") != value.value.count(")"):
                hint = "quote a line that holds `{`, `[` or `: `"
            self.error("E110", error.message, place.shifted(error.offset, error.length), help=hint)
            return {}

        def located(node: ast.expr) -> Expr:
            width = (node.end_col_offset or 0) - node.col_offset
            word = node.id if isinstance(node, ast.Name) else None
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                word = node.value
            return Expr(node, place.shifted(node.col_offset, max(1, width)), word)

        reads = None if line.reads is None else tuple((n, place.shifted(o, len(n))) for n, o in line.reads)
        args = [
            Argument(
                a.name, located(a.value), place.shifted(a.offset, len(a.name)) if a.name else located(a.value).place
            )
            for a in line.args
        ]
        target = place.shifted(len(value.value) - len(value.value.lstrip()), len(line.target))
        if line.target in JOIN_NAMES:
            if reads is not None:
                self.error("E109", f"the arguments of {line.target} are its reads", target)
            joined: list[tuple[str, Place]] = []
            for arg in args:
                if arg.name is not None or not isinstance(arg.expr.value, ast.Name):
                    self.error("E109", f"the arguments of {line.target} are names of earlier nodes", arg.place)
                else:
                    joined.append((arg.expr.value.id, arg.place))
            reads, args = tuple(joined), []
        return {
            "call": Call(line.target, target, tuple(args)),
            "reads": reads,
            "repeat": located(line.repeat) if line.repeat else None,
            "when": located(line.when) if line.when else None,
        }

    def long_form(self, value: MapValue) -> dict[str, Any]:
        heads = [key for key, _ in value.entries if key.value == "type" or key.value in BODIES]
        if len(heads) != 1:
            hint = None
            if not heads and len(value.entries) == 1:
                hint = "names belong to a mapping: drop the `- ` before every child"
            message = "a layer in long form has exactly one of `type`, `layers`, `add`, `mul`, `concat`"
            self.error("E107", message, heads[1].place if heads else value.place, help=hint)
            return {}
        parts: dict[str, Any] = {}
        args: list[Argument] = []
        for key, item in value.entries:
            if key.value == "in":
                parts["reads"] = self.reads(item)
            elif key.value in ("repeat", "when"):
                parts[key.value] = self.expr(item)
            elif key.value in BODIES:
                parts["body"] = self.body(key.value, item)
            elif key.value != "type":
                args.append(Argument(key.value, self.expr(item), key.content))
        if heads[0].value == "type":
            target = value.get("type")
            if not (isinstance(target, Scalar) and isinstance(target.value, str) and _IDENTIFIER.match(target.value)):
                self.error("E107", "`type` is the name of an operator or block", heads[0].place)
                return {}
            parts["call"] = Call(target.value, target.content, tuple(args))
        else:
            for arg in args:
                self.error(
                    "E107", f"a body takes no argument `{arg.name}`", arg.place, did_you_mean(arg.name or "", ITEM_KEYS)
                )
        return parts

    def reads(self, value: Value) -> tuple[tuple[str, Place], ...]:
        found = []
        for item in value.items if isinstance(value, ListValue) else [value]:
            if isinstance(item, Scalar) and item.value is not None:
                found.append((str(item.value), item.content))
            else:
                self.error("E109", "`in` is the name of an earlier node, or a list of names", item.place)
        return tuple(found)

    # Small parts

    def expr(self, value: Value) -> Expr:
        if isinstance(value, ListValue):
            return Expr([self.expr(item) for item in value.items], value.place)
        if isinstance(value, MapValue):
            self.error(
                "E106",
                "a value is a number, a word, an expression or a list",
                value.place,
                help="quote a text that holds `{`",
            )
            return Expr(None, value.place)
        if isinstance(value.value, str):
            try:
                return Expr(parse_expression(value.value), value.content, value.value)
            except ExpressionError as error:
                if error.message.startswith("strings"):
                    return Expr(None, value.content, value.value)
                self.error("E110", error.message, value.content.shifted(error.offset, error.length), help=error.help)
                return Expr(None, value.content, value.value)
        return Expr(value.value, value.place)

    def entries(self, value: Value | None, what: str) -> list[tuple[Scalar, Value]]:
        if value is None:
            return []
        if not isinstance(value, MapValue):
            self.error("E107", f"`{what}` is a mapping", value.place)
            return []
        return value.entries

    def unknown_keys(self, value: MapValue, known: tuple[str, ...], what: str) -> None:
        for key, _ in value.entries:
            if key.value not in known:
                self.error("E107", f"{what} has no key `{key.value:.60}`", key.place, did_you_mean(key.value, known))

    def identifier(self, key: Scalar, what: str) -> bool:
        if _IDENTIFIER.match(key.value) and key.value not in ("in_channels", "in_features", "input", "i"):
            return True
        self.error("E108", f"`{key.value:.60}` is no name for a {what}", key.place)
        return False

    def name(self, key: Scalar) -> bool:
        if _NAME.match(key.value):
            return True
        self.error("E108", f"`{key.value:.60}` is no name: letters, digits, `_` and `-`", key.place)
        return False

    def node_name(self, key: Scalar) -> bool:
        plain_key = _TEMPLATE.sub("0", key.value)
        if not _NAME.match(plain_key):
            self.error("E108", f"`{key.value:.60}` is no name for a node: letters, digits, `_` and `-`", key.place)
            return False
        if key.value in RESERVED:
            self.error(
                "E108",
                f"a node may not be called `{key.value}`",
                key.place,
                help="torch.nn.Module keeps this name for itself",
            )
            return False
        return True


def value_entries(value: ListValue | MapValue) -> int:
    """How many children a collection has."""
    return len(value.items if isinstance(value, ListValue) else value.entries)


def plain(value: Value) -> Any:
    """The value without places."""
    if isinstance(value, Scalar):
        return value.value
    if isinstance(value, ListValue):
        return [plain(item) for item in value.items]
    return {key.value: plain(item) for key, item in value.entries}


def read_document(root: Value) -> tuple[Document | None, list[Diagnostic]]:
    """The document that a value tree says, and everything that is wrong with it."""
    reader = _Reader()
    document = reader.document(root)
    return document, reader.found
