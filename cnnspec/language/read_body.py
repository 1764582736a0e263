"""Bodies and their items: lists and mappings of lines, nested bodies, and layers in long form."""

from __future__ import annotations

import ast
import re
from itertools import pairwise
from typing import Any, Final

from cnnspec.errors import Place
from cnnspec.hints import closest, did_you_mean
from cnnspec.language.document import BODIES, INLINE, Argument, Body, Call, Expr, Item
from cnnspec.language.expression import NAMED_ONLY, ExpressionError, parse_line, weight
from cnnspec.language.read_parts import IDENTIFIER, ITEM_KEYS, TEMPLATE, Parts, cut_by_comma, open_brackets, spelling
from cnnspec.language.spacing import continued, missing_space
from cnnspec.language.tree import ListValue, MapValue, Scalar, Value
from cnnspec.ops import JOINS, operators

__all__ = ["JOIN_NAMES", "BodyReader"]

JOIN_NAMES: Final = tuple(join.__name__ for join in JOINS)
MOST_CUT: Final = 50  # parts that commas can cut a line into, as far as anybody looks
_HEADS: Final = ("type", *BODIES, INLINE)


class BodyReader:
    """Reads bodies. What could not be read leaves an item without call and body."""

    def __init__(self, parts: Parts) -> None:
        self.parts = parts

    def body(self, kind: str, value: Value) -> Body:
        items: list[Item] = []
        children: list[tuple[Scalar | None, Value]] = []
        if isinstance(value, ListValue):
            children = [(None, child) for child in value.items]
        elif isinstance(value, MapValue):
            children = list(value.entries)
        else:
            self.no_body(kind, value)
        rest = 0  # of a line that a comma has cut: as many children as are not children
        for index, (key, child) in enumerate(children):
            place = key.place if key else child.place
            if rest > 0:
                rest -= 1
                continue
            if key:
                self.parts.node_name(key)
            rest = _cut_off(children, index) if open_brackets(spelling(child)) > 0 else 0
            if rest:
                hint = "quote the line: between brackets of its own YAML ends a text at a comma"
                self.parts.error("E110", "a comma ends this line inside of its brackets", child.place, help=hint)
                items.append(Item(key.value if key else None, place))
            else:
                items.append(self.item(key, child, place))
        if not items and not isinstance(value, Scalar):
            self.parts.error("E107", f"`{kind}` is empty", value.place)
        return Body(kind, tuple(items), value.place, isinstance(value, MapValue))

    def no_body(self, kind: str, value: Scalar) -> None:
        """Report a text where layers should be; lines without their space are one text."""
        text, place = value.spelling, value.content
        starts = [at for at, (line, _) in enumerate(place.letters) if at and line != place.letters[at - 1][0]]
        found = [
            missing_space(text[start:end].strip(), *place.shifted(start).span[:2])
            for start, end in pairwise([0, *starts, len(text)])
        ]
        for spacing in filter(None, found):
            self.parts.keep(spacing.error("E107"))
        if not any(found):
            self.parts.error("E107", f"`{kind}` is a list or a mapping of layers", value.place)

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
                self.parts.error(
                    "E107", "`inline` is a list within a list: its layers take numbers of that list", place
                )
                parts["sound"] = False
        return Item(name, place, template=template, **parts)

    def template(self, key: Scalar) -> tuple[str | Expr, ...]:
        parts: list[str | Expr] = []
        start = 0
        for match in TEMPLATE.finditer(key.value):
            place = key.content.shifted(match.start(1), len(match[1]))
            parts += [key.value[start : match.start()], self.parts.expr(Scalar(match[1], place, place, match[1]))]
            start = match.end()
        return (*parts, key.value[start:])

    def line(self, value: Scalar) -> dict[str, Any]:
        if not isinstance(value.value, str):
            shown = f"`{value.spelling:.40}`" if value.spelling else "nothing"
            self.parts.error("E107", f"a layer is written `Name` or `Name(arguments)`, not {shown}", value.place)
            return {}
        place = value.content
        try:
            line = parse_line(value.value.rstrip("\n"))  # a block of text ends with a line break
        except ExpressionError as error:
            spacing = missing_space(value.value, *place.span[:2]) or continued(value.value, place)
            if spacing is not None:
                self.parts.keep(spacing.error("E107"))
                return {}
            hint = error.help or _without_brackets(value.value)
            self.parts.error("E110", error.message, place.shifted(error.offset, error.length), help=hint)
            return {}

        def located(node: ast.expr) -> Expr:
            width = (node.end_col_offset or 0) - node.col_offset
            word = _word(node)
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
                self.parts.error("E109", f"the arguments of {line.target} are its reads", target)
            joined: list[tuple[str, Place]] = []
            for arg in args:
                if arg.name is None and not isinstance(arg.expr.value, ast.Name):
                    message, hint = f"the arguments of {line.target} are names of earlier nodes", None
                    if isinstance(arg.expr.value, ast.Constant):
                        message, hint = NAMED_ONLY, f"`layers: {{conv: …, add: {line.target}(conv, …)}}`"
                    self.parts.error("E109", message, arg.place, help=hint)
                    return {}
                if isinstance(arg.expr.value, ast.Name) and arg.name is None:
                    joined.append((arg.expr.value.id, arg.place))
            sound = reads is None
            reads, args = tuple(joined), [arg for arg in args if arg.name is not None]
        else:
            sound = True
        return {
            "call": Call(line.target, target, tuple(args)),
            "reads": reads,
            "repeat": located(line.repeat) if line.repeat else None,
            "when": located(line.when) if line.when else None,
            "sound": sound,
        }

    def long_form(self, value: MapValue) -> dict[str, Any]:
        value = self.with_head(value)
        heads = [key for key, _ in value.entries if key.value in _HEADS]
        if len(heads) != 1:
            message = f"a layer in long form has exactly one of {', '.join(f'`{head}`' for head in _HEADS)}"
            self.parts.error("E107", message, heads[1].place if heads else value.place, help=_headless(value))
            return {}
        parts: dict[str, Any] = {}
        args: list[Argument] = []
        unread = False
        for key, item in value.entries:
            if key.value == "in":
                parts["reads"] = self.reads(item)
                unread = parts["reads"] is None
            elif key.value in ("repeat", "when"):
                parts[key.value] = self.parts.expr(item)
            elif key.value != "type" and key.value in _HEADS:
                parts["body"] = self.body(key.value, item)
            elif key.value != "type":
                args.append(Argument(key.value, self.parts.expr(item), key.content))
        if heads[0].value == "type":
            target = value.get("type")
            if not (isinstance(target, Scalar) and isinstance(target.value, str) and IDENTIFIER.match(target.value)):
                place = heads[0].place if target is None else target.place
                hint = "arguments are keys of their own" if isinstance(target, Scalar) else None
                self.parts.error(
                    "E107", "`type` is the name of an operator or block, without arguments", place, help=hint
                )
                return {} if unread else parts
            parts["call"] = Call(target.value, target.content, tuple(args))
            if target.value in JOIN_NAMES:
                parts.setdefault("reads", ())
        else:
            parts["sound"] = not args
            for arg in args:
                label = did_you_mean(arg.name or "", ITEM_KEYS)
                self.parts.error("E107", f"a body takes no argument `{arg.name:.60}`", arg.place, label)
        return {} if unread else parts

    def with_head(self, value: MapValue) -> MapValue:
        """The mapping, with a misspelt `type` or body put right where it has none."""
        if any(head in value.seen for head in _HEADS):
            return value
        for index, (key, item) in enumerate(value.entries):
            if (meant := closest(key.value, _HEADS)) is not None:
                message = f"a layer in long form has no key `{key.value:.60}`"
                self.parts.error("E107", message, key.place, f"did you mean `{meant}`?")
                entries = [*value.entries]
                entries[index] = (Scalar(meant, key.place, key.content, meant), item)
                return MapValue(entries, value.place, value.seen | {meant})
        return value

    def reads(self, value: Value) -> tuple[tuple[str, Place], ...] | None:
        """The names of `in`, or None after an error."""
        names = []
        for item in value.items if isinstance(value, ListValue) else [value]:
            if isinstance(item, Scalar) and item.value is not None:
                names.append((item.spelling, item.content))
            else:
                self.parts.error("E109", "`in` is the name of an earlier node, or a list of names", item.place)
                return None
        return tuple(names)


def _cut_off(children: list[tuple[Scalar | None, Value]], index: int) -> int:
    """How many children after this one close the brackets that it leaves open; 0 where they do not."""
    unclosed = open_brackets(spelling(children[index][1]))
    for count, (key, child) in enumerate(children[index + 1 : index + 1 + MOST_CUT], 1):
        unclosed += open_brackets(key.spelling if key else spelling(child))
        if unclosed <= 0:
            return count
    return 0


def _word(node: ast.expr) -> str | None:
    """The word that an argument may be: a name, or one with a sign, as `-inf`."""
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub) and isinstance(node.operand, ast.Name):
        return f"-{node.operand.id}"
    return node.id if isinstance(node, ast.Name) else None


def _without_brackets(line: str) -> str | None:
    """The way out for `Dropout 0.5` and `Conv2d 64, 3`."""
    match = re.fullmatch(r"(\w+) +(\d[\d., ]{,40})", line.strip())
    if match is None or match[1] not in operators():
        return None
    return f"write `{match[1]}({', '.join(match[2].replace(',', ' ').split())})`"


def _headless(value: MapValue) -> str | None:
    """The way out for a mapping that stands where a layer should."""
    if len(value.entries) != 1:  # a comma makes two of one
        parts = (text for key, item in value.entries for text in (key.value, spelling(item)))
        return next(filter(None, map(cut_by_comma, parts)), None)
    word = value.entries[0][0].value
    if word in operators():
        return f"write `{word}(…)`, or `{{type: {word}, …}}`"
    return "names belong to a mapping: drop the `- ` before every child"
