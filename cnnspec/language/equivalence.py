"""Whether two spellings of a spec say the same."""

from __future__ import annotations

import ast
from typing import Any

from cnnspec.graph import MAX_NODES
from cnnspec.language import Source
from cnnspec.language.document import Block, Body, Call, Document, Expr, Item
from cnnspec.language.elaborate import TOGETHER
from cnnspec.language.shorthand import Callees

__all__ = ["difference"]


def difference(before: Source, after: Source, callees: Callees) -> str | None:
    """What one spec says and another does not, or None.

    All that is written is compared, so that no setting and no block that nothing calls escapes; then the networks
    themselves, of the spec and of its variants, until as much has been worked out as 100,000 nodes are.
    """
    if _document(before.document, callees) != _document(after.document, callees):
        return "its document is another"
    left = TOGETHER * MAX_NODES
    for variant in (None, *before.document.variants):
        first = before.outcome(variant=variant)
        if first.graph is not None and first.graph != after.outcome(variant=variant).graph:
            return f"the network of variant {variant} is another" if variant else "its network is another"
        left -= first.work
        if left < 0:
            break
    return None


# Documents as plain data, without places and without what makes no difference --------------------------------------


def _document(document: Document, callees: Callees) -> Any:
    return (
        document.header,
        _block(document.main, callees),
        _expr(document.input_shape),
        [numbers if isinstance(numbers, tuple) else _expr(numbers) for numbers in (document.mean, document.std)],
        document.intake,
        {name: _block(block, callees) for name, block in document.blocks.items()},
        {name: [(arg.name, _expr(arg.expr)) for arg in args] for name, args in document.variants.items()},
        None if document.search is None else repr(document.search.plain),
    )


def _block(block: Block, callees: Callees) -> Any:
    return (
        [(param.name, param.type, _expr(param.default)) for param in block.params],
        [(name, _expr(value)) for name, value in block.let],
        [name for name, _ in block.inputs],
        _body(block.body, callees),
    )


def _body(body: Body | None, callees: Callees) -> Any:
    return None if body is None else (body.kind, body.named, [_item(item, callees) for item in body.items])


def _item(item: Item, callees: Callees) -> Any:
    return (
        item.key,
        None if item.call is None else _call(item.call, callees),
        _body(item.body, callees),
        None if item.reads is None else [name for name, _ in item.reads],
        _expr(item.repeat),
        _expr(item.when),
    )


def _call(call: Call, callees: Callees) -> Any:
    """A call with its arguments by name, where the names are known; then their order makes no difference."""
    positional = callees.positional(call.target)
    of_operator = callees.operator(call.target) is not None
    args = []
    for index, arg in enumerate(call.args):
        name = arg.name or (positional[index] if index < len(positional) else None)
        value = _expr(arg.expr, callees.words(call.target, name), tuples=of_operator)
        args.append((name or str(index), value))
    return call.target, sorted(args, key=lambda arg: arg[0])


def _expr(expr: Expr | None, words: tuple[str, ...] = (), *, tuples: bool = False) -> Any:
    if expr is None:
        return None
    if expr.word in words:
        return "word", expr.word
    if isinstance(expr.value, ast.expr):
        return _tree(expr.value, tuples=tuples)
    if isinstance(expr.value, list):
        return "list", [_expr(item) for item in expr.value]
    if expr.value is None and expr.word is not None:
        return "text", expr.word
    return _constant(expr.value)


def _tree(node: ast.expr, *, tuples: bool = False) -> Any:
    """A syntax tree. To an operator (`tuples`) a tuple is what a list is."""
    match node:
        case ast.Constant():
            return _constant(node.value)
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float() as value)):
            return _constant(-value)
        case ast.List() | ast.Tuple():
            kind = "list" if tuples or isinstance(node, ast.List) else "tuple"
            return kind, [_tree(item) for item in node.elts]
        case _:
            return ast.dump(node)


def _constant(value: Any) -> Any:
    return type(value).__name__, repr(value)
