"""Syntax trees of expressions as texts."""

from __future__ import annotations

import ast
import copy

__all__ = ["unparse"]


class _Flat(ast.NodeTransformer):
    """`ast.unparse` takes each further operand of `and` and `or` for one that binds less, and puts it in brackets."""

    def visit_BoolOp(self, node: ast.BoolOp) -> ast.AST:  # the library's name
        self.generic_visit(node)
        node.values = [self.operand(node.op, value) for value in node.values]
        return node

    def operand(self, op: ast.boolop, value: ast.expr) -> ast.expr:
        """The text in place of what needs no brackets."""
        inner = isinstance(value, ast.BoolOp) and not (isinstance(op, ast.Or) and isinstance(value.op, ast.And))
        return value if inner or isinstance(value, ast.IfExp) else ast.Name(ast.unparse(value), ast.Load())


def unparse(tree: ast.AST) -> str:
    """An expression as a text, with no more brackets than it needs."""
    return ast.unparse(ast.fix_missing_locations(_Flat().visit(copy.deepcopy(tree))))
