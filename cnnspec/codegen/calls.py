"""Calls of operators and blocks as the source has them: in torch's words, with the sizes that the language infers."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from typing import Any, Final, NamedTuple, Protocol, assert_never

from cnnspec.codegen.context import Context
from cnnspec.codegen.expressions import UnsayableError, as_tree, replaced, value_of
from cnnspec.codegen.known import Pool, holds
from cnnspec.codegen.layout import Brackets, Node
from cnnspec.codegen.spelling import literal
from cnnspec.codegen.sums import simplified
from cnnspec.codegen.torch_names import DERIVED, has_no_default, torch_names
from cnnspec.language.bind import name_arguments, words_of
from cnnspec.language.document import Argument, Block, Call, Expr
from cnnspec.language.expand import Use
from cnnspec.ops import operators
from cnnspec.ops.reshape import Slice
from cnnspec.ops.torch_call import Kind, TorchCall

__all__ = [
    "BlockClass",
    "Made",
    "as_module",
    "block_call",
    "concatenated",
    "operator_call",
]

_CUT: Final = "operator.getitem"
_TUPLES: Final = frozenset({"scale_factor"})  # arguments that torch does not take as a list
_KEPT: Final = 6  # candidates for a size of one value


class BlockClass(NamedTuple):
    """The class of a block: what it takes before the block's parameters, and what its channels may be."""

    name: str
    first: tuple[str, ...]
    returns: Pool


class Made(NamedTuple):
    """A call in the source. A function has no module: `inline` is how it is written around what it reads."""

    kind: Kind
    node: Node
    pool: Pool
    inline: TorchCall | None = None


class _Classes(Protocol):
    def block_class(self, block: Block) -> BlockClass:
        """The class of a block, written where it is not there yet."""


def operator_call(ctx: Context, uses: list[Use], pool: Pool) -> Made:
    """The call of an operator, for all of its copies."""
    item = uses[0].item
    assert item.call is not None
    calls = [ctx.known.call(use) for use in uses]
    kinds = {call.kind for call in calls}
    if len(kinds) > 1:
        raise UnsayableError("one line is a module here and a function there")
    kind = calls[0].kind
    names = {call.name for call in calls}
    is_param = item.call.target not in operators() or item.call.target in uses[0].frame.scope
    if kind == "module":
        head = ctx.name(item.call.target) if is_param else _module(ctx, names)
        node = Brackets(head, tuple(_arguments(ctx, uses, calls, pool)))
        return Made(kind, node, _result(ctx, uses, pool))
    if len(names) > 1 or is_param:
        raise UnsayableError("a parameter holds a function")
    alike = len({repr(call) for call in calls}) == 1
    match kind:
        case "factor" | "term":
            size, init = (_value(ctx, uses, calls, index, pool) for index in (0, 1))
            tensor = Brackets(calls[0].name, (size, _as_float(ctx, uses, init)))
            return Made(kind, Brackets("nn.Parameter", (tensor,)), _result(ctx, uses, pool))
        case "function" if not alike and calls[0].name == _CUT:
            places = [call.arguments[0] for call in calls]
            return Made("module", _slice(ctx, uses, places, pool), _result(ctx, uses, pool))
        case "function" if not alike:
            ctx.file.need("Function")
            arguments = _arguments(ctx, uses, calls, pool)
            return Made("module", Brackets("Function", (calls[0].name, *arguments)), _result(ctx, uses, pool))
        case "reads" | "fold" if not alike:
            raise UnsayableError("reads that are joined in several ways in one place")
        case "function" | "reads" | "fold":
            return Made(kind, "", _result(ctx, uses, pool), calls[0])
        case _:
            assert_never(kind)


def as_module(ctx: Context, made: Made) -> Node:
    """A call as a module, for places where functions cannot stand."""
    if made.kind == "module":
        return made.node
    if made.kind == "function" and made.inline is not None:
        call = made.inline
        if call.name == _CUT:
            (places,) = call.arguments
            return _slice_module(ctx, places, [literal(places[-1].start), literal(places[-1].stop)])
        ctx.file.need("Function")
        named = [f"{name}={literal(value)}" for name, value in call.named.items()]
        return Brackets("Function", (call.name, *map(literal, call.arguments), *named))
    raise UnsayableError(f"a {made.kind} among modules")


def _as_float(ctx: Context, uses: list[Use], text: str) -> str:
    """What a trained number starts with: of a whole one torch would make a tensor of whole numbers."""
    given = _written(uses, ctx).get("init")
    tree = None if given is None else as_tree(given.expr)
    if tree is None or all(isinstance(value_of(tree, use.frame.scope), float) for use in uses):
        return text
    is_plain = not any(isinstance(node, ast.Name) for node in ast.walk(tree))
    return literal(float(value_of(tree, {}))) if is_plain else f"float({text})"


def _module(ctx: Context, names: set[str]) -> str:
    if len(names) > 1:
        raise UnsayableError("one line is several modules")
    (name,) = names
    if "." not in name:
        ctx.file.need(name)
    return name


def _written(uses: list[Use], ctx: Context) -> dict[str, Argument]:
    """The arguments of a call by torch's names."""
    call = uses[0].item.call
    assert call is not None
    op_type, _ = operators()[ctx.known.target(uses[0])]
    return name_arguments(call, op_type.positional, lambda _: None)


def _arguments(ctx: Context, uses: list[Use], calls: list[TorchCall], pool: Pool) -> list[Node]:
    """What a module is made with; what has torch's default is left out."""
    ops = [ctx.known.op(use) for use in uses]
    written = _written(uses, ctx)
    names = torch_names(ops[0])
    if len({len(call.arguments) for call in calls} | {len(torch_names(op)) for op in ops}) > 1:
        if all(call.name in (calls[0].name, "nn.Identity") for call in calls):  # which takes anything
            kept = [index for index, call in enumerate(calls) if call.arguments]
            return _arguments(ctx, [uses[i] for i in kept], [calls[i] for i in kept], pool)
        raise UnsayableError("layers with other arguments in one place")
    arguments: list[Node] = []
    by_name = False
    for index, name in enumerate(names):
        torchs_own = calls[0].name.startswith("nn.") and name in ops[0].fields() and name not in DERIVED
        if name not in written and torchs_own:
            by_name = True
            continue
        text = _value(ctx, uses, calls, index, pool)
        by_name = by_name or (torchs_own and written[name].name is not None and name not in type(ops[0]).positional)
        arguments.append(f"{name}={text}" if by_name else text)
    for name in dict.fromkeys(name for call in calls for name in call.named):
        if name not in written and not any(name in op.arguments() or has_no_default(op) for op in ops):
            continue  # all have torch's default
        if any(name not in call.named for call in calls):
            raise UnsayableError("layers with other arguments in one place")
        values = [call.named[name] for call in calls]
        if name in written:
            arguments.append(f"{name}={_said(ctx, uses, name, written[name].expr, values, pool)}")
        else:
            arguments.append(f"{name}={ctx.text(ctx.choose(values, uses, pool))}")
    return arguments


def _value(ctx: Context, uses: list[Use], calls: list[TorchCall], index: int, pool: Pool) -> str:
    """An argument that torch takes by position."""
    op = ctx.known.op(uses[0])
    names = torch_names(op)
    values = [call.arguments[index] for call in calls]
    written = _written(uses, ctx)
    name = names[index] if index < len(names) else ""
    if name in written:
        return _said(ctx, uses, name, written[name].expr, values, pool)
    hints = [tree for arg in written.values() if (tree := as_tree(arg.expr)) is not None]
    if all(isinstance(value, str) for value in values):
        return literal(values[0]) if len(set(values)) == 1 else _unsayable("words that differ")
    try:
        return ctx.text(ctx.choose(values, uses, pool, hints if name not in DERIVED else None))
    except UnsayableError:
        if name not in DERIVED:
            raise
        return ctx.text(ctx.choose(values, uses, pool, hints))  # as its groups, where channels come of another axis


def _unsayable(reason: str) -> str:
    raise UnsayableError(reason)


def _slice(ctx: Context, uses: list[Use], places: list[tuple[slice, ...]], pool: Pool) -> Node:
    """A part of an axis, which another copy cuts elsewhere."""
    if len(set(map(len, places))) > 1:
        raise UnsayableError("parts of several axes")
    written = _written(uses, ctx).values()
    named = [*(tree for arg in written if (tree := as_tree(arg.expr)) is not None), *pool]
    ends = ([place[-1].start for place in places], [place[-1].stop for place in places])
    return _slice_module(ctx, places[0], [ctx.text(ctx.choose(end, uses, named)) for end in ends])


def _slice_module(ctx: Context, places: tuple[slice, ...], ends: list[str]) -> Node:
    ctx.file.need("Slice")
    axis = len(places) - 1
    return Brackets("Slice", (*ends, *([f"dim={axis}"] if axis > 1 else [])))


def _said(ctx: Context, uses: list[Use], name: str, expr: Expr, values: list[Any], pool: Pool) -> str:
    """An argument as it is written, where that is what torch is to be given."""
    target = ctx.known.target(uses[0])
    op_type, _ = operators()[target]
    if expr.word is not None and name in op_type.words and expr.word in words_of(target, name):
        if len(set(values)) == 1:
            return literal(values[0])
        raise UnsayableError("a word that is another for torch")
    tree = as_tree(expr)
    if tree is None:
        raise UnsayableError("a word")
    is_listed = name in op_type.listed
    found = [value_of(tree, use.frame.scope) for use in uses]
    if not all(_same(one, value, is_listed) for one, value in zip(found, values, strict=True)):
        return ctx.text(ctx.choose(values, uses, pool))
    if name not in _TUPLES or not any(isinstance(one, list) for one in found):
        return ctx.text(tree)
    return ctx.text(ast.Tuple(tree.elts, ast.Load())) if isinstance(tree, ast.List) else f"tuple({ctx.text(tree)})"


def _same(written: Any, value: Any, is_listed: bool) -> bool:
    """Whether torch makes the same of both: a number stands for one on every axis, or is as good as a list of one."""
    if isinstance(written, list):
        written = tuple(written)
    if isinstance(value, tuple) and not isinstance(written, tuple):
        return not is_listed and bool(value) and all(_same(written, each, is_listed) for each in value)
    if is_listed and isinstance(written, tuple) and not isinstance(value, tuple):
        return written == (value,)
    return isinstance(written, bool) == isinstance(value, bool) and bool(written == value)


def _result(ctx: Context, uses: list[Use], pool: Pool) -> Pool:
    """What sizes of the result may be called."""
    known = ctx.known
    shapes = [known.shape(use.result.name) for use in uses]
    found: Pool = []
    for arg in _written(uses, ctx).values():
        tree = as_tree(arg.expr)
        if tree is not None and any(ctx.chosen(tree, [shape[axis] for shape in shapes], uses) for axis in (0, -1)):
            found.append(tree)
    found += _cut(ctx, uses, pool)
    keeps = known.ins(uses) == known.outs(uses)
    kept = [tree for tree in pool if keeps or not holds(tree, "@")]
    reads = {known.shape(use.reads[0])[1:] for use in uses}
    if len(reads) == 1 and all(len(shape) == 1 for shape in shapes):  # perhaps channels and places as one
        (places,) = reads
        found += [tree for each in kept if (tree := _times(each, places)) is not None and places]
    return [*found, *kept][:_KEPT]


def _cut(ctx: Context, uses: list[Use], pool: Pool) -> Pool:
    """What the channels of a slice may be called."""
    if not all(isinstance(op, Slice) and op.dim == 1 for op in map(ctx.known.op, uses)):
        return []
    written = _written(uses, ctx)
    ends = [written[name].expr for name in ("start", "end") if name in written]
    start, *end = (tree for each in ends if (tree := as_tree(each)) is not None)
    return [simplified(ast.BinOp(tree, ast.Sub(), start)) for tree in end or pool if not holds(tree, "@")]


def _times(tree: ast.expr, places: tuple[int, ...]) -> ast.expr | None:
    for size in places:
        if size > 1:
            tree = ast.BinOp(tree, ast.Mult(), ast.Constant(size))
    return tree


def concatenated(pools: list[Pool], values: list[list[int]], uses: list[Use], ctx: Context) -> Pool:
    """What the channels of several values after each other may be called."""
    total: ast.expr | None = None
    for pool, sizes in zip(pools, values, strict=True):
        part = next((tree for tree in pool if not holds(tree, "@") and ctx.chosen(tree, sizes, uses)), None)
        if part is None:
            return []
        total = part if total is None else ast.BinOp(total, ast.Add(), part)
    return [] if total is None else [simplified(total)]


# Blocks -------------------------------------------------------------------------------------------------------------


def block_call(ctx: Context, file: _Classes, uses: list[Use], pool: Pool, others: Sequence[Pool] = ()) -> Made:
    """The call of a block, for all of its copies. `others` are what the channels of its other inputs may be called."""
    item, known = uses[0].item, ctx.known
    assert item.call is not None
    blocks = {name: known.document.blocks[name] for name in dict.fromkeys(map(known.target, uses))}
    classes = {name: file.block_class(block) for name, block in blocks.items()}
    firsts = {made.first for made in classes.values()}
    if len(firsts) > 1:
        raise UnsayableError("blocks that take other sizes in one place")
    block = next(iter(blocks.values()))
    reads = {f"{name}_channels": number for number, (name, _) in enumerate(block.inputs) if number}
    first: dict[str, ast.expr] = {}
    for name in firsts.pop():
        number = reads.get(name, 0)
        axis = -1 if name == "in_features" else 0
        values = [known.shape(use.reads[number])[axis] for use in uses]
        first[name] = ctx.choose(values, uses, others[number - 1] if number else pool)
    arguments: list[Node] = [ctx.text(tree) for tree in first.values()]
    for arg in item.call.args:
        tree = as_tree(arg.expr)
        if tree is None:
            raise UnsayableError("a word")
        text = ctx.text(tree)
        arguments.append(text if arg.name is None else f"{known.names.values[arg.name]}={text}")
    head = ctx.name(item.call.target)
    for name, axis in (("in_channels", 0), ("in_features", -1)):  # of which the block tells nothing, but gives as many
        values = [known.shape(use.reads[0])[axis] for use in uses]
        if name not in first and (right := [tree for tree in pool if ctx.chosen(tree, values, uses)]):
            first[name] = right[0]
    returns: Pool = []
    for name, each in blocks.items():
        returns += _returned(classes[name].returns, each, item.call, first)
    return Made("module", Brackets(head, tuple(arguments)), returns[:_KEPT])


def _returned(returns: Pool, block: Block, call: Call, first: dict[str, ast.expr]) -> Pool:
    """What the block says of its channels, in the words of the caller."""
    named = name_arguments(call, tuple(param.name for param in block.params), lambda _: None)
    known: dict[str, ast.expr | None] = {"in_channels": None, "in_features": None, **first}
    for param in block.params:
        given = named.get(param.name)
        tree = as_tree(given.expr if given is not None else param.default)
        known[param.name] = replaced(tree, known) if given is None and tree is not None else tree
    for name, expr in block.let:
        tree = as_tree(expr)
        known[name] = None if tree is None else replaced(tree, known)
    return [simplified(tree) for each in returns if (tree := replaced(each, known)) is not None]
