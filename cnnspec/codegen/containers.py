"""Bodies that stand in place: lists as `nn.Sequential`, branches as containers that join, copies as loops."""

from __future__ import annotations

import ast
import re
from collections import Counter
from dataclasses import replace
from typing import Final, NamedTuple, Protocol

from cnnspec.codegen.calls import BlockClass, as_module, block_call, operator_call
from cnnspec.codegen.context import BLIND, Context
from cnnspec.codegen.expressions import UnsayableError, as_tree
from cnnspec.codegen.known import Pool, holds
from cnnspec.codegen.layout import Brackets, Line, Node, flat, renamed
from cnnspec.codegen.names import is_attribute, local
from cnnspec.language.document import INLINE, Block, Body, Expr, Item
from cnnspec.language.expand import Use

__all__ = ["CONTAINERS", "Containers", "Fill", "condition"]

CONTAINERS: Final = {"layers": "nn.Sequential", "add": "Added", "mul": "Multiplied", "concat": "Concatenated"}
_LONGEST: Final = 100  # columns of a repetition that is written as an expression
_LONG_TABLE: Final = 60  # columns of a list of numbers that a loop goes over, where it is taken from once only
_OF_CONTAINERS: Final = frozenset({"append", "extend", "insert", "pop"})
_FIRST: Final = ast.parse("i == 0", mode="eval").body


class _File(Protocol):
    def block_class(self, block: Block) -> BlockClass:
        """The class of a block."""

    def class_in_place(self, ctx: Context, item: Item, body: Body, pool: Pool) -> tuple[Node, Pool]:
        """An instance of a class for a body that stands in place."""

    def need(self, name: str) -> None:
        """Have a function or class of our own in the file."""


class Fill(NamedTuple):
    """Where the modules of a body go: into the list `into`, or into the module that is being made, by their names."""

    into: str | None
    channels: str | None = None  # the variable that holds the channels of the value at hand


def condition(ctx: Context, item: Item) -> str | None:
    """When an item is there, as an expression; None for always."""
    parts: list[str] = []
    if item.call is not None and ctx.known.may_be_none(item, ctx.block):
        parts.append(f"{ctx.name(item.call.target)} is not None")
    if item.when is not None:
        tree = as_tree(item.when)
        if tree is None:
            raise UnsayableError("a word as a condition")
        text = ctx.text(tree)
        loose = isinstance(tree, ast.IfExp) or (isinstance(tree, ast.BoolOp) and isinstance(tree.op, ast.Or))
        parts.append(f"({text})" if parts and loose else text)
    return " and ".join(parts) or None


class Containers:
    """Writes bodies of one function."""

    def __init__(self, ctx: Context, file: _File) -> None:
        self.ctx = ctx
        self.file = file

    def container(self, body: Body, pool: Pool, wanted: str = "layers") -> tuple[Node, Pool]:
        """A list as one module, and what its channels may be called."""
        kind = CONTAINERS[body.kind]
        if kind != "nn.Sequential":
            self.file.need(kind)
        around, self.ctx.side_by_side = self.ctx.side_by_side, self.ctx.side_by_side or body.kind != "layers"
        made = self.ctx.attempt(lambda: self.pure_items(body, pool))
        self.ctx.side_by_side = around
        if made is not None:
            nodes, notes, pool = made
            return Brackets(kind, tuple(nodes), tuple(notes) if len(nodes) > 1 and not self.ctx.pure else ()), pool
        if body.kind != "layers" or self.ctx.pure:
            raise UnsayableError("statements where none can stand")
        into = self.ctx.fresh(wanted)

        def fill() -> Pool:
            self.ctx.say(f"{into} = []")
            return self.items(body.items, pool, Fill(into))

        filled = self.ctx.attempt(fill)
        if filled is None:
            filled = self.with_channels(body.items, pool, into)
        return Brackets(kind, (f"*{into}",)), filled

    def in_place(self, item: Item, body: Body, pool: Pool, wanted: str) -> tuple[Node, Pool]:
        """A body in its place: a list as one module where it can be, else an instance of a class."""
        made = None if body.named else self.ctx.attempt(lambda: self.container(body, pool, wanted))
        return self.file.class_in_place(self.ctx, item, body, pool) if made is None else made

    def with_channels(self, items: tuple[Item, ...], pool: Pool, into: str | None) -> Pool:
        """As `items`, with a variable that holds the channels from layer to layer."""
        ctx = self.ctx
        if into is not None:
            ctx.say(f"{into} = []")
        uses = [use for item in items for use in ctx.known.of_item(item)]
        start = self._start(items, pool)
        channels = ctx.fresh("channels")
        if not uses:
            raise UnsayableError("nothing is there")
        ctx.say(f"{channels} = {ctx.text(start)}")
        return self.items(items, [ctx.run(channels)], Fill(into, channels))

    def _start(self, items: tuple[Item, ...], pool: Pool) -> ast.expr:
        """The channels that the first layer reads before any copy was made."""
        ctx = self.ctx
        item = next(item for item in items if ctx.known.of_item(item))
        uses = ctx.known.of_item(item)
        if item.repeat is not None and item.when is None and not (item.body and item.body.kind == INLINE):
            uses = [use for use in uses if use.frame.scope.get("i") == 0]
        elif item.repeat is not None or item.when is not None or ctx.indices:
            if ctx.indices:
                raise UnsayableError("loops in loops that begin with a condition")
            first: dict[str, Use] = {}
            for use in uses:
                first.setdefault(use.frame.stack[0] if use.frame.stack else "", use)
            uses = list(first.values())
        return ctx.choose(ctx.known.ins(uses), uses, pool)

    # One expression

    def pure_items(self, body: Body, pool: Pool) -> tuple[list[Node], list[str], Pool]:
        """The modules of a list as arguments of its container, with the shapes that they give."""
        nodes: list[Node] = []
        notes: list[str] = []
        pools: list[Pool] = []
        start = pool
        for item in body.items:
            uses = self.ctx.known.of_item(item)
            if not uses:
                if body.kind != "layers":
                    raise UnsayableError("an absent branch")
                continue
            if body.kind != "layers":
                pool = start
            if item.body is not None and item.body.kind == INLINE and item.repeat is None and item.when is None:
                more, remarks, pool = self.pure_items(item.body, pool)
                nodes, notes = [*nodes, *more], [*notes, *remarks]
            else:
                if condition(self.ctx, item) is not None:
                    raise UnsayableError("a condition inside of an expression")
                node, pool = self.pure_item(item, pool)
                nodes.append(node)
                notes.append(self.ctx.known.shapes(uses))
            pools.append(pool)
        if body.kind == "concat":
            pool = []
        elif body.kind != "layers" and pools:
            pool = pools[0]
        return nodes, notes, pool

    def pure_item(self, item: Item, pool: Pool) -> tuple[Node, Pool]:
        """One item of a list; its copies as a comprehension."""
        if item.repeat is None:
            return self.element(item, pool)
        made = self.ctx.attempt(lambda: self._copies(item, pool))
        if made is None:
            made = self._copies(item, [*self.first_and_others(item, pool), *pool])
        return made

    def _copies(self, item: Item, pool: Pool) -> tuple[Node, Pool]:
        count = self.count(item)
        with self.ctx.loop(pure=True) as index:
            node, out = self.element(item, _fixed(pool))
        copies = Brackets("*", (node, f"for {index} in range({count})"), pair="[]", commas=False)
        if len(flat(copies)) > _LONGEST and not (self.ctx.pure or self.ctx.side_by_side):
            raise UnsayableError("easier to read as a loop")
        return copies, [tree for tree in out if not holds(tree, "i")]

    def first_and_others(self, item: Item, pool: Pool) -> Pool:
        """The channels of the first copy, and those that the others read, as `64 if i == 0 else 128`."""
        ctx, uses = self.ctx, self.ctx.known.of_item(item)
        begins = [use for use in uses if use.frame.scope.get("i") == 0]
        if item.body is not None or not begins:
            return []

        def results() -> Pool:
            with ctx.loop(pure=True):
                others = self.element(item, pool)[1]
            first = ctx.choose(ctx.known.ins(begins), begins, pool)
            fixed = [tree for tree in others if not any(holds(tree, name) for name in ("i", BLIND, "@"))]
            return [ast.IfExp(_FIRST, first, tree) for tree in fixed]

        return ctx.dry(results) or []

    def count(self, item: Item) -> str:
        """How many copies there are."""
        assert item.repeat is not None
        tree = as_tree(item.repeat)
        if tree is None:
            raise UnsayableError("a word as a number")
        return self.ctx.text(tree)

    def element(self, item: Item, pool: Pool) -> tuple[Node, Pool]:
        """One copy of an item as a module among others, where it is there."""
        ctx = self.ctx
        uses = ctx.known.of_item(item)
        if item.reads is not None:
            raise UnsayableError("reads of its own in a list")
        if item.body is not None:
            if item.body.kind == INLINE:
                raise UnsayableError("layers in turn where one has to stand")
            return self.in_place(item, item.body, pool, local(item.key or "layers", ()))
        if ctx.known.target(uses[0]) in ctx.known.document.blocks:
            made = block_call(ctx, self.file, uses, pool)
        else:
            made = operator_call(ctx, uses, pool)
        return as_module(ctx, made), made.pool

    # Statements

    def items(self, items: tuple[Item, ...], pool: Pool, fill: Fill) -> Pool:
        """Every item in turn, as statements."""
        for item in items:
            if self.ctx.known.of_item(item):
                pool = self.item(item, pool, fill)
        return pool

    def item(self, item: Item, pool: Pool, fill: Fill) -> Pool:
        """One item, under its condition, with all of its copies."""
        ctx = self.ctx
        spliced = item.key is None or item.template
        if item.repeat is None or not spliced:
            return self.under_condition(item, pool, fill)
        if item.body is None or item.body.kind != INLINE:
            row = None if item.when is not None or item.template else ctx.attempt(lambda: self._row(item, pool, fill))
            if row is not None:
                return row
        if fill.channels is not None:
            return self._loop(item, pool, fill)
        out = ctx.attempt(lambda: self._loop(item, pool, fill))
        if out is not None:
            return out
        channels = ctx.continued(pool)
        if channels is None:
            start = self._start((item,), pool)
            channels = ctx.fresh("channels")
            ctx.say(f"{channels} = {ctx.text(start)}")
        return self._loop(item, [ctx.run(channels)], fill._replace(channels=channels))

    def _row(self, item: Item, pool: Pool, fill: Fill) -> Pool:
        """Copies as one expression."""
        if fill.into is None or fill.channels is not None or condition(self.ctx, item) is not None:
            raise UnsayableError("copies that are no expression")
        node, out = self.pure_item(item, pool)
        assert isinstance(node, Brackets)
        self.ctx.say(
            f"{fill.into} += ", replace(node, head=""), note=self.ctx.known.shapes(self.ctx.known.of_item(item))
        )
        return out

    def _loop(self, item: Item, pool: Pool, fill: Fill) -> Pool:
        ctx = self.ctx
        count, begin = self.count(item), len(ctx.lines)
        with ctx.loop() as index:
            ctx.say(f"for {index} in range({count}):")
            with ctx.deeper():
                out = self.under_condition(item, pool if fill.channels is not None else _fixed(pool), fill)
            ctx.lines[begin:] = _enumerated(ctx, ctx.lines[begin:], index, count)
        if fill.channels is not None:
            now = ctx.run(fill.channels)
            out = [now, *(tree for tree in out if not holds(tree, "@"))]
        return [tree for tree in [*out, *pool] if not holds(tree, "i")]

    def under_condition(self, item: Item, pool: Pool, fill: Fill) -> Pool:
        """One copy, which may be absent."""
        ctx = self.ctx
        nested = item.key is not None and item.repeat is not None and not item.template
        when = None if nested else condition(ctx, item)  # of nested copies each has its own
        if when is None:
            return self.copy(item, pool, fill)
        ctx.say(f"if {when}:")
        with ctx.deeper():
            out = self.copy(item, pool, fill)
        if fill.channels is None:
            return [*out, *pool]
        return [ctx.run(fill.channels), *(tree for tree in [*out, *pool] if not holds(tree, "@"))]

    def copy(self, item: Item, pool: Pool, fill: Fill) -> Pool:
        """One copy, which is there."""
        ctx, uses = self.ctx, self.ctx.known.of_item(item)
        if item.body is not None and item.body.kind == INLINE:
            return self.items(item.body.items, pool, fill)
        if item.key is not None and item.repeat is not None and not item.template:
            node, out = self.named_copies(item, pool)
        else:
            node, out = self.element(item, pool)
        self.put(item, node, fill, ctx.known.shapes(uses))
        if fill.channels is None:
            return out
        if ctx.known.ins(uses) == ctx.known.outs(uses):
            return [ctx.run(fill.channels), *(tree for tree in out if not holds(tree, "@"))]
        name = fill.channels
        text = ctx.text(ctx.choose(ctx.known.outs(uses), uses, out))
        grown = text.removeprefix(f"{name} + ")
        ctx.say(f"{name} = {text}" if grown == text or " " in grown else f"{name} += {grown}")
        return [ctx.run(name), *(tree for tree in out if not holds(tree, "@"))]

    def named_copies(self, item: Item, pool: Pool) -> tuple[Node, Pool]:
        """All copies of a named item as one module."""
        bare = item._replace(key=None, template=(), reads=None)
        return self.container(Body("layers", (bare,), item.place, named=False), pool, local(item.key or "", ()))

    def put(self, item: Item, node: Node, fill: Fill, note: str) -> None:
        """Have a module in its place."""
        if fill.into is not None:
            self.ctx.say("", Brackets(f"{fill.into}.append", (node,)), "", note)
        elif item.template:
            self.ctx.say("", Brackets("self.add_module", (self.key_text(item), node)), "", note)
        elif item.key is not None and item.key not in _OF_CONTAINERS:
            assign(self.ctx, item.key, node, note)
        else:
            raise UnsayableError("a name that containers keep")

    def key_text(self, item: Item) -> str:
        """A name with expressions in it."""
        texts = []
        for part in item.template:
            tree = as_tree(part) if isinstance(part, Expr) else None
            texts.append(part if isinstance(part, str) else f"{{{self.ctx.text(tree)}}}" if tree is not None else "")
        return 'f"' + "".join(texts) + '"'


def _enumerated(ctx: Context, lines: list[Line], index: str, count: str) -> list[Line]:
    """A loop over a list, where its rounds take numbers from one in several places, or from a long one."""
    text = "\n".join(f"{line.before}{flat(line.node)}{line.after}" for line in lines)
    tables = Counter(re.findall(rf"(?<![\w\])])\[([\d., ]+)\]\[{index}\]", text))
    for table, times in tables.items():
        numbers = tuple(table.split(", "))
        if (times == 1 and len(table) < _LONG_TABLE) or str(len(numbers)) != count:
            continue
        taken = f"[{table}][{index}]"
        name = ctx.fresh("out" if f"channels = {taken}" in text else "rate" if "." in table else "size")
        body = [renamed(line, taken, name) for line in lines[1:]]
        listed = Brackets("", numbers, pair="[]")
        if re.search(rf"\b{index}\b", "\n".join(f"{line.before}{flat(line.node)}" for line in body)):
            return [Line(lines[0].depth, f"for {index}, {name} in ", Brackets("enumerate", (listed,)), ":"), *body]
        return [Line(lines[0].depth, f"for {name} in ", listed, ":"), *body]
    return lines


def _fixed(pool: Pool) -> Pool:
    """What stays the same from copy to copy: a variable does not, unless a statement sets it."""
    return [tree for tree in pool if not holds(tree, "@") or isinstance(tree, ast.IfExp)]


def assign(ctx: Context, key: str, node: Node, note: str = "") -> None:
    """Give a module its name in the module that is being made."""
    if is_attribute(key):
        ctx.say(f"self.{key} = ", node, "", note)
    else:
        ctx.say("", Brackets("self.add_module", (f'"{key}"', node)), "", note)
