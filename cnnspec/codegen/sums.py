"""Expressions of sizes that were put together, as short as a person would write them."""

from __future__ import annotations

import ast

from cnnspec.codegen.expressions import UnsayableError, value_of

__all__ = ["simplified"]


def simplified(tree: ast.expr) -> ast.expr:
    """The same value: numbers of a sum are one, what is added and taken away is gone, as are tests that are known."""
    made = _Simpler().visit(tree)
    assert isinstance(made, ast.expr)
    return made


class _Simpler(ast.NodeTransformer):
    def visit_IfExp(self, node: ast.IfExp) -> ast.expr:
        test, body, otherwise = (simplified(each) for each in (node.test, node.body, node.orelse))
        if isinstance(test, ast.Constant):
            return body if test.value else otherwise
        return ast.IfExp(test, body, otherwise)

    def visit_Compare(self, node: ast.Compare) -> ast.expr:
        """`(2 if i == 0 else 1) != 1` is `i == 0`."""
        left, *others = (simplified(each) for each in (node.left, *node.comparators))
        made = ast.Compare(left, node.ops, others)
        if _number(made) is not None:
            return ast.Constant(_number(made))
        if isinstance(left, ast.IfExp):
            one, other = (_number(ast.Compare(each, node.ops, others)) for each in (left.body, left.orelse))
            if one is True and other is False:
                return left.test
        return made

    def visit_BinOp(self, node: ast.BinOp) -> ast.expr:
        if not isinstance(node.op, (ast.Add, ast.Sub)):
            return ast.BinOp(simplified(node.left), node.op, simplified(node.right))
        number, terms = 0, list[tuple[int, ast.expr]]()
        for sign, term in _terms(node, 1):
            if isinstance(term, ast.Constant) and type(term.value) is int:
                number += sign * term.value
                continue
            text = ast.dump(term)
            against = next((each for each in terms if each[0] == -sign and ast.dump(each[1]) == text), None)
            if against is None:
                terms.append((sign, term))
            else:
                terms.remove(against)
        terms.sort(key=lambda each: -each[0])  # what is taken away stands behind
        if number or not terms or terms[0][0] < 0:
            place = len(terms) if terms and terms[0][0] > 0 else 0
            terms.insert(place, (1 if number >= 0 or not place else -1, ast.Constant(abs(number) if place else number)))
        made = terms[0][1]
        for sign, term in terms[1:]:
            made = ast.BinOp(made, ast.Add() if sign > 0 else ast.Sub(), term)
        return made


def _terms(tree: ast.expr, sign: int) -> list[tuple[int, ast.expr]]:
    if isinstance(tree, ast.BinOp) and isinstance(tree.op, (ast.Add, ast.Sub)):
        other = sign if isinstance(tree.op, ast.Add) else -sign
        return [*_terms(tree.left, sign), *_terms(tree.right, other)]
    made = simplified(tree)
    is_sum = isinstance(made, ast.BinOp) and isinstance(made.op, (ast.Add, ast.Sub)) and made is not tree
    return _terms(made, sign) if is_sum else [(sign, made)]


def _number(tree: ast.expr) -> bool | None:
    """Whether a comparison without names holds."""
    if any(isinstance(node, ast.Name) for node in ast.walk(tree)):
        return None
    try:
        found = value_of(tree, {})
    except UnsayableError:
        return None
    return found if isinstance(found, bool) else None
