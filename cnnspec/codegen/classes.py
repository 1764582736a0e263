"""Classes of the source: a block's, and those of bodies that stand in place and have names."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import pairwise, product
from typing import Final, Protocol

from cnnspec.codegen.calls import BlockClass, block_call, concatenated, operator_call
from cnnspec.codegen.containers import Containers, Fill, assign, condition
from cnnspec.codegen.context import Context
from cnnspec.codegen.expressions import UnsayableError, as_tree
from cnnspec.codegen.known import Pool, holds
from cnnspec.codegen.layout import Line, Node, flat
from cnnspec.codegen.names import is_attribute, local
from cnnspec.codegen.spelling import forward_text, trained_text
from cnnspec.graph import INPUT
from cnnspec.language.document import Block, Body, Item
from cnnspec.ops.torch_call import Kind, TorchCall

__all__ = ["Forward", "MappingClass", "Step", "chain", "is_chain"]

_JOINS: Final = {
    "add": TorchCall("operator.add", kind="fold"),
    "mul": TorchCall("operator.mul", kind="fold"),
    "concat": TorchCall("torch.cat", (1,), kind="reads"),
}


_TRIED: Final = 2  # names for channels of either case


class _File(Protocol):
    def block_class(self, block: Block) -> BlockClass:
        """The class of a block."""

    def class_in_place(self, ctx: Context, item: Item, body: Body, pool: Pool) -> tuple[Node, Pool]:
        """An instance of a class for a body that stands in place."""

    def need(self, name: str) -> None:
        """Have a function or class of our own in the file."""


def _mark(index: int) -> str:
    """What stands for a read in the text of a step."""
    return f"\0{index}\0"


@dataclass(slots=True)
class Step:
    """What one item does in `forward`: `{0}`, `{1}`, … of its text stand for what it reads."""

    key: str
    reads: list[int | str]  # steps before it, or inputs
    text: str
    note: str = ""
    flag: str | None = None  # the attribute that says whether it is there
    joins: bool = False  # what it reads has names in the spec
    loop: str = ""  # the head of a loop, each round of which reads what the last gave


@dataclass
class Forward:
    """The steps of a body, and what it gives: the last of them, or all joined."""

    inputs: tuple[str, ...]
    steps: list[Step] = field(default_factory=list)
    result: int | str = INPUT
    join: TorchCall | None = None
    joined: list[int | str] = field(default_factory=list)
    idle: set[int] = field(default_factory=set)  # steps that nothing needs, once the lines are written
    training: set[int] = field(default_factory=set)  # and those that only training needs

    def needed(self, wanted: list[int | str]) -> set[int]:
        """The steps that these depend on."""
        found: set[int] = set()
        waiting = list(wanted)
        while waiting:
            step = waiting.pop()
            if isinstance(step, int) and step not in found:
                found.add(step)
                waiting += self.steps[step].reads
        return found

    def lines(self, last: Mapping[str, int | str] | None = None, train: tuple[str, ...] = ()) -> Iterator[Line]:
        """The function. `last` are the outputs by name where there are several, `train` those of training only."""
        results = list(last.values()) if last else self.joined or [self.result]
        always = self.needed([step for name, step in last.items() if name not in train] if last else results)
        needed = self.needed(results)
        self.idle, self.training = set(range(len(self.steps))) - needed, needed - always
        names = self._variables(needed, results if last or self.join else [])
        kind = "dict[str, Tensor]" if last and not train else "Tensor | dict[str, Tensor]" if last else "Tensor"
        yield Line(1, f"def forward(self, {', '.join(f'{name}: Tensor' for name in self.inputs)}) -> {kind}:")
        open_training = False
        for index in sorted(needed):
            step = self.steps[index]
            text = self._text(step, names)
            if text == names[index] and index not in results:  # a sum of one
                continue
            only = index not in always
            if only and not open_training:
                yield Line(2, "if self.training:")
            open_training = only
            final = not last and not self.join and index == self.result
            if step.loop:
                yield from self._rounds(step, names, index, 2 + only)
                if final:
                    yield Line(2 + only, f"return {names[index]}")
                continue
            yield Line(2 + only, "return " if final else f"{names[index]} = ", text, note=step.note)
        if last:
            yield from self._several(last, names, train)
        elif self.join is not None:
            yield Line(2, "return ", forward_text(self.join, [self._name(each, names) for each in self.joined]))
        elif isinstance(self.result, str):
            yield Line(2, f"return {self._name(self.result, names)}")

    def _rounds(self, step: Step, names: Mapping[int, str], index: int, depth: int) -> Iterator[Line]:
        """A step that is a loop over a variable of its own."""
        name = names[index]
        read = self._name(step.reads[0], names)
        if read != name:
            yield Line(depth, f"{name} = {read}")
        yield Line(depth, step.loop)
        yield Line(depth + 1, f"{name} = ", step.text.replace(_mark(0), name), note=step.note)

    def _several(
        self, last: Mapping[str, int | str], names: Mapping[int, str], train: tuple[str, ...]
    ) -> Iterator[Line]:
        texts = {name: self._name(step, names) for name, step in last.items()}
        shown = "{" + ", ".join(f'"{name}": {text}' for name, text in texts.items()) + "}"
        if not train:
            yield Line(2, f"return {shown}")
            return
        others = {name: text for name, text in texts.items() if name not in train}
        rest = "{" + ", ".join(f'"{name}": {text}' for name, text in others.items()) + "}"
        yield Line(2, "if self.training:")
        yield Line(3, f"return {shown}")
        yield Line(2, f"return {rest if len(others) > 1 else next(iter(others.values()))}")

    def _text(self, step: Step, names: Mapping[int, str]) -> str:
        reads = [self._name(each, names) for each in step.reads]
        text = step.text
        for index, read in enumerate(reads):
            text = text.replace(_mark(index), read)
        return text if step.flag is None else f"{text} if self.{step.flag} else {reads[-1]}"

    def _name(self, step: int | str, names: Mapping[int, str]) -> str:
        if isinstance(step, int):
            return names[step]
        return self.inputs[0] if step == INPUT else local(step, ())

    def _variables(self, needed: set[int], kept: list[int | str]) -> dict[int, str]:
        """`x` for what only the next step reads, else the name of the item."""
        order = sorted(needed)
        following = dict(pairwise(order))
        names: dict[int, str] = {}
        taken = set(self.inputs)
        for index in order:
            readers = {other for other in order if index in self.steps[other].reads}
            named = any(self.steps[other].joins for other in readers)
            plain = index not in kept and not named and readers <= {following.get(index, -1)}
            names[index] = "x" if plain else local(self.steps[index].key, taken)
            if not plain:
                taken.add(names[index])
        return names


class MappingClass:
    """Writes the body of a class whose children have names: `__init__` into its context, and what `forward` does."""

    def __init__(self, ctx: Context, file: _File, inputs: tuple[str, ...]) -> None:
        self.ctx = ctx
        self.file = file
        self.containers = Containers(ctx, file)
        self.forward = Forward(inputs)
        self.pools: dict[int | str, Pool] = {}
        self.by_key: dict[str, int | str] = {}
        self.flags: set[str] = set()
        self.items: list[Item] = []  # of the steps

    def left_out(self, *, training: bool = False) -> list[Item]:
        """The items that `forward` does not run, or runs in training only."""
        steps = self.forward.training if training else self.forward.idle
        return [self.items[step] for step in steps]

    def write(self, body: Body, pool: Pool) -> Pool:
        """All children. Returns what the channels of the body's result may be called."""
        self.pools[INPUT] = pool
        current: int | str = INPUT
        keys = {item.key for item in body.items}
        number = 0  # of the next child without a name that is there
        for item in body.items:
            start = current if body.kind == "layers" else INPUT
            key = item.key if item.key is not None else str(number)
            reads = [start] if item.reads is None else [self._resolve(name) for name, _ in item.reads]
            if not self.ctx.known.of_item(item) and not item.template:
                self.forward.joined.append(reads[-1])
                self.by_key |= {} if item.key is None else {key: reads[-1]}
                current = reads[-1]
                continue
            if item.template and body.kind == "layers":
                current = self._numbered(item, reads)
                continue
            if item.template or (item.key is None and (item.repeat is not None or condition(self.ctx, item))):
                raise UnsayableError("names that are worked out")
            number += item.key is None
            if body.kind != "layers" and item.repeat is not None:
                raise UnsayableError("copies side by side")
            current = self._child(item, key, reads, keys)
            self.by_key[key] = current
            self.forward.joined.append(current)
        forward = self.forward
        if body.kind == "layers":
            forward.joined, forward.result = [], current
            return self.pools[current]
        forward.join = _JOINS[body.kind]
        uses = [self.ctx.known.of_item(item) for item in body.items]
        if not all(uses):
            return []
        if body.kind != "concat":
            return self.pools[forward.joined[0]]
        if len({len(each) for each in uses}) > 1:
            return []
        outs = [self.ctx.known.outs(each) for each in uses]
        return concatenated([self.pools[each] for each in forward.joined], outs, uses[0], self.ctx)

    def _resolve(self, name: str) -> int | str:
        if name in self.by_key:
            return self.by_key[name]
        if name != INPUT and name not in dict(self.ctx.block.inputs):
            raise UnsayableError("one of several copies is read")
        return name

    def _numbered(self, item: Item, reads: list[int | str]) -> int:
        """Copies with names that are worked out, in turn."""
        ctx = self.ctx
        if item.repeat is None or condition(ctx, item) is not None or len(reads) > 1:
            raise UnsayableError("names that are worked out")
        bare = (item._replace(reads=None),)
        pool, begin = self._pool(reads[0]), len(ctx.lines)
        out = ctx.attempt(lambda: self.containers.items(bare, pool, Fill(None)))
        if out is None:
            out = self.containers.with_channels(bare, pool, None)
        ctx.lines[begin:] = [replace(line, note="") for line in ctx.lines[begin:]]  # `forward` has it
        inner = ctx.inner()
        containers = Containers(inner, self.file)
        with inner.loop() as index:
            head, key = f"for {index} in range({containers.count(item)}):", containers.key_text(item)
        if inner.used:
            raise UnsayableError("names that arguments are part of")
        uses = ctx.known.of_item(item)
        last = {parent: leaf for parent, _, leaf in (use.name.rpartition(".") for use in uses)}
        name = next(iter(last.values()))
        text = f"getattr(self, {key})({_mark(0)})"
        step = self._step(item, Step(name, reads, text, ctx.known.shapes(uses), loop=head), out)
        self.by_key |= {leaf: step for leaf in last.values() if len(set(last.values())) == 1}
        return step

    def _child(self, item: Item, key: str, reads: list[int | str], keys: set[str | None]) -> int:
        ctx = self.ctx
        uses = ctx.known.of_item(item)
        pool = self._pool(reads[0])
        note = ctx.known.shapes(uses)
        called = f"self.{key}" if is_attribute(key) else f'self.get_submodule("{key}")'
        marks = [_mark(index) for index in range(len(reads))]
        text = f"{called}({', '.join(marks)})"
        flag: str | None = None
        if item.repeat is not None:
            node, out = self.containers.named_copies(item, pool)
            if len(reads) > 1:
                raise UnsayableError("copies that read several")
            assign(ctx, key, node)
            return self._step(item, Step(key, reads, text, note), out)
        when = condition(ctx, item)
        inline: TorchCall | None = None
        kind: Kind = "module"
        if item.body is not None:
            before, ctx.pure = ctx.pure, when is not None  # statements would have to stand under the condition
            node, out = self.containers.in_place(item, item.body, pool, local(key, ()))
            ctx.pure = before
        elif ctx.known.target(uses[0]) in ctx.known.document.blocks:
            made = block_call(ctx, self.file, uses, pool, [self._pool(read) for read in reads[1:]])
            node, out = made.node, made.pool
        else:
            made = operator_call(ctx, uses, pool)
            node, out, inline, kind = made.node, made.pool, made.inline, made.kind
        if inline is not None:
            if inline.name == "torch.cat" and len(reads) > 1:
                sizes = [[ctx.known.shape(use.reads[n])[0] for use in uses] for n in range(len(reads))]
                out = [*concatenated([self._pool(read) for read in reads], sizes, uses, ctx), *out]
            text = forward_text(inline, marks)
            flag = None if when is None else self._flag(key, keys, when)
        elif kind in ("factor", "term"):
            if when is not None:
                raise UnsayableError("a parameter that may be absent")
            attribute = is_attribute(key)
            if attribute:
                ctx.say(f"self.{key} = ", node)
            else:
                ctx.say(f'self.register_parameter("{key}", {flat(node)})')
            text = trained_text(kind, marks[0], f"self.{key}" if attribute else f'self.get_parameter("{key}")')
        elif when is None:
            assign(ctx, key, node)
        elif len(reads) > 1:
            raise UnsayableError("a block of several inputs that may be absent")
        else:
            self._optional(key, node, when)
        if when is not None:
            out = self._either(item, out, self._pool(reads[-1]))
        return self._step(item, Step(key, reads, text, note, flag, len(reads) > 1), out)

    def _either(self, item: Item, there: Pool, absent: Pool) -> Pool:
        """What the channels may be called of a layer that passes its input on where it is absent."""
        test = as_tree(item.when)
        both = [
            ast.IfExp(test, one, other)
            for one, other in product(there[:_TRIED], absent[:_TRIED])
            if test is not None and not any(holds(tree, "@") for tree in (one, other))
        ]
        return [*there, *absent, *both]

    def _pool(self, read: int | str) -> Pool:
        if isinstance(read, str) and read not in self.pools:
            first = self.ctx.block.inputs[0][0] if self.ctx.block.inputs else INPUT
            name = f"{read}_channels"
            return self.pools[INPUT] if read == first else [ast.Name(name, ast.Load())] if name in self.ctx.own else []
        return self.pools.get(read, [])

    def _step(self, item: Item, step: Step, pool: Pool) -> int:
        index = len(self.forward.steps)
        self.forward.steps.append(step)
        self.items.append(item)
        self.pools[index] = [tree for tree in pool if not holds(tree, "@") or len(step.reads) == 1]
        return index

    def _flag(self, key: str, keys: set[str | None], when: str) -> str:
        """An attribute that keeps a condition for `forward`."""
        name = f"has_{local(key, ())}"
        while name in keys or name in self.flags:
            name += "_"
        self.flags.add(name)
        self.ctx.say(f"self.{name} = {when}")
        return name

    def _optional(self, key: str, node: Node, when: str) -> None:
        """A module that passes its input on where it is absent."""
        ctx = self.ctx
        line = f"{flat(node)} if {when} else nn.Identity()"
        if len(line) + len(key) < 100:
            assign(ctx, key, line)
            return
        ctx.say(f"if {when}:")
        with ctx.deeper():
            assign(ctx, key, node)
        ctx.say("else:")
        with ctx.deeper():
            assign(ctx, key, "nn.Identity()")


def is_chain(body: Body) -> bool:
    """Whether each child reads the one before it."""
    return body.kind == "layers" and all(item.reads is None for item in body.items)


def chain(ctx: Context, file: _File, body: Body, pool: Pool) -> Pool:
    """The children of a body of which some have names with expressions: in turn, as `nn.Sequential` runs them."""
    containers = Containers(ctx, file)
    filled = ctx.attempt(lambda: containers.items(body.items, pool, Fill(None)))
    return containers.with_channels(body.items, pool, None) if filled is None else filled
