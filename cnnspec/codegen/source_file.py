"""A file of source while it is written: the classes so far, and what they need."""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass, field
from typing import Any, Final

from cnnspec.codegen.calls import BlockClass
from cnnspec.codegen.classes import MappingClass, chain, is_chain
from cnnspec.codegen.containers import Containers
from cnnspec.codegen.context import Context, scope_names
from cnnspec.codegen.expressions import UnsayableError, as_tree
from cnnspec.codegen.helpers import helpers
from cnnspec.codegen.known import Known, Pool, holds
from cnnspec.codegen.layout import Brackets, Line, Node, render
from cnnspec.codegen.names import imports, is_attribute, local
from cnnspec.graph import INPUT, is_below
from cnnspec.language.document import Block, Body, Item
from cnnspec.ops import ArgumentError, make_op, operators
from cnnspec.ops.arguments import REQUIRED
from cnnspec.ops.torch_call import torch_call

__all__ = ["SourceFile"]

_RETURNED: Final = 4  # candidates for the channels of what a block gives


_CALLED: Final = "call "  # before the block that a part calls, among what it needs


@dataclass
class _Part:
    """The classes of a block, or of the network, and what they need."""

    classes: list[list[Line]] = field(default_factory=list)
    needed: dict[str, None] = field(default_factory=dict)


class SourceFile:
    """Writes classes as they are asked for."""

    def __init__(self, known: Known) -> None:
        self.known = known
        self.part = _Part()
        self.blocks: dict[str, tuple[BlockClass, _Part] | UnsayableError] = {}
        self.idle: list[Item] = []  # that no `forward` runs
        self.training: list[Item] = []  # that run in training only
        self.mixed = _blocks_in_one_place(known)

    # What functions ask for

    def need(self, name: str) -> None:
        """Have a name in the file."""
        self.part.needed[name] = None

    def mark(self) -> tuple[int, dict[str, None]]:
        """How far this part of the file is."""
        return len(self.part.classes), dict(self.part.needed)

    def back_to(self, mark: tuple[int, dict[str, None]]) -> None:
        """Take back what has been added since. Blocks stay: no call changes what their classes are."""
        length, self.part.needed = mark
        del self.part.classes[length:]

    def has_all_values(self) -> bool:
        """Whether every block that is a value somewhere is called somewhere, so that it has a class."""
        needed = self.whole().needed
        return all(f"{_CALLED}{name[1:]}" in needed for name in needed if name.startswith("#"))

    def block_name(self, block: str) -> str:
        """The class of a block that is a value: it is in the file where anything uses it."""
        self.need(f"#{block}")
        return self.known.names.classes[block]

    def layer(self, operator: str) -> str:
        """What the source calls an operator that is a value."""
        op_type, rank = operators()[operator]
        required = {name: 1 for name, field in op_type.fields().items() if field.default is REQUIRED and name != "rank"}
        call = None
        for size in ((rank or 2) + 1, 1):
            try:
                call = torch_call(make_op(operator, **required), (1,) * size)
                break
            except (ArgumentError, ValueError, IndexError):
                continue
        if call is None or call.kind != "module" or not call.name.startswith("nn."):
            raise UnsayableError(f"{operator} as a value")
        return call.name

    def block_class(self, block: Block) -> BlockClass:
        """The class of a block, written where it is not there yet."""
        if block.name not in self.blocks:
            around, self.part = self.part, _Part()
            try:
                self.blocks[block.name] = self._block(block), self.part
            except UnsayableError as error:
                self.blocks[block.name] = error
            finally:
                self.part = around
        made = self.blocks[block.name]
        if isinstance(made, UnsayableError):
            raise made
        self.need(f"{_CALLED}{block.name}")
        return made[0]

    def whole(self) -> _Part:
        """All parts that are called, each after those that it calls."""
        whole = _Part()
        seen: set[str] = set()

        def add(part: _Part) -> None:
            for name in part.needed:
                if name.startswith(_CALLED) and name not in seen:
                    seen.add(name)
                    made = self.blocks[name.removeprefix(_CALLED)]
                    assert not isinstance(made, UnsayableError)
                    add(made[1])
            whole.classes += part.classes
            whole.needed |= part.needed

        add(self.part)
        return whole

    def class_in_place(self, ctx: Context, item: Item, body: Body, pool: Pool) -> tuple[Node, Pool]:
        """An instance of a class for a body that stands in place."""
        self._check_inputs(ctx, item, body)
        name = self.known.names.new_class(item.key or self._around(item))
        inner = ctx.inner()
        static = [tree for tree in pool if not holds(tree, "@")]
        lines, out = self.body_class(inner, name, body, (INPUT,), static)
        arguments = tuple(ctx.name(used) for used in inner.used)
        written = self.opening(name, inner, lines, tuple(inner.used), [])
        head = f"({lines[0]}):"
        twin = next(
            (other for other in self.part.classes if other[1:] == written[1:] and other[0].before.endswith(head)), None
        )
        if twin is None:
            self.part.classes.append(written)
        else:
            self.known.names.taken.discard(name)
            name = twin[0].before.removeprefix("class ").removesuffix(head)
        return Brackets(name, arguments), [tree for tree in out if not holds(tree, "@")]

    def _around(self, item: Item) -> str:
        """What a child without a name is called: one of `stages` a stage."""
        uses = self.known.of_item(item)
        path = [part for part in uses[0].name.split(".") if not part.isdigit()] if uses else []
        return re.sub("(?<=[a-rt-z])s$", "", path[-1]) if path else "Part"

    # Classes

    def _block(self, block: Block) -> BlockClass:
        assert block.body is not None
        own = scope_names(block)
        ctx = Context(self, block, frozenset(own), is_main=False)
        pool: Pool = [ast.Name(name, ast.Load()) for name in ("in_channels", "in_features")]
        name = self.known.names.classes[block.name]
        inputs = tuple(key for key, _ in block.inputs) or (INPUT,)
        lines, out = self.body_class(ctx, name, block.body, inputs, pool)
        head = self._values(ctx, block)
        defaults, late = self._defaults(ctx, block)
        if block.name in self.mixed:
            ctx.used["in_channels"] = None
        values = {*(param.name for param in block.params), *(name for name, _ in block.let)}
        first = tuple(each for each in own if each in ctx.used and each not in values)
        signature = (*first, *defaults)
        self.part.classes.append(self.opening(name, ctx, lines, signature, [*late, *head]))
        returns = [tree for tree in out if not holds(tree, "@") and not holds(tree, "i")]
        return BlockClass(name, first, returns[:_RETURNED])

    def body_class(
        self, ctx: Context, name: str, body: Body, inputs: tuple[str, ...], pool: Pool
    ) -> tuple[tuple[str, list[Line], list[Line]], Pool]:
        """The base of a class, the lines of its two functions; and what the channels of its result may be called."""
        if len(inputs) == 1 and not body.named:
            made = ctx.attempt(lambda: self._list_class(ctx, body, pool))
            if made is not None:
                return made
        if is_chain(body) and any(item.template for item in body.items):
            return self._chain(ctx, body, pool)
        if is_chain(body) and any(item.key is not None and not is_attribute(item.key) for item in body.items):
            made = ctx.attempt(lambda: self._chain(ctx, body, pool))
            if made is not None:
                return made
        writer = MappingClass(ctx, self, tuple(map(_variable, inputs)))
        out = writer.write(body, pool)
        lines = [*ctx.lines]
        ctx.lines.clear()
        forward = list(writer.forward.lines())
        self.idle += writer.left_out()
        return ("nn.Module", [Line(2, "super().__init__()"), *lines], forward), out

    def _chain(self, ctx: Context, body: Body, pool: Pool) -> tuple[tuple[str, list[Line], list[Line]], Pool]:
        """Modules in turn, under names that are no attributes."""
        ctx.say("super().__init__()")
        out = chain(ctx, self, body, pool)
        return ("nn.Sequential", [*ctx.lines], []), out

    def check_runs(self) -> None:
        """Raise UnsayableError where the source would run a layer that no output needs: random numbers would differ."""
        graph = self.known.graph
        for outputs, left_out in (
            (graph.outputs + graph.aux_outputs, self.idle),
            (graph.outputs, [*self.idle, *self.training]),
        ):
            covered = [use.name for item in left_out for use in self.known.of_item(item)]
            needed = graph.ancestors(outputs)
            if any(node.name not in needed and not is_below(node.name, covered) for node in graph):
                raise UnsayableError("a layer inside of a block that nothing needs")

    def _list_class(self, ctx: Context, body: Body, pool: Pool) -> tuple[tuple[str, list[Line], list[Line]], Pool]:
        node, out = Containers(ctx, self).container(body, pool)
        assert isinstance(node, Brackets)
        return (
            (node.head, [*ctx.lines, Line(2, "", Brackets("super().__init__", node.items, node.notes))], []),
            out,
        )

    def opening(
        self,
        name: str,
        ctx: Context,
        made: tuple[str, list[Line], list[Line]],
        signature: tuple[str, ...],
        head: list[Line],
    ) -> list[Line]:
        base, lines, forward = made
        names = self.known.names.values
        words = [names.get(part, part) if part.isidentifier() else part for part in signature]
        self.need("nn")
        return [
            Line(0, f"class {name}({base}):"),
            Line(1, "def ", Brackets("__init__", ("self", *words)), ":"),
            *_begun(head, lines),
            *([Line(0, "")] if forward else []),
            *forward,
        ]

    def _values(self, ctx: Context, block: Block) -> list[Line]:
        """The local values that a class uses, in their order."""
        lines: list[Line] = []
        for name, expr in reversed(block.let):
            if name in ctx.used:
                tree = as_tree(expr)
                if tree is None:
                    raise UnsayableError("a word")
                lines.append(Line(2, f"{self.known.names.values[name]} = {ctx.text(tree)}"))
        return lines[::-1]

    def _defaults(self, ctx: Context, block: Block) -> tuple[list[str], list[Line]]:
        """The parameters of a block as a signature has them, and the lines that work out what it cannot."""
        own = scope_names(block)
        words: list[str] = []
        late: list[Line] = []
        has_default = False
        for param in block.params:
            name = self.known.names.values[param.name]
            if param.default is None:
                if has_default:
                    raise UnsayableError("a parameter that must be given behind one that need not")
                words.append(param.name)
                continue
            tree = as_tree(param.default)
            if tree is None:
                raise UnsayableError("a word")
            has_default = True
            if _stands_alone(tree, own, self.known):
                words.append(f"{name}={ctx.text(tree)}")
                continue
            if any(self._is_none(use, param.name) for use in self.known.by_block.get(block.name, [])):
                raise UnsayableError("None in place of a default")
            words.append(f"{name}=None")
            late.append(Line(2, f"if {name} is None:"))
            late.append(Line(3, f"{name} = {ctx.text(tree)}"))
        return words, late

    @staticmethod
    def _is_none(use: Any, name: str) -> bool:
        return use.frame.scope.get(name) is None

    def _check_inputs(self, ctx: Context, item: Item, body: Body) -> None:
        """A body in place has one input: what reads the block's must read the same."""
        inputs = {INPUT, *(name for name, _ in ctx.block.inputs)}
        mine = self.known.of_item(item)
        keys = {child.key for child in body.items}
        for child in body.items:
            outside = [n for n, (read, _) in enumerate(child.reads or ()) if read in inputs and read not in keys]
            if any(child.reads and child.reads[n][0] != INPUT for n in outside):
                raise UnsayableError("a body in place that reads other inputs")
            for use in self.known.of_item(child) if outside else []:
                around = max(
                    (each for each in mine if use.name.startswith(f"{each.name}.")), key=lambda each: len(each.name)
                )
                if any(use.reads[n] != around.reads[0] for n in outside):
                    raise UnsayableError("a body in place that reads the block's input")

    # The text

    def text(self, constants: list[Line], early: list[Line], doc: list[str], main: list[Line]) -> str:
        """All of it: what is imported, the numbers, what torch lacks, the classes, the network."""
        whole = self.whole()
        own = [text.rstrip("\n") for text in helpers(whole.needed)]
        classes = [render(lines).rstrip("\n") for lines in whole.classes]
        body = [*own, *classes, *([render(constants).rstrip("\n")] if constants else []), render(main).rstrip("\n")]
        parts = "\n\n\n".join(body)
        numbers = f"{render(early)}\n\n" if early else ""
        used = {node.id for node in ast.walk(ast.parse(f"{numbers}\n{parts}")) if isinstance(node, ast.Name)}
        top = "\n".join(imports(used))
        text = "\n".join(doc) + f"\n\n{top}\n\n{'' if early else chr(10)}{numbers}{parts}\n"
        return re.sub(r"[ \t]+\n", "\n", text)


def _begun(head: list[Line], lines: list[Line]) -> list[Line]:
    """The local values before what needs them, and behind the call that has to come first."""
    if lines and lines[0].before == "super().__init__()":
        return [lines[0], *head, *lines[1:]]
    return [*head, *lines]


def _variable(name: str) -> str:
    return name if name == INPUT else local(name, ())


def _stands_alone(tree: ast.expr, own: Any, known: Known) -> bool:
    """Whether a default means the same where a class is defined: numbers, and layers of torch's; no lists."""
    if any(isinstance(node, ast.List) for node in ast.walk(tree)):
        return False  # all calls would share one
    names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    return all(name in operators() and name not in own and name not in known.names.values for name in names)


def _blocks_in_one_place(known: Known) -> set[str]:
    """Blocks that a parameter holds beside others: they have to take the same."""
    found: set[str] = set()
    for uses in known.uses.values():
        if uses[0].item.call is not None:
            held = {known.target(use) for use in uses} & known.document.blocks.keys()
            found |= held if len(held) > 1 else set()
    return found
