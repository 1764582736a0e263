"""Safe arithmetic and call lines, by a whitelist over Python's syntax tree. Nothing is ever executed.

Two texts are understood: an expression (`in_channels * 4`) and a line, `Call(args)(reads) * n if condition`.
Errors carry the offset and length of the part at fault.
"""

from __future__ import annotations

import ast
import math
import operator
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

__all__ = ["Arg", "ExpressionError", "LayerName", "Line", "evaluate", "parse_expression", "parse_line"]

MAX_LENGTH: Final = 1000
MAX_BRACKETS: Final = 24
MAX_ITEMS: Final = 10_000
MAX_NUMBER: Final = 2**63


class ExpressionError(Exception):
    """A fault in an expression: the bare fact, and where in the text."""

    def __init__(self, message: str, offset: int = 0, length: int = 1, help: str | None = None) -> None:
        super().__init__(message)
        self.message, self.offset, self.length, self.help = message, offset, length, help


class UnknownNameError(ExpressionError):
    """A name that the scope does not hold."""

    def __init__(self, name: str, offset: int) -> None:
        super().__init__(f"`{name}` is not defined here", offset, len(name))
        self.name = name


@dataclass(frozen=True, slots=True)
class LayerName:
    """A parameter's value that names an operator or a block."""

    name: str

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True)
class Arg:
    """An argument of a call: its name (None: by position), its value, and where it stands in the line."""

    name: str | None
    value: ast.expr
    offset: int


@dataclass(frozen=True, slots=True)
class Line:
    """A parsed line. Offsets count characters from the start of the text."""

    target: str
    args: tuple[Arg, ...]
    reads: tuple[tuple[str, int], ...] | None
    repeat: ast.expr | None
    when: ast.expr | None
    called: bool  # whether brackets were written


def _fail(node: ast.AST, message: str, help: str | None = None) -> ExpressionError:
    return ExpressionError(message, getattr(node, "col_offset", 0), _width(node), help)


def _width(node: ast.AST) -> int:
    start, end = getattr(node, "col_offset", 0), getattr(node, "end_col_offset", None)
    return max(1, end - start) if end is not None else 1


def _parse(text: str, shift: int = 0) -> ast.expr:
    if len(text) > MAX_LENGTH:
        raise ExpressionError(f"an expression of {len(text)} characters is too long ({MAX_LENGTH} at most)")
    for offset, letter in enumerate(text):
        if not " " <= letter <= "~":
            raise ExpressionError(f"the character {letter!r} (U+{ord(letter):04X}) has no place here", offset + shift)
    depth = 0
    for offset, letter in enumerate(text):
        depth += (letter in "([{") - (letter in ")]}")
        if depth > MAX_BRACKETS:
            raise ExpressionError(f"nested deeper than {MAX_BRACKETS} brackets", offset + shift)
    # Leading blanks are an indentation error to Python; spaces of our own keep the offsets right.
    stripped = text.lstrip()
    lead = len(text) - len(stripped) + shift
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(stripped, mode="eval").body
    except SyntaxError as error:
        offset = min((error.offset or 1) - 1, max(0, len(stripped) - 1))
        reason = error.msg.split(". Perhaps")[0].replace("invalid syntax", "this is no expression")
        raise ExpressionError(reason, lead + offset) from None
    except (ValueError, RecursionError, MemoryError):
        raise ExpressionError("too deeply nested to read", lead) from None
    if lead:
        for node in ast.walk(tree):
            if isinstance(node, (ast.expr, ast.keyword)):
                node.col_offset += lead
                node.end_col_offset = (node.end_col_offset or 0) + lead
    return tree


@lru_cache(maxsize=4096)
def parse_expression(text: str) -> ast.expr:
    """The syntax tree of an expression, checked against the whitelist. Raises ExpressionError."""
    tree = _parse(text)
    _check(tree, 0)
    return tree


@lru_cache(maxsize=4096)
def parse_line(text: str) -> Line:
    """`Call(args)(reads) * n if condition`, of which only the call's name is required. Raises ExpressionError."""
    split = _find_if(text)
    head = text if split is None else text[:split]
    when = None
    if split is not None:
        if not text[split + 4 :].strip():
            raise ExpressionError("`if` wants a condition", split + 1, 2)
        when = _parse(text[split + 4 :], split + 4)
        _check(when, 0)
    node = _parse(head)
    repeat: ast.expr | None = None
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult):
        if isinstance(node.left, ast.BinOp):
            raise _fail(node, "a line has one `* n`", "put a product in brackets: `Conv2d(8, 3) * (2 * n)`")
        repeat = node.right
        _check(repeat, 0)
        node = node.left
    reads = None
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Call):
        if node.keywords:
            raise _fail(node.keywords[0], "reads are names of nodes, without `=`")
        reads = tuple(_read(arg) for arg in node.args)
        node = node.func
    if isinstance(node, ast.Name):
        return Line(node.id, (), reads, repeat, when, called=False)
    if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name)):
        raise _fail(node, "a layer is written `Name` or `Name(arguments)`")
    args = [Arg(None, arg, arg.col_offset) for arg in node.args]
    for keyword in node.keywords:
        if keyword.arg is None:
            raise _fail(keyword, "`**` has no place here")
        args.append(Arg(keyword.arg, keyword.value, keyword.col_offset))
    for arg in args:
        if isinstance(arg.value, ast.Starred):
            raise _fail(arg.value, "`*` has no place here")
        if not (isinstance(arg.value, ast.Constant) and isinstance(arg.value.value, str)):
            _check(arg.value, 0)  # a quoted word is refused later, unless the field takes words
    return Line(node.func.id, tuple(args), reads, repeat, when, called=True)


def _read(node: ast.expr) -> tuple[str, int]:
    if not isinstance(node, ast.Name):
        raise _fail(node, "reads are names of earlier nodes")
    return node.id, node.col_offset


def _find_if(text: str) -> int | None:
    """Where the line's own ` if ` starts: the first one outside brackets."""
    depth = 0
    for offset, letter in enumerate(text):
        depth += (letter in "([{") - (letter in ")]}")
        if depth == 0 and letter == " " and text.startswith(" if ", offset):
            return offset
    return None


# The whitelist ------------------------------------------------------------------------------------------------------

_BINARY: Final[dict[type[ast.AST], Callable[[Any, Any], Any]]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
}
_COMPARE: Final[dict[type[ast.AST], Callable[[Any, Any], bool]]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}


def make_divisible(v: float, d: int = 8, min: int | None = None) -> int:  # the papers' code calls it so
    """`v` rounded to a multiple of `d`, not below `min` and not more than 10 % down (MobileNet's rule)."""
    least = d if min is None else min
    rounded = max(least, int(v + d / 2) // d * d)
    return rounded + d if rounded < 0.9 * v else rounded


_CALLS: Final[dict[str, Callable[..., Any]]] = {
    "min": min,
    "max": max,
    "sum": sum,
    "len": len,
    "round": round,
    "ceil": math.ceil,
    "floor": math.floor,
    "int": int,
    "make_divisible": make_divisible,
}
_NODES: Final = (
    ast.Constant,
    ast.Name,
    ast.List,
    ast.Tuple,
    ast.UnaryOp,
    ast.BinOp,
    ast.Compare,
    ast.BoolOp,
    ast.IfExp,
    ast.Subscript,
    ast.Slice,
    ast.Call,
    ast.keyword,
)
_OPERATORS: Final = (*_BINARY, *_COMPARE, ast.And, ast.Or, ast.Not, ast.USub, ast.UAdd, ast.Load)
_WHY: Final[dict[type[ast.AST], str]] = {
    ast.Attribute: "attributes are not part of the language",
    ast.Pow: "`**` is not part of the language",
    ast.JoinedStr: "strings are not part of the language",
    ast.Lambda: "functions are not part of the language",
    ast.Dict: "a mapping has no place in an expression",
}


def _check(node: ast.AST, depth: int) -> None:
    """Raise unless every part of the tree is one that `evaluate` knows."""
    if depth > 40:
        raise _fail(node, "too deeply nested to read")
    if isinstance(node, ast.Constant):
        if isinstance(node.value, str):
            raise _fail(node, "strings are not part of the language", "write words without quotes")
        if not isinstance(node.value, (bool, int, float, type(None))):
            raise _fail(node, "this constant is not part of the language")
        if isinstance(node.value, (int, float)):
            _bounded(node.value, node)
        return
    if isinstance(node, ast.Call):
        if not (isinstance(node.func, ast.Name) and node.func.id in _CALLS):
            name = node.func.id if isinstance(node.func, ast.Name) else "this"
            raise _fail(node, f"`{name}` is no function of the language", f"there are: {', '.join(_CALLS)}")
        children: list[ast.AST] = [*node.args, *node.keywords]
    elif isinstance(node, _NODES):
        children = [child for child in ast.iter_child_nodes(node) if not isinstance(child, ast.expr_context)]
    elif isinstance(node, _OPERATORS):
        return
    else:
        raise _fail(node, _WHY.get(type(node), "this is not part of the language"))
    if isinstance(node, ast.BinOp) and type(node.op) not in _BINARY:
        raise _fail(node, _WHY.get(type(node.op), "this operator is not part of the language"))
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Invert):
        raise _fail(node, "this operator is not part of the language")
    if isinstance(node, ast.Compare) and any(type(op) not in _COMPARE for op in node.ops):
        raise _fail(node, "`in` and `is` are not part of the language", "compare with `==`")
    for child in children:
        _check(child, depth + 1)


def _bounded(value: Any, node: ast.AST) -> Any:
    if isinstance(value, (int, float)) and not isinstance(value, bool) and not -MAX_NUMBER <= value <= MAX_NUMBER:
        raise _fail(node, "the number is too large (2^63 at most)")
    if isinstance(value, (list, tuple)) and len(value) > MAX_ITEMS:
        raise _fail(node, f"the list is too long ({MAX_ITEMS} at most)")
    return value


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def evaluate(node: ast.expr, scope: Mapping[str, Any]) -> Any:
    """The value of a checked expression. Raises ExpressionError with the place of the part at fault."""
    match node:
        case ast.Constant():
            return node.value
        case ast.Name():
            try:
                return scope[node.id]
            except KeyError:
                raise UnknownNameError(node.id, node.col_offset) from None
        case ast.BinOp():
            left, right = evaluate(node.left, scope), evaluate(node.right, scope)
            lists = isinstance(node.op, ast.Add) and isinstance(left, (list, tuple)) and type(left) is type(right)
            if not lists and not (_is_number(left) and _is_number(right)):
                raise _fail(node, f"cannot do arithmetic on {_kind(left)} and {_kind(right)}")
            try:
                return _bounded(_BINARY[type(node.op)](left, right), node)
            except ZeroDivisionError:
                raise _fail(node, "division by zero") from None
            except OverflowError:
                raise _fail(node, "the number is too large (2^63 at most)") from None
        case ast.UnaryOp():
            value = evaluate(node.operand, scope)
            if isinstance(node.op, ast.Not):
                return not value
            if not _is_number(value):
                raise _fail(node, f"cannot do arithmetic on {_kind(value)}")
            return -value if isinstance(node.op, ast.USub) else value
        case ast.Compare():
            left = evaluate(node.left, scope)
            for op, part in zip(node.ops, node.comparators, strict=True):
                right = evaluate(part, scope)
                ordered = _is_number(left) and _is_number(right)
                if not ordered and not isinstance(op, (ast.Eq, ast.NotEq)):
                    raise _fail(node, f"cannot compare {_kind(left)} with {_kind(right)}")
                if not _COMPARE[type(op)](left, right):
                    return False
                left = right
            return True
        case ast.BoolOp():
            value = None
            for part in node.values:
                value = evaluate(part, scope)
                if bool(value) is isinstance(node.op, ast.Or):
                    return value
            return value
        case ast.IfExp():
            return evaluate(node.body if evaluate(node.test, scope) else node.orelse, scope)
        case ast.List() | ast.Tuple():
            items = [evaluate(item, scope) for item in node.elts]
            return items if isinstance(node, ast.List) else tuple(items)
        case ast.Subscript():
            return _subscript(node, scope)
        case ast.Call():
            return _call(node, scope)
        case _:
            raise _fail(node, "this is not part of the language")


def _subscript(node: ast.Subscript, scope: Mapping[str, Any]) -> Any:
    value = evaluate(node.value, scope)
    if not isinstance(value, (list, tuple)):
        raise _fail(node, f"cannot index {_kind(value)}")
    if isinstance(node.slice, ast.Slice):
        parts = [node.slice.lower, node.slice.upper, node.slice.step]
        bounds = [None if part is None else evaluate(part, scope) for part in parts]
        if any(bound is not None and type(bound) is not int for bound in bounds) or bounds[2] == 0:
            raise _fail(node, "a slice wants whole numbers, and a step that is not 0")
        return value[slice(*bounds)]
    index = evaluate(node.slice, scope)
    if type(index) is not int:
        raise _fail(node, f"an index is a whole number, not {_kind(index)}")
    if not -len(value) <= index < len(value):
        raise _fail(node, f"index {index} is outside of a list of {len(value)}")
    return value[index]


def _call(node: ast.Call, scope: Mapping[str, Any]) -> Any:
    assert isinstance(node.func, ast.Name)
    args = [evaluate(arg, scope) for arg in node.args]
    kwargs = {word.arg or "": evaluate(word.value, scope) for word in node.keywords}
    try:
        return _bounded(_CALLS[node.func.id](*args, **kwargs), node)
    except (TypeError, ValueError, OverflowError, ZeroDivisionError) as error:
        raise _fail(node, f"{node.func.id}: {error}") from None


def _kind(value: Any) -> str:
    if isinstance(value, LayerName):
        return f"the layer {value.name}"
    if isinstance(value, (list, tuple)):
        return "a list"
    return "None" if value is None else repr(value)
