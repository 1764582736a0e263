"""Between the two forms of a layer: the line and the mapping. Texts in, texts out; spelling is made canonical."""

from __future__ import annotations

import ast
import copy
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from cnnspec.language.bind import words_of
from cnnspec.language.document import BODIES, INLINE
from cnnspec.language.expression import MAX_LENGTH, ExpressionError, Line, parse_expression, parse_line
from cnnspec.language.read_body import JOIN_NAMES
from cnnspec.language.tree import ListValue, MapValue, Scalar, Value
from cnnspec.language.unparse import unparse
from cnnspec.ops import AbstractOp, operators

__all__ = ["Callees", "Spelled", "canonical_expression", "canonical_line", "long_form", "short_form"]

_KEYS: Final = ("type", *BODIES, INLINE, "in", "repeat", "when")  # of a mapping: arguments have other names


@dataclass(frozen=True, slots=True)
class Callees:
    """What a line may call: operators, and a spec's blocks with the names of their parameters.

    `held` are names of parameters and local values. What such a name calls is not known from the text, though an
    operator or block has the same name.
    """

    blocks: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    held: frozenset[str] = frozenset()

    def operator(self, target: str) -> type[AbstractOp] | None:
        """The operator that a name stands for, or None."""
        entry = None if target in self.held else operators().get(target)
        return entry[0] if entry else None

    def positional(self, target: str) -> tuple[str, ...]:
        """The names of the arguments that may be given by position, as far as they are known."""
        op_type = self.operator(target)
        if op_type is not None:
            return op_type.positional
        return () if target in self.held else self.blocks.get(target, ())

    def words(self, target: str, name: str | None) -> tuple[str, ...]:
        """The words that an argument may be."""
        op_type = self.operator(target)
        return words_of(target, name) if op_type is not None and name in op_type.words else ()


_OPERATORS: Final = Callees()
_QUOTED: Final = object()  # a word in quotes that is none of its argument's words


@dataclass(frozen=True, slots=True)
class Spelled:
    """A number, and how it is written."""

    value: float
    spelling: str


class _Spell(ast.NodeTransformer):
    """Puts numbers as they are written in the place of their values: `1e-6`, not `1e-06`."""

    def __init__(self, text: str) -> None:
        self.text = text

    def visit_Constant(self, node: ast.Constant) -> ast.AST:  # the library's name
        if isinstance(node.value, bool) or not isinstance(node.value, (int, float)):
            return node
        return ast.Name(self.text[node.col_offset : node.end_col_offset], ast.Load())


def _spell(node: ast.expr, text: str) -> str:
    return unparse(_Spell(text).visit(copy.deepcopy(node)))


def canonical_expression(text: str) -> str:
    """An expression with canonical blanks and brackets; any other text, and one that grows too long, as it is."""
    try:
        spelled = _spell(parse_expression(text), text)
    except ExpressionError:
        return text
    return spelled if len(spelled) <= MAX_LENGTH else text


def canonical_line(text: str, callees: Callees = _OPERATORS) -> str:
    """A line in its shortest form; as it is where that grows too long. Raises ExpressionError."""
    line = parse_line(text)
    args = [
        (arg.name, _argument(line.target, arg.name, index, arg.value, text, callees))
        for index, arg in enumerate(line.args)
    ]
    reads = [name for name, _ in line.reads or ()] if line.reads is not None else None
    repeat = _spell(line.repeat, text) if line.repeat else None
    when = _spell(line.when, text) if line.when else None
    written = _write(line.target, args, reads, repeat, when, callees)
    try:
        parse_line(written)
    except ExpressionError:  # an expression is longer with its blanks
        return text
    return written


def _argument(target: str, name: str | None, index: int, node: ast.expr, text: str, callees: Callees) -> str:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        positional = callees.positional(target)
        named = name or (positional[index] if index < len(positional) else None)
        return node.value if node.value in callees.words(target, named) else repr(node.value)
    return _spell(node, text)


def _write(
    target: str,
    args: list[tuple[str | None, str]],
    reads: list[str] | None,
    repeat: str | None,
    when: str | None,
    callees: Callees,
) -> str:
    op_type = callees.operator(target)
    if op_type is not None:
        args = _by_position(args, op_type)
    listed = ", ".join(value if name is None else f"{name}={value}" for name, value in args)
    if target in JOIN_NAMES and reads is not None:
        listed, reads = ", ".join([*reads, listed] if listed else reads), None
    line = f"{target}({listed})" if listed or reads is not None else target
    if reads is not None:
        line += f"({', '.join(reads)})"
    if repeat is not None:
        simple = isinstance(parse_expression(repeat), (ast.Name, ast.Constant, ast.Call, ast.Subscript))
        line += f" * {repeat}" if simple else f" * ({repeat})"
    return line if when is None else f"{line} if {when}"


def _by_position(args: list[tuple[str | None, str]], op_type: type[AbstractOp]) -> list[tuple[str | None, str]]:
    """The arguments that torch takes by position first, as far as there is none missing before them.

    A flag keeps its name: `ReLU(True)` says nothing.
    """
    positional = op_type.positional
    named = {
        (name if name is not None else positional[i] if i < len(positional) else i): v
        for i, (name, v) in enumerate(args)
    }
    first: list[tuple[str | None, str]] = []
    for name in positional:
        if name not in named or op_type.fields()[name].annotation is bool:
            break
        first.append((None, named.pop(name)))
    return first + [(name if isinstance(name, str) else None, value) for name, value in named.items()]


# The long form ------------------------------------------------------------------------------------------------------


def short_form(value: MapValue, callees: Callees) -> str | None:
    """The line that says what a mapping with `type` says, or None where there is none."""
    target = value.get("type")
    assert isinstance(target, Scalar)
    args: list[tuple[str | None, str]] = []
    parts: dict[str, Any] = {"reads": None, "repeat": None, "when": None}
    for key, item in value.entries:
        if key.value == "type":
            continue
        if key.value == "in":
            names = [_text(name) for name in (item.items if isinstance(item, ListValue) else [item])]
            if not all(isinstance(name, str) and name.isidentifier() for name in names):
                return None
            parts["reads"] = names
            continue
        word = isinstance(item, Scalar) and item.value in callees.words(target.value, key.value)
        text = item.value if word and isinstance(item, Scalar) else _text(item)
        if text is None:
            return None
        if key.value in ("repeat", "when"):
            parts[key.value] = text
        elif key.value.isidentifier():
            args.append((key.value, text))
        else:
            return None
    if target.value in JOIN_NAMES and not parts["reads"]:
        return None
    try:
        line = _write(target.value, args, **parts, callees=callees)
        parse_line(line)
    except ExpressionError:
        return None
    return line


def _text(value: Value) -> str | None:
    """A value of a mapping as an expression, or None where it is none."""
    if isinstance(value, ListValue):
        items = [_text(item) for item in value.items]
        return None if None in items else f"[{', '.join(item or '' for item in items)}]"
    if isinstance(value, MapValue):
        return None
    if isinstance(value.value, str):
        text = value.value.rstrip("\n")  # a block of text ends with a line break
        try:
            parse_expression(text)
        except ExpressionError:
            return None
        return canonical_expression(text)
    if isinstance(value.value, bool) or value.value is None:
        return str(value.value)
    return value.spelling if _is_python(value.spelling, value.value) else repr(value.value)


def _is_python(spelling: str, value: float) -> bool:
    """Whether a number that YAML has read is the same one in an expression: `0x1F` is, `010` and `+1` are not."""
    try:
        node = parse_expression(spelling.removeprefix("-"))
    except ExpressionError:
        return False
    return isinstance(node, ast.Constant) and type(node.value) is type(value) and node.value == abs(value)


def long_form(text: str, callees: Callees) -> dict[str, Any] | None:
    """The mapping that says what a line says, or None where an argument has no name. Raises ExpressionError.

    Values are numbers, words, expressions, and lists of them.
    """
    line: Line = parse_line(text)
    mapping: dict[str, Any] = {"type": line.target}
    if line.target in JOIN_NAMES:
        mapping["in"] = [arg.value.id for arg in line.args if arg.name is None and isinstance(arg.value, ast.Name)]
        args = [arg for arg in line.args if arg.name is not None]
    else:
        args = list(line.args)
    positional = callees.positional(line.target)
    tuples = callees.operator(line.target) is not None
    for index, arg in enumerate(args):
        if arg.name is None and index >= len(positional):
            return None
        name = arg.name or positional[index]
        if name in mapping or name in _KEYS:
            return None
        mapping[name] = _plain(arg.value, text, tuples=tuples)
    if line.reads is not None:
        names = [name for name, _ in line.reads]
        mapping["in"] = names[0] if len(names) == 1 else names
    if line.repeat is not None:
        mapping["repeat"] = _plain(line.repeat, text)
    if line.when is not None:
        mapping["when"] = _plain(line.when, text)
    return mapping if all(_is_sayable(value) for value in mapping.values()) else None


def _plain(node: ast.expr, text: str, *, tuples: bool = False) -> Any:
    """A value as data. A list and a tuple are two things, but for `tuples`: an operator takes the one as the other."""
    if isinstance(node, ast.Constant):
        if isinstance(node.value, (int, float)) and not isinstance(node.value, bool):
            return Spelled(node.value, text[node.col_offset : node.end_col_offset])
        return _QUOTED if isinstance(node.value, str) else node.value
    if isinstance(node, ast.List if not tuples else (ast.List, ast.Tuple)) and node.elts:
        return [_plain(item, text) for item in node.elts]
    return _spell(node, text)


def _is_sayable(value: Any) -> bool:
    """Whether a mapping can hold a value: no quotes of an expression, and no text that has grown too long."""
    if isinstance(value, list):
        return all(_is_sayable(item) for item in value)
    return value is not _QUOTED and not (isinstance(value, str) and len(value) > MAX_LENGTH)
