"""Expressions of the language as Python writes them, and the arithmetic of sizes that the language leaves out."""

from __future__ import annotations

import ast
import copy
from collections.abc import Callable, Mapping
from typing import Any, Final

from cnnspec.language.document import Expr
from cnnspec.language.evaluate import evaluate
from cnnspec.language.expression import ExpressionError
from cnnspec.language.results import LayerName
from cnnspec.language.unparse import unparse

__all__ = ["UnsayableError", "as_tree", "is_numeric", "is_product", "parts", "python", "replaced", "value_of"]

_FACTORS: Final = 4  # of a product that is easily read
_MOST_PARTS: Final = 24  # of an expression that is put together


class UnsayableError(Exception):
    """The source cannot be written in this way."""


class _Renamed(ast.NodeTransformer):
    def __init__(self, name: Callable[[str], str]) -> None:
        self.name = name
        self.slices: dict[str, str] = {}

    def visit_Name(self, node: ast.Name) -> ast.AST:  # the library's name
        return ast.Name(self.name(node.id), ast.Load())

    def visit_Call(self, node: ast.Call) -> ast.AST:
        assert isinstance(node.func, ast.Name)
        function = node.func.id
        args: list[ast.expr] = [self.visit(arg) for arg in node.args]
        keywords = [ast.keyword(word.arg, self.visit(word.value)) for word in node.keywords]
        if function == "round" and len(args) > 1:
            if not isinstance(args[1], ast.Constant):
                raise UnsayableError("digits that are worked out")
            args = args if args[1].value else args[:1]
        called = f"math.{function}" if function in ("ceil", "floor") else function
        self.name(called)
        return ast.Call(ast.Name(called, ast.Load()), args, keywords)

    def visit_BoolOp(self, node: ast.BoolOp) -> ast.AST:
        """`i == 1 or i == 3` is `i in (1, 3)`."""
        first = node.values[0]
        numbers = [_compared(first, value) for value in node.values]
        if isinstance(node.op, ast.Or) and isinstance(first, ast.Compare) and None not in numbers:
            among = ast.Tuple([number for number in numbers if number is not None], ast.Load())
            return ast.Compare(self.visit(first.left), [ast.In()], [among])
        return self.generic_visit(node)

    def visit_Subscript(self, node: ast.Subscript) -> ast.AST:
        """A slice with more than names at its ends has blanks around the colon, which the library does not write."""
        value = self.visit(node.value)
        if not isinstance(node.slice, ast.Slice):
            return ast.Subscript(value, self.visit(node.slice), ast.Load())
        ends = [node.slice.lower, node.slice.upper, *([node.slice.step] if node.slice.step else [])]
        texts = ["" if end is None else unparse(self.visit(end)) for end in ends]
        simple = all(end is None or isinstance(end, (ast.Name, ast.Constant)) for end in ends)
        if simple:
            text = ":".join(texts)
        else:
            text = texts[0]
            for end in texts[1:]:
                text = f"{text} :" if text and not text.endswith(":") else f"{text}:"
                text = f"{text} {end}" if end else text
        key = f"slice{len(self.slices)}__"
        self.slices[key] = text
        return ast.Subscript(value, ast.Name(key, ast.Load()), ast.Load())


def _compared(first: ast.expr, other: ast.expr) -> ast.Constant | None:
    """The number that is compared with what `first` compares too."""
    match first, other:
        case ast.Compare(left=ast.Name(one)), ast.Compare(ast.Name(same), [ast.Eq()], [ast.Constant() as number]):
            return number if one == same else None
    return None


def python(tree: ast.expr, name: Callable[[str], str]) -> str:
    """An expression as a text. `name` gives what a name is called in the source, and is asked for functions too."""
    renamed = _Renamed(name)
    text = unparse(renamed.visit(copy.deepcopy(tree)))
    for key, written in reversed(renamed.slices.items()):
        text = text.replace(key, written)
    return text


def as_tree(value: Expr | Any) -> ast.expr | None:
    """The syntax tree of a value as it is written, or of a plain one; None for a word."""
    if isinstance(value, Expr):
        if value.value is None and value.word is not None:
            return None
        return as_tree(value.value)
    if isinstance(value, ast.expr):
        return value
    if isinstance(value, LayerName):
        return ast.Name(value.name, ast.Load())
    if isinstance(value, (list, tuple)):
        trees = [as_tree(item) for item in value]
        items = [tree for tree in trees if tree is not None]
        if len(items) != len(trees):
            return None
        return ast.List(items, ast.Load()) if isinstance(value, list) else ast.Tuple(items, ast.Load())
    if isinstance(value, (int, float)) and not isinstance(value, bool) and value < 0:
        return ast.UnaryOp(ast.USub(), ast.Constant(-value))
    return ast.Constant(value)


def value_of(tree: ast.expr, scope: Mapping[str, Any]) -> Any:
    """What a tree comes to where names stand for these values; UnsayableError where it comes to nothing."""
    try:
        return evaluate(tree, scope)
    except ExpressionError as error:
        raise UnsayableError(str(error)) from None


def parts(tree: ast.expr) -> int:
    """How long an expression is: its names, numbers and operations."""
    return sum(isinstance(node, (ast.expr,)) for node in ast.walk(tree))


def is_numeric(tree: ast.expr) -> bool:
    """Whether an expression has no names: its value says more."""
    return not isinstance(tree, ast.Constant) and not any(isinstance(node, ast.Name) for node in ast.walk(tree))


def is_product(tree: ast.expr) -> bool:
    """Whether an expression is a short product, whose factors say more than its value."""
    signs = [type(node.op) for node in ast.walk(tree) if isinstance(node, ast.BinOp)]
    return set(signs) == {ast.Mult} and len(signs) <= _FACTORS - 1 and len(signs) * 2 + 1 == parts(tree)


def replaced(tree: ast.expr, known: Mapping[str, ast.expr | None]) -> ast.expr | None:
    """A tree with names replaced by expressions; None where one of them is not known, or it grows too long."""

    class Put(ast.NodeTransformer):
        lost = False

        def visit_Name(self, node: ast.Name) -> ast.AST:
            if node.id not in known:
                return node
            new = known[node.id]
            self.lost = self.lost or new is None
            return node if new is None else copy.deepcopy(new)

        def visit_BinOp(self, node: ast.BinOp) -> ast.AST:
            new = self.generic_visit(node)
            assert isinstance(new, ast.BinOp)
            left = new.left
            back = isinstance(new.op, ast.Sub) and isinstance(left, ast.BinOp) and isinstance(left.op, ast.Add)
            if back and isinstance(left, ast.BinOp) and ast.dump(left.right) == ast.dump(new.right):
                return left.left  # of `i + 1 - 1`
            return new

    put = Put()
    new = put.visit(copy.deepcopy(tree))
    assert isinstance(new, ast.expr)
    return None if put.lost or parts(new) > _MOST_PARTS else new
