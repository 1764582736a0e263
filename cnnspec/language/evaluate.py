"""The value of a checked expression. Numbers, lists and layer names go in and come out; nothing is executed."""

from __future__ import annotations

import ast
import math
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from cnnspec.language.expression import MAX_NUMBER, ExpressionError, fault

__all__ = ["LayerName", "UnknownNameError", "evaluate", "list_problem", "show"]

MAX_ITEMS: Final = 500  # of a list, with the lists inside
MAX_NESTING: Final = 8  # of lists


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


def show(value: Any) -> str:
    """A value as a person would write it, cut where it is long."""
    if isinstance(value, (list, tuple)):
        text = ", ".join(show(item) for item in value[:20])
        text = f"[{text}]" if isinstance(value, list) else f"({text})"
    else:
        text = value.name if isinstance(value, LayerName) else repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def list_problem(value: Any) -> str | None:
    """Why a list is too large to work with, or None. Bounds what copies of copies can grow to."""
    count, open_lists = 0, [(value, 1)]
    while open_lists:
        items, depth = open_lists.pop()
        if depth > MAX_NESTING:
            return f"lists are nested deeper than {MAX_NESTING} levels"
        count += len(items)
        if count > MAX_ITEMS:
            return f"the list is too long ({MAX_ITEMS} items at most)"
        open_lists += [(item, depth + 1) for item in items if isinstance(item, (list, tuple))]
    return None


# The functions ------------------------------------------------------------------------------------------------------


def _number(value: Any) -> Any:
    if not _is_number(value):
        raise ValueError(f"wants numbers, not {_kind(value)}")
    return value


def _numbers(values: tuple[Any, ...]) -> list[Any]:
    """The numbers of `max(a, b)` or of `max(list)`."""
    listed = values[0] if len(values) == 1 and isinstance(values[0], (list, tuple)) else values
    if not listed:
        raise ValueError("wants at least one number")
    return [_number(value) for value in listed]


def _list(value: Any) -> Any:
    if not isinstance(value, (list, tuple)):
        raise ValueError(f"wants a list, not {_kind(value)}")
    return value


def _round(value: Any, digits: int = 0) -> Any:
    if type(digits) is not int or not 0 <= digits <= 15:
        raise ValueError("rounds to 0 to 15 digits")
    return round(_number(value), digits) if digits else round(_number(value))


def make_divisible(v: float, d: int = 8, min: int | None = None) -> int:  # the papers' code calls it so
    """`v` rounded to a multiple of `d`, not below `min` and not more than 10 % down (MobileNet's rule)."""
    if type(d) is not int or d < 1 or not (min is None or type(min) is int):
        raise ValueError("wants whole numbers for `d`, above 0, and `min`")
    least = d if min is None else min
    rounded = max(least, int(_number(v) + d / 2) // d * d)
    return rounded + d if rounded < 0.9 * v else rounded


_CALLS: Final[dict[str, Callable[..., Any]]] = {
    "min": lambda *values: min(_numbers(values)),
    "max": lambda *values: max(_numbers(values)),
    "sum": lambda values: sum(_number(value) for value in _list(values)),
    "len": lambda values: len(_list(values)),
    "round": _round,
    "ceil": lambda value: math.ceil(_number(value)),
    "floor": lambda value: math.floor(_number(value)),
    "int": lambda value: int(_number(value)),
    "make_divisible": make_divisible,
}


# Evaluation ---------------------------------------------------------------------------------------------------------

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


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _kind(value: Any) -> str:
    if isinstance(value, LayerName):
        return f"the layer {value.name}"
    return "a list" if isinstance(value, (list, tuple)) else show(value)


def _bounded(value: Any, node: ast.AST) -> Any:
    if _is_number(value) and not -MAX_NUMBER <= value <= MAX_NUMBER:
        raise fault(node, "the number is too large (2^63 at most)")
    if isinstance(value, (list, tuple)) and (problem := list_problem(value)):
        raise fault(node, problem)
    return value


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
            return _binary(node, evaluate(node.left, scope), evaluate(node.right, scope))
        case ast.UnaryOp():
            value = evaluate(node.operand, scope)
            if isinstance(node.op, ast.Not):
                return not value
            if not _is_number(value):
                raise fault(node, f"cannot do arithmetic on {_kind(value)}")
            return -value if isinstance(node.op, ast.USub) else value
        case ast.Compare():
            left = evaluate(node.left, scope)
            for op, part in zip(node.ops, node.comparators, strict=True):
                right = evaluate(part, scope)
                ordered = _is_number(left) and _is_number(right)
                if not ordered and not isinstance(op, (ast.Eq, ast.NotEq)):
                    raise fault(node, f"cannot compare {_kind(left)} with {_kind(right)}")
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
            return _bounded(items if isinstance(node, ast.List) else tuple(items), node)
        case ast.Subscript():
            return _subscript(node, scope)
        case ast.Call():
            return _call(node, scope)
        case _:
            raise fault(node, "this is not part of the language")


def _binary(node: ast.BinOp, left: Any, right: Any) -> Any:
    lists = isinstance(node.op, ast.Add) and isinstance(left, (list, tuple)) and type(left) is type(right)
    if not lists and not (_is_number(left) and _is_number(right)):
        raise fault(node, f"cannot do arithmetic on {_kind(left)} and {_kind(right)}")
    try:
        return _bounded(_BINARY[type(node.op)](left, right), node)
    except ZeroDivisionError:
        raise fault(node, "division by zero") from None
    except OverflowError:
        raise fault(node, "the number is too large (2^63 at most)") from None


def _subscript(node: ast.Subscript, scope: Mapping[str, Any]) -> Any:
    value = evaluate(node.value, scope)
    if not isinstance(value, (list, tuple)):
        raise fault(node, f"cannot index {_kind(value)}")
    if isinstance(node.slice, ast.Slice):
        parts = [node.slice.lower, node.slice.upper, node.slice.step]
        bounds = [None if part is None else evaluate(part, scope) for part in parts]
        if any(bound is not None and type(bound) is not int for bound in bounds) or bounds[2] == 0:
            raise fault(node, "a slice wants whole numbers, and a step that is not 0")
        return value[slice(*bounds)]
    index = evaluate(node.slice, scope)
    if type(index) is not int:
        raise fault(node, f"an index is a whole number, not {_kind(index)}")
    if not -len(value) <= index < len(value):
        raise fault(node, f"index {index} is outside of a list of {len(value)}")
    return value[index]


def _call(node: ast.Call, scope: Mapping[str, Any]) -> Any:
    assert isinstance(node.func, ast.Name)
    name = node.func.id
    args = [evaluate(arg, scope) for arg in node.args]
    named = {word.arg or "": evaluate(word.value, scope) for word in node.keywords}
    try:
        return _bounded(_CALLS[name](*args, **named), node)
    except (ValueError, OverflowError) as error:
        raise fault(node, f"{name}: {error}") from None
    except TypeError:
        raise fault(node, f"{name} does not take these arguments") from None
