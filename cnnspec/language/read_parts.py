"""The small parts that a document is read with: names, keys, expressions, and the list of what is wrong."""

from __future__ import annotations

import math
import re
from typing import Final

from cnnspec.errors import Diagnostic, Place
from cnnspec.hints import closest, did_you_mean
from cnnspec.language.document import BODIES, FAULT, INLINE, Expr, Header
from cnnspec.language.expression import MAX_NUMBER, ExpressionError, QuotedWordError, parse_expression, weight
from cnnspec.language.names import RESERVED
from cnnspec.language.tree import MAX_ERRORS, ListValue, MapValue, Scalar, Value

__all__ = [
    "BLOCK_KEYS",
    "HEADER_KEYS",
    "IDENTIFIER",
    "ITEM_KEYS",
    "TEMPLATE",
    "TOP_KEYS",
    "Parts",
    "TooManyFaults",
    "cut_by_comma",
    "open_brackets",
    "spelling",
    "without_space",
]

BLOCK_KEYS: Final = ("params", "let", "inputs", *BODIES)
HEADER_KEYS: Final = Header._fields
TOP_KEYS: Final = (*HEADER_KEYS, "input", "variants", "blocks", "params", "let", *BODIES, "search")
ITEM_KEYS: Final = ("type", *BODIES, INLINE, "in", "repeat", "when")

_NAME = re.compile(r"[A-Za-z0-9_-]{1,100}\Z")
IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,99}\Z")
TEMPLATE = re.compile(r"\{([^{}]*)\}")

_CONSTANTS: Final = ("True", "False", "None", "and", "or", "not", "if", "else")


class TooManyFaults(Exception):
    """Enough errors have been found."""


class Parts:
    """Reads the small parts of a document; `found` collects what is wrong with them and with the rest."""

    def __init__(self) -> None:
        self.found: list[Diagnostic] = []

    def error(self, code: str, message: str, place: Place, label: str | None = None, help: str | None = None) -> None:
        """Keep an error that is told by its parts. Raises TooManyFaults when there are enough."""
        self.keep(Diagnostic(code, message, place, label, help=help))

    def keep(self, fault: Diagnostic) -> None:
        """Keep an error. Raises TooManyFaults when there are enough."""
        self.found.append(fault)
        if len(self.found) >= MAX_ERRORS:
            raise TooManyFaults

    def expr(self, value: Value) -> Expr:
        if isinstance(value, ListValue):
            items = [self.expr(item) for item in value.items]
            return Expr(items, value.place, cost=1 + sum(item.cost for item in items))
        if isinstance(value, MapValue):
            message = "a value is a number, a word, an expression or a list, not a mapping"
            self.error("E106", message, value.place, help="quote a text that holds `{`")
            return Expr(FAULT, value.place)
        if isinstance(value.value, str):
            text = value.value.rstrip("\n")  # a block of text ends with a line break
            try:
                tree = parse_expression(text)
            except QuotedWordError:
                return Expr(None, value.content, text)
            except ExpressionError as error:
                hint = error.help or cut_by_comma(text)
                self.error("E110", error.message, value.content.shifted(error.offset, error.length), help=hint)
                return Expr(FAULT, value.content, text)
            return Expr(tree, value.content, text, weight(tree))
        number = isinstance(value.value, (int, float))
        if number and not (math.isfinite(value.value) and abs(value.value) <= MAX_NUMBER):
            self.error("E110", "a number is finite, and 2^63 at most", value.place)
            return Expr(FAULT, value.place)
        return Expr(value.value, value.place)

    def entries(self, value: Value | None, what: str) -> list[tuple[Scalar, Value]]:
        if value is None:
            return []
        if not isinstance(value, MapValue):
            message = f"`{what}` is a mapping" if " " not in what else f"{what} is a mapping"
            self.error("E107", message, value.place, help=without_space(value))
            return []
        return value.entries

    def known_keys(self, value: MapValue, known: tuple[str, ...], what: str) -> MapValue:
        """The mapping with its known keys. Others are reported; a misspelt one is read as the key that is meant."""
        entries: list[tuple[Scalar, Value]] = []
        names = {key.value for key, _ in value.entries}
        for key, item in value.entries:
            if key.value not in known:
                hint = cut_by_comma(key.value)
                if known is TOP_KEYS and key.value[:1].isupper() and isinstance(item, MapValue):
                    hint = "a block is written below `blocks:`"
                label = did_you_mean(key.value, known)
                self.error("E107", f"{what} has no key `{key.value:.60}`", key.place, label, hint)
                meant = closest(key.value, known)
                if meant is None or meant in names:
                    continue
                names.add(meant)
                key = Scalar(meant, key.place, key.content, meant)
            entries.append((key, item))
        return MapValue(entries, value.place, {key.value for key, _ in entries})

    def identifier(self, key: Scalar, what: str) -> None:
        if not IDENTIFIER.match(key.value):
            self.error("E108", f"`{key.value:.60}` is no name for a {what}: letters, digits and `_`", key.place)
        elif key.value in ("in_channels", "in_features", "input", "i") or key.value in _CONSTANTS:
            self.error("E108", f"a {what} may not be called `{key.value}`: the language uses the name", key.place)

    def name(self, key: Scalar) -> None:
        if not _NAME.match(key.value):
            self.error("E108", f"`{key.value:.60}` is no name: letters, digits, `_` and `-`", key.place)

    def node_name(self, key: Scalar) -> None:
        plain_key = TEMPLATE.sub("0", key.value)
        if not _NAME.match(plain_key):
            hint = "nested names are written nested: `layer1: {layers: …}`" if "." in plain_key else None
            what = "letters, digits, `_` and `-`" if len(key.value) <= 100 else "100 characters at most"
            self.error("E108", f"`{key.value:.60}` is no name for a node: {what}", key.place, help=hint)
        elif key.value in RESERVED:
            hint = "torch.nn.Module keeps this name for itself"
            self.error("E108", f"a node may not be called `{key.value}`", key.place, help=hint)


def open_brackets(text: str) -> int:
    """How many brackets of a text are not closed."""
    return sum(text.count(opening) - text.count(closing) for opening, closing in ("()", "[]"))


def spelling(value: Value) -> str:
    return value.spelling if isinstance(value, Scalar) else ""


def without_space(value: Value) -> str | None:
    """The hint for `lr:0.1` in place of a mapping."""
    match = re.fullmatch(r"([\w-]+):(\S+)", spelling(value))
    return match and f"write `{match[1]:.60}: {match[2]:.60}`, with a space"


def cut_by_comma(text: str) -> str | None:
    """The hint for a part of `{out: f(a, b)}`: to YAML the comma ends the value."""
    return (
        'quote it: between `{` and `}` YAML ends a value at a comma: `{out: "max(a, b)"}`'
        if open_brackets(text)
        else None
    )
