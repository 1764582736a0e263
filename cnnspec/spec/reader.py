"""A value tree becomes a document. Collects what is wrong instead of stopping at the first fault.

What could not be read leaves a gap (a body of None, the value FAULT), so that nothing is reported that only follows
from another error.
"""

from __future__ import annotations

import ast
import math
import re
from typing import Any, Final

from pydantic import ValidationError

from cnnspec.errors import Diagnostic, Place
from cnnspec.ops import JOINS, operators
from cnnspec.spec.document import (
    BODIES,
    FAULT,
    INLINE,
    TYPES,
    Argument,
    Block,
    Body,
    Call,
    Document,
    Expr,
    Header,
    Item,
    Param,
)
from cnnspec.spec.expression import MAX_NUMBER, ExpressionError, parse_expression, parse_line, weight
from cnnspec.spec.hints import closest, did_you_mean
from cnnspec.spec.names import RESERVED
from cnnspec.spec.source import MAX_ERRORS, ListValue, MapValue, Scalar, Value, plain

__all__ = ["BLOCK_KEYS", "HEADER_KEYS", "ITEM_KEYS", "JOIN_NAMES", "TOP_KEYS", "read_document"]

JOIN_NAMES: Final = tuple(join.__name__ for join in JOINS)
BLOCK_KEYS: Final = ("params", "let", "inputs", *BODIES)
HEADER_KEYS: Final = tuple(Header.model_fields)
TOP_KEYS: Final = (*HEADER_KEYS, "input", "variants", "blocks", "params", "let", *BODIES)
ITEM_KEYS: Final = ("type", *BODIES, INLINE, "in", "repeat", "when")

_HEADS: Final = ("type", *BODIES, INLINE)
_NAME = re.compile(r"[A-Za-z0-9_-]{1,100}\Z")
_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,99}\Z")
_TEMPLATE = re.compile(r"\{([^{}]*)\}")
_FORM: Final[dict[str, str]] = {
    "name": "a name is letters, digits, `.`, `_` and `-`",
    "description": "`description` is a text",
    "reference": "`reference` is a text",
    "classes": "`classes` is a list of texts",
    "outputs": "`outputs` is a list of names of nodes",
    "aux_outputs": "`aux_outputs` is a list of names of nodes",
    "train": "`train` is a mapping",
    "lint": "`lint` lists the warnings that are not wanted: `lint: {ignore: [W305]}`",
}
_NO_TYPES: Final = {"integer": "int", "number": "float", "boolean": "bool", "tuple": "size", "str": None}


class _TooMany(Exception):
    """Enough errors have been found."""


class _Reader:
    def __init__(self) -> None:
        self.found: list[Diagnostic] = []

    def error(self, code: str, message: str, place: Place, label: str | None = None, help: str | None = None) -> None:
        self.found.append(Diagnostic(code, message, place, label, help=help))
        if len(self.found) >= MAX_ERRORS:
            raise _TooMany

    # The document and its blocks

    def document(self, root: Value) -> Document | None:
        if not isinstance(root, MapValue):
            self.error("E107", "a spec is a mapping, starting with `cnnspec: 1`", root.place)
            return None
        if not self.version(root):
            return None
        self.unknown_keys(root, TOP_KEYS, "a spec")
        header = self.header(root)
        shape, mean, std = self.input(root)
        blocks = {}
        for key, value in self.entries(root.get("blocks"), "blocks"):
            self.identifier(key, "block")
            blocks[key.value] = self.block(key.value, value, key.place)
        variants = {}
        for key, value in self.entries(root.get("variants"), "variants"):
            self.name(key)
            settings = self.entries(value, f"the variant {key.value:.60}")
            variants[key.value] = tuple(Argument(n.value, self.expr(setting), n.place) for n, setting in settings)
        main = self.block(header.name, root, root.place, top=True)
        places = {key.value: key.place for key, _ in root.entries}
        return Document(header, main, shape, mean, std, blocks, variants, places)

    def version(self, root: MapValue) -> bool:
        """Whether there is anything to read: a spec of another version, or something else, is not taken apart."""
        version = root.get("cnnspec")
        if version is None:
            self.error("E107", "the first line of a spec is `cnnspec: 1`, the version of the language", root.place)
            return any(root.get(body) for body in BODIES)
        if isinstance(version, Scalar) and type(version.value) is int and version.value == 1:
            return True
        shown = version.spelling if isinstance(version, Scalar) else "a list or mapping"
        message = f"this cnnspec reads version 1 of the language, not {shown:.40}"
        self.error("E107", message, version.place, help="write `cnnspec: 1`")
        return False

    def header(self, root: MapValue) -> Header:
        fields = {key: plain(value) for key in HEADER_KEYS if (value := root.get(key)) is not None}
        fields["cnnspec"] = 1
        while True:
            try:
                return Header.model_validate(fields)
            except ValidationError as error:
                for fault in error.errors(include_url=False):
                    field, *steps = fault["loc"]
                    at = root.get(str(field))
                    for step in steps:
                        at = at.items[step] if isinstance(at, ListValue) and isinstance(step, int) else at
                    assert at is not None
                    number = isinstance(at, Scalar) and not isinstance(at.value, (str, type(None)))
                    hint = f'quote it: `"{at.spelling:.40}"`' if isinstance(at, Scalar) and number and steps else None
                    self.error("E107", _FORM[str(field)], at.place, help=hint)
                    fields.pop(str(field), None)

    def input(self, root: MapValue) -> tuple[Expr | None, tuple[float, ...] | Expr, tuple[float, ...] | Expr]:
        value = root.get("input")
        if value is None:
            if not self.misspelt(root, TOP_KEYS, "input"):
                self.error("E107", "a spec says the shape of its input: `input: [1, 28, 28]`", root.place)
            return None, (), ()
        if not isinstance(value, MapValue):
            return self.shape(value), (), ()
        self.unknown_keys(value, ("shape", "mean", "std"), "`input`")
        shape = value.get("shape")
        if shape is None:
            self.error("E107", "`input` wants a `shape`", value.place)
        params = root.get("params")
        names = {key.value for key, _ in params.entries} if isinstance(params, MapValue) else set()
        mean, std = self.floats(value, "mean", names), self.floats(value, "std", names)
        if mean is None or std is None:  # reported
            return self.shape(shape) if shape else None, (), ()
        if isinstance(mean, tuple) and isinstance(std, tuple) and len(mean) != len(std):
            self.error("E107", "`mean` and `std` go together, with one number per channel", value.place)
            mean = std = ()
        if isinstance(std, tuple) and any(number <= 0 for number in std):
            self.error("E107", "`std` is above 0", value.place)
        return self.shape(shape) if shape else None, mean, std

    def shape(self, value: Value) -> Expr:
        if isinstance(value, Scalar) and isinstance(value.value, str) and re.match(r"\d+( *[x×] *\d+)+\Z", value.value):
            listed = ", ".join(re.findall(r"\d+", value.value))
            self.error("E107", "a shape is a list of numbers", value.place, help=f"write `[{listed:.60}]`")
            return Expr(FAULT, value.place)
        return self.expr(value)

    def floats(self, parent: MapValue, name: str, params: set[str]) -> tuple[float, ...] | Expr | None:
        value = parent.get(name)
        if value is None:
            return ()
        if isinstance(value, Scalar) and value.value in params:
            return self.expr(value)
        numbers = plain(value)
        numbers = numbers if isinstance(numbers, list) else [numbers]
        good = all(isinstance(n, (int, float)) and not isinstance(n, bool) and abs(n) < 1e6 for n in numbers)
        if not good or not numbers:
            self.error("E107", f"`{name}` is a list of numbers, one per channel", value.place)
            return None
        return tuple(float(number) for number in numbers)

    def block(self, name: str, value: Value, place: Place, *, top: bool = False) -> Block:
        what = "a spec" if top else f"the block {name:.60}"
        if not isinstance(value, MapValue):
            hint = "put the list below `layers:`" if isinstance(value, ListValue) else None
            self.error("E107", f"{what} is a mapping with `layers:` and perhaps `params:`", value.place, help=hint)
            return Block(name, place)
        if not top:
            self.unknown_keys(value, BLOCK_KEYS, what)
        params = []
        for key, item in self.entries(value.get("params"), "params"):
            self.identifier(key, "parameter")
            params.append(self.param(key, item))
        let = []
        for key, item in self.entries(value.get("let"), "let"):
            self.identifier(key, "local value")
            let.append((key.value, self.expr(item)))
        inputs = () if top else self.inputs(value.get("inputs"))
        bodies = [key for key, _ in value.entries if key.value in BODIES]
        if len(bodies) != 1:
            if bodies or not self.misspelt(value, TOP_KEYS if top else BLOCK_KEYS, *BODIES):
                message = f"{what} has one of {', '.join(f'`{body}`' for body in BODIES)}"
                self.error("E107", message + (", not several" if bodies else ""), bodies[-1].place if bodies else place)
            return Block(name, place, tuple(params), tuple(let), inputs)
        inner = value.get(bodies[0].value)
        assert inner is not None
        return Block(name, place, tuple(params), tuple(let), inputs, self.body(bodies[0].value, inner))

    def inputs(self, value: Value | None) -> tuple[tuple[str, Place], ...]:
        if value is None:
            return ()
        inputs: list[tuple[str, Place]] = []
        for item in value.items if isinstance(value, ListValue) else [value]:
            if not (isinstance(item, Scalar) and isinstance(item.value, str) and _IDENTIFIER.match(item.value)):
                self.error("E107", "`inputs` is a list of names", item.place)
            elif item.value in [name for name, _ in inputs] or (item.value == "input" and inputs):
                message = f"two inputs are called `{item.value}`" + (" (the first always is)" * (item.value == "input"))
                self.error("E108", message, item.place)
            else:
                inputs.append((item.value, item.content))
        return tuple(inputs)

    def param(self, key: Scalar, value: Value) -> Param:
        word = value.value if isinstance(value, Scalar) and isinstance(value.value, str) else None
        if word in TYPES:
            return Param(key.value, key.place, word, None)
        if word in _NO_TYPES:
            meant = _NO_TYPES[word]
            label = f"did you mean `{meant}`?" if meant else None
            self.error("E115", f"there is no type `{word}`", value.place, label, f"there are: {', '.join(TYPES)}")
            return Param(key.value, key.place, None, Expr(FAULT, value.place))
        return Param(key.value, key.place, None, self.expr(value))

    # Bodies and their items

    def body(self, kind: str, value: Value) -> Body:
        items: list[Item] = []
        children: list[tuple[Scalar | None, Value]] = []
        if isinstance(value, ListValue):
            children = [(None, child) for child in value.items]
        elif isinstance(value, MapValue):
            children = list(value.entries)
        else:
            self.error("E107", f"`{kind}` is a list or a mapping of layers", value.place)
        open_brackets = 0
        for key, child in children:
            place = key.place if key else child.place
            if open_brackets > 0:  # the rest of a line that a comma has cut
                open_brackets += _open(key.spelling if key else _spelling(child))
                continue
            if key:
                self.node_name(key)
            open_brackets = _open(_spelling(child))
            if open_brackets > 0 and child is not children[-1][1]:
                hint = "quote the line: between brackets of its own YAML ends a text at a comma"
                self.error("E110", "a bracket of this line is not closed", child.place, help=hint)
                items.append(Item(key.value if key else None, place))
                continue
            open_brackets = 0
            items.append(self.item(key, child, place))
        if not items and not isinstance(value, Scalar):
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
            inner = parts.get("body")
            if inner is not None and inner.kind == INLINE and (key or inner.named):
                self.error("E107", "`inline` is a list within a list: its layers take numbers of that list", place)
        return Item(name, place, template=template, **parts)

    def template(self, key: Scalar) -> tuple[str | Expr, ...]:
        parts: list[str | Expr] = []
        at = 0
        for match in _TEMPLATE.finditer(key.value):
            place = key.content.shifted(match.start(1), len(match[1]))
            parts += [key.value[at : match.start()], self.expr(Scalar(match[1], place, place, match[1]))]
            at = match.end()
        return (*parts, key.value[at:])

    def line(self, value: Scalar) -> dict[str, Any]:
        if not isinstance(value.value, str):
            shown = f"`{value.spelling:.40}`" if value.spelling else "nothing"
            self.error("E107", f"a layer is written `Name` or `Name(arguments)`, not {shown}", value.place)
            return {}
        place = value.content
        try:
            line = parse_line(value.value.rstrip("\n"))  # a block of text ends with a line break
        except ExpressionError as error:
            self.error("E110", error.message, place.shifted(error.offset, error.length), help=error.help)
            return {}

        def located(node: ast.expr) -> Expr:
            width = (node.end_col_offset or 0) - node.col_offset
            word = node.id if isinstance(node, ast.Name) else None
            here = place.shifted(node.col_offset, max(1, width))
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                return Expr(None, here, node.value)
            return Expr(node, here, word, weight(node), node.col_offset)

        reads = None if line.reads is None else tuple((n, place.shifted(o, len(n))) for n, o in line.reads)
        args = []
        for written in line.args:
            expr = located(written.value)
            name = written.name
            args.append(Argument(name, expr, place.shifted(written.offset, len(name)) if name else expr.place))
        target = place.shifted(len(value.value) - len(value.value.lstrip()), len(line.target))
        if line.target in JOIN_NAMES:
            if reads is not None:
                self.error("E109", f"the arguments of {line.target} are its reads", target)
            joined: list[tuple[str, Place]] = []
            for arg in args:
                if arg.name is not None or not isinstance(arg.expr.value, ast.Name):
                    self.error("E109", f"the arguments of {line.target} are names of earlier nodes", arg.place)
                    return {}
                joined.append((arg.expr.value.id, arg.place))
            reads, args = tuple(joined), []
        return {
            "call": Call(line.target, target, tuple(args)),
            "reads": reads,
            "repeat": located(line.repeat) if line.repeat else None,
            "when": located(line.when) if line.when else None,
        }

    def long_form(self, value: MapValue) -> dict[str, Any]:
        heads = [key for key, _ in value.entries if key.value in _HEADS]
        if len(heads) != 1:
            if heads or not self.misspelt(value, ITEM_KEYS, *_HEADS, report=True):
                message = f"a layer in long form has exactly one of {', '.join(f'`{head}`' for head in _HEADS)}"
                self.error("E107", message, heads[1].place if heads else value.place, help=_headless(value))
            return {}
        parts: dict[str, Any] = {}
        args: list[Argument] = []
        for key, item in value.entries:
            if key.value == "in":
                parts["reads"] = reads = self.reads(item)
                if reads is None:
                    return {}
            elif key.value in ("repeat", "when"):
                parts[key.value] = self.expr(item)
            elif key.value != "type" and key.value in _HEADS:
                parts["body"] = self.body(key.value, item)
            elif key.value != "type":
                args.append(Argument(key.value, self.expr(item), key.content))
        if heads[0].value == "type":
            target = value.get("type")
            if not (isinstance(target, Scalar) and isinstance(target.value, str) and _IDENTIFIER.match(target.value)):
                place = heads[0].place if target is None else target.place
                hint = "arguments are keys of their own" if isinstance(target, Scalar) else None
                self.error("E107", "`type` is the name of an operator or block, without arguments", place, help=hint)
                return {}
            parts["call"] = Call(target.value, target.content, tuple(args))
            if target.value in JOIN_NAMES:
                parts.setdefault("reads", ())
        else:
            for arg in args:
                label = did_you_mean(arg.name or "", ITEM_KEYS)
                self.error("E107", f"a body takes no argument `{arg.name:.60}`", arg.place, label)
        return parts

    def reads(self, value: Value) -> tuple[tuple[str, Place], ...] | None:
        """The names of `in`, or None after an error."""
        found = []
        for item in value.items if isinstance(value, ListValue) else [value]:
            if isinstance(item, Scalar) and item.value is not None:
                found.append((item.spelling, item.content))
            else:
                self.error("E109", "`in` is the name of an earlier node, or a list of names", item.place)
                return None
        return tuple(found)

    # Small parts

    def expr(self, value: Value) -> Expr:
        if isinstance(value, ListValue):
            items = [self.expr(item) for item in value.items]
            return Expr(items, value.place, cost=1 + sum(item.cost for item in items))
        if isinstance(value, MapValue):
            message = "a value is a number, a word, an expression or a list, not a mapping"
            self.error("E106", message, value.place, help="quote a text that holds `{`")
            return Expr(FAULT, value.place)
        if isinstance(value.value, str):
            try:
                tree = parse_expression(value.value.rstrip("\n"))
            except ExpressionError as error:
                if error.message.startswith("strings"):
                    return Expr(None, value.content, value.value)
                hint = error.help or _cut_by_comma(value.value)
                self.error("E110", error.message, value.content.shifted(error.offset, error.length), help=hint)
                return Expr(FAULT, value.content, value.value)
            return Expr(tree, value.content, value.value, weight(tree))
        number = isinstance(value.value, (int, float))
        if number and not (math.isfinite(value.value) and abs(value.value) <= MAX_NUMBER):
            self.error("E110", "a number is finite, and 2^63 at most", value.place)
            return Expr(FAULT, value.place)
        return Expr(value.value, value.place)

    def entries(self, value: Value | None, what: str) -> list[tuple[Scalar, Value]]:
        if value is None:
            return []
        if not isinstance(value, MapValue):
            self.error("E107", f"`{what}` is a mapping" if " " not in what else f"{what} is a mapping", value.place)
            return []
        return value.entries

    def unknown_keys(self, value: MapValue, known: tuple[str, ...], what: str) -> None:
        for key, item in value.entries:
            if key.value not in known:
                hint = _cut_by_comma(key.value)
                if known is TOP_KEYS and key.value[:1].isupper() and isinstance(item, MapValue):
                    hint = "a block is written below `blocks:`"
                label = did_you_mean(key.value, known)
                self.error("E107", f"{what} has no key `{key.value:.60}`", key.place, label, hint)

    def misspelt(self, value: MapValue, known: tuple[str, ...], *wanted: str, report: bool = False) -> bool:
        """Whether one of the wanted keys is there in a wrong spelling."""
        for key, _ in value.entries:
            if key.value not in known and closest(key.value, known) in wanted:
                if report:
                    label = did_you_mean(key.value, known)
                    self.error("E107", f"a layer in long form has no key `{key.value:.60}`", key.place, label)
                return True
        return False

    def identifier(self, key: Scalar, what: str) -> None:
        if not _IDENTIFIER.match(key.value):
            self.error("E108", f"`{key.value:.60}` is no name for a {what}: letters, digits and `_`", key.place)
        elif key.value in ("in_channels", "in_features", "input", "i") or key.value in _CONSTANTS:
            self.error("E108", f"a {what} may not be called `{key.value}`: the language uses the name", key.place)

    def name(self, key: Scalar) -> None:
        if not _NAME.match(key.value):
            self.error("E108", f"`{key.value:.60}` is no name: letters, digits, `_` and `-`", key.place)

    def node_name(self, key: Scalar) -> None:
        plain_key = _TEMPLATE.sub("0", key.value)
        if not _NAME.match(plain_key):
            hint = "nested names are written nested: `layer1: {layers: …}`" if "." in plain_key else None
            what = "letters, digits, `_` and `-`" if len(key.value) <= 100 else "100 characters at most"
            self.error("E108", f"`{key.value:.60}` is no name for a node: {what}", key.place, help=hint)
        elif key.value in RESERVED:
            hint = "torch.nn.Module keeps this name for itself"
            self.error("E108", f"a node may not be called `{key.value}`", key.place, help=hint)


_CONSTANTS: Final = ("True", "False", "None", "and", "or", "not", "if", "else")


def _open(text: str) -> int:
    """How many brackets of a text are not closed."""
    return sum(text.count(opening) - text.count(closing) for opening, closing in ("()", "[]"))


def _spelling(value: Value) -> str:
    return value.spelling if isinstance(value, Scalar) else ""


def _cut_by_comma(text: str) -> str | None:
    """The hint for a part of `{out: f(a, b)}`: to YAML the comma ends the value."""
    return 'quote it: between `{` and `}` YAML ends a value at a comma: `{out: "max(a, b)"}`' if _open(text) else None


def _headless(value: MapValue) -> str | None:
    """The way out for a mapping that stands where a layer should."""
    for key, item in value.entries:
        if hint := _cut_by_comma(key.value) or _cut_by_comma(_spelling(item)):
            return hint
    if len(value.entries) != 1:
        return None
    word = value.entries[0][0].value
    if word in operators():
        return f"write `{word}(…)`, or `{{type: {word}, …}}`"
    return "names belong to a mapping: drop the `- ` before every child"


def read_document(root: Value) -> tuple[Document | None, list[Diagnostic]]:
    """The document that a value tree says (None where it is none), and everything that is wrong with it."""
    reader = _Reader()
    try:
        document = reader.document(root)
    except _TooMany:
        document = None
    return document, reader.found
