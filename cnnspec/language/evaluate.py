"""The value of a checked expression. Numbers, lists and layer names go in and come out; nothing is executed."""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Mapping
from typing import Any, Final

from cnnspec.language.expression import MAX_NUMBER, ExpressionError, fault
from cnnspec.language.functions import FUNCTIONS
from cnnspec.language.results import is_number, kind, list_problem

__all__ = ["UnknownNameError", "evaluate"]


class UnknownNameError(ExpressionError):
    """A name that the scope does not hold."""

    def __init__(self, name: str, offset: int) -> None:
        super().__init__(f"`{name}` is not defined here", offset, len(name))
        self.name = name


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


def _bounded(value: Any, node: ast.AST) -> Any:
    if is_number(value) and not -MAX_NUMBER <= value <= MAX_NUMBER:
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
                raise UnknownNameError(
                    node.id, getattr(node, "col_offset", 0)
                ) from None  # none where it was put together
        case ast.BinOp():
            return _binary(node, evaluate(node.left, scope), evaluate(node.right, scope))
        case ast.UnaryOp():
            value = evaluate(node.operand, scope)
            if isinstance(node.op, ast.Not):
                return not value
            if not is_number(value):
                raise fault(node, f"cannot do arithmetic on {kind(value)}")
            return -value if isinstance(node.op, ast.USub) else value
        case ast.Compare():
            left = evaluate(node.left, scope)
            for op, part in zip(node.ops, node.comparators, strict=True):
                right = evaluate(part, scope)
                ordered = is_number(left) and is_number(right)
                if not ordered and not isinstance(op, (ast.Eq, ast.NotEq)):
                    raise fault(node, f"cannot compare {kind(left)} with {kind(right)}")
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
    if not lists and not (is_number(left) and is_number(right)):
        raise fault(node, f"cannot do arithmetic on {kind(left)} and {kind(right)}")
    try:
        return _bounded(_BINARY[type(node.op)](left, right), node)
    except ZeroDivisionError:
        raise fault(node, "division by zero") from None
    except OverflowError:
        raise fault(node, "the number is too large (2^63 at most)") from None


def _subscript(node: ast.Subscript, scope: Mapping[str, Any]) -> Any:
    value = evaluate(node.value, scope)
    if not isinstance(value, (list, tuple)):
        raise fault(node, f"cannot index {kind(value)}")
    if isinstance(node.slice, ast.Slice):
        parts = [node.slice.lower, node.slice.upper, node.slice.step]
        bounds = [None if part is None else evaluate(part, scope) for part in parts]
        if any(bound is not None and type(bound) is not int for bound in bounds) or bounds[2] == 0:
            raise fault(node, "a slice wants whole numbers, and a step that is not 0")
        return value[slice(*bounds)]
    index = evaluate(node.slice, scope)
    if type(index) is not int:
        raise fault(node, f"an index is a whole number, not {kind(index)}")
    if not -len(value) <= index < len(value):
        raise fault(node, f"index {index} is outside of a list of {len(value)}")
    return value[index]


def _call(node: ast.Call, scope: Mapping[str, Any]) -> Any:
    assert isinstance(node.func, ast.Name)
    name = node.func.id
    args = [evaluate(arg, scope) for arg in node.args]
    named = {word.arg or "": evaluate(word.value, scope) for word in node.keywords}
    try:
        return _bounded(FUNCTIONS[name].call(*args, **named), node)
    except (ValueError, OverflowError) as error:
        raise fault(node, f"{name}: {error}") from None
    except TypeError:
        raise fault(node, f"{name} does not take these arguments") from None
