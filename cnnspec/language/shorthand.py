"""Between the two forms of a layer: the line and the mapping. Texts in, texts out; spelling is made canonical."""

from __future__ import annotations

import ast
import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cnnspec.language.bind import words_of
from cnnspec.language.expression import MAX_LENGTH, ExpressionError, Line, parse_expression, parse_line
from cnnspec.language.read_body import JOIN_NAMES
from cnnspec.language.tree import ListValue, MapValue, Scalar, Value
from cnnspec.ops import AbstractOp, operators

__all__ = ["Spelled", "canonical_expression", "canonical_line", "long_form", "short_form"]


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
    return ast.unparse(_Spell(text).visit(copy.deepcopy(node)))


def canonical_expression(text: str) -> str:
    """An expression with canonical blanks and brackets; any other text as it is."""
    try:
        return _spell(parse_expression(text), text)
    except ExpressionError:
        return text


def canonical_line(text: str) -> str:
    """A line in its shortest form. Raises ExpressionError."""
    line = parse_line(text)
    args = [(arg.name, _argument(line.target, arg.name, index, arg.value, text)) for index, arg in enumerate(line.args)]
    reads = [name for name, _ in line.reads or ()] if line.reads is not None else None
    repeat = _spell(line.repeat, text) if line.repeat else None
    when = _spell(line.when, text) if line.when else None
    return _write(line.target, args, reads, repeat, when)


def _argument(target: str, name: str | None, index: int, node: ast.expr, text: str) -> str:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        named = name or _positional(target, index)
        return node.value if node.value in _words(target, named) else repr(node.value)
    return _spell(node, text)


def _positional(target: str, index: int) -> str | None:
    names = operators()[target][0].positional if target in operators() else ()
    return names[index] if index < len(names) else None


def _words(target: str, name: str | None) -> tuple[str, ...]:
    op = operators().get(target)
    return words_of(target, name) if op and name in op[0].words else ()


def _write(
    target: str, args: list[tuple[str | None, str]], reads: list[str] | None, repeat: str | None, when: str | None
) -> str:
    if target in operators():
        args = _by_position(args, operators()[target][0])
    listed = ", ".join(value if name is None else f"{name}={value}" for name, value in args)
    if target in JOIN_NAMES and reads is not None:
        listed, reads = ", ".join(reads), None
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
        if name not in named or op_type.model_fields[name].annotation is bool:
            break
        first.append((None, named.pop(name)))
    return first + [(name if isinstance(name, str) else None, value) for name, value in named.items()]


# The long form ------------------------------------------------------------------------------------------------------


def short_form(value: MapValue) -> str | None:
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
        word = isinstance(item, Scalar) and item.value in _words(target.value, key.value)
        text = item.value if word and isinstance(item, Scalar) else _text(item)
        if text is None:
            return None
        if key.value in ("repeat", "when"):
            parts[key.value] = text
        elif key.value.isidentifier():
            args.append((key.value, text))
        else:
            return None
    if target.value in JOIN_NAMES and (args or not parts["reads"]):
        return None
    line = _write(target.value, args, **parts)
    try:
        parse_line(line)
    except ExpressionError:
        return None
    return line if len(line) < MAX_LENGTH else None


def _text(value: Value) -> str | None:
    """A value of a mapping as an expression, or None where it is none."""
    if isinstance(value, ListValue):
        items = [_text(item) for item in value.items]
        return None if None in items else f"[{', '.join(item or '' for item in items)}]"
    if isinstance(value, MapValue):
        return None
    if isinstance(value.value, str):
        try:
            parse_expression(value.value)
        except ExpressionError:
            return None
        return canonical_expression(value.value)
    if isinstance(value.value, bool) or value.value is None:
        return str(value.value)
    return repr(value.value) if value.spelling[:1] in "+0." and len(value.spelling) > 1 else value.spelling


def long_form(text: str, blocks: Mapping[str, tuple[str, ...]]) -> dict[str, Any] | None:
    """The mapping that says what a line says, or None where an argument has no name. Raises ExpressionError.

    `blocks` are the parameters of the spec's blocks. Values are numbers, words, expressions, and lists of them.
    """
    line: Line = parse_line(text)
    if line.target in JOIN_NAMES:
        found: dict[str, Any] = {
            "type": line.target,
            "in": [arg.value.id for arg in line.args if isinstance(arg.value, ast.Name)],
        }
    else:
        positional = (
            operators()[line.target][0].positional if line.target in operators() else blocks.get(line.target, ())
        )
        found = {"type": line.target}
        for index, arg in enumerate(line.args):
            if arg.name is None and index >= len(positional):
                return None
            name = arg.name or positional[index]
            if name in found or name in ("in", "repeat", "when"):
                return None
            found[name] = _plain(arg.value, text)
    if line.reads is not None:
        names = [name for name, _ in line.reads]
        found["in"] = names[0] if len(names) == 1 else names
    if line.repeat is not None:
        found["repeat"] = _plain(line.repeat, text)
    if line.when is not None:
        found["when"] = _plain(line.when, text)
    return found


def _plain(node: ast.expr, text: str) -> Any:
    if isinstance(node, ast.Constant):
        if isinstance(node.value, (int, float)) and not isinstance(node.value, bool):
            return Spelled(node.value, text[node.col_offset : node.end_col_offset])
        return node.value
    if isinstance(node, (ast.List, ast.Tuple)) and node.elts:
        return [_plain(item, text) for item in node.elts]
    return _spell(node, text)
