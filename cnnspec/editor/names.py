"""Every name of a document: what it stands for, where it is defined and where it is used."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final, Literal, NamedTuple, TypeAlias

from cnnspec.language.document import Argument, Block, Body, Call, Document, Expr, Item
from cnnspec.ops import operators
from cnnspec.places import Place

__all__ = ["RENAMED", "Kind", "Names", "Occurrence", "Symbol"]

Kind: TypeAlias = Literal["block", "layer", "parameter", "local", "input", "operator", "argument"]

RENAMED: Final[tuple[Kind, ...]] = ("block", "layer", "parameter", "local", "input")


class Symbol(NamedTuple):
    """What a name stands for. Two names are one where their symbols are equal."""

    kind: Kind
    name: str
    owner: str  # the block that it belongs to, and for layers the body, by its place in the text


class Occurrence(NamedTuple):
    """A name in the text."""

    symbol: Symbol
    place: Place
    defines: bool = False
    item: Item | None = None  # that it stands in


Scope: TypeAlias = Mapping[str, Symbol]


@dataclass(frozen=True)
class Names:
    """The names of one document, whose text has these lines."""

    document: Document
    lines: Sequence[str]

    @cached_property
    def all(self) -> tuple[Occurrence, ...]:
        """Every name, in no order."""
        return tuple(each._replace(place=self._bare(each.place)) for each in self._document())

    def _bare(self, place: Place) -> Place:
        """The place of a name without the quotes around it, which stay when it is renamed."""
        line = self.lines[place.line - 1] if place.line <= len(self.lines) else ""
        written = line[place.column - 1 : place.column - 1 + place.length]
        is_quoted = len(written) > 2 and written[0] in "'\"" and written[0] == written[-1]
        return Place(place.line, place.column + 1, place.length - 2) if is_quoted else place

    def at(self, line: int, column: int) -> Occurrence | None:
        """The name at a place, the shortest where several are."""
        found = [each for each in self.all if each.place.covers(line, column)]
        return min(found, key=lambda each: each.place.length, default=None)

    def of(self, symbol: Symbol) -> list[Occurrence]:
        """Where a symbol occurs, in the order of the text."""
        found = {each.place.span: each for each in self.all if each.symbol == symbol}
        return [found[span] for span in sorted(found)]

    def definition(self, symbol: Symbol) -> Place | None:
        """Where a symbol is defined; None for an operator."""
        return next((each.place for each in self.of(symbol) if each.defines), None)

    def _key_before(self, name: str, value: Place) -> Place | None:
        """The place of a key whose value is known."""
        before = self.lines[value.line - 1][: value.column - 1]
        match = re.search(rf"(?<!\w){re.escape(name)}(?=['\"]?\s*:\s*['\"]?\Z)", before)
        return None if match is None else Place(value.line, match.start() + 1, len(name))

    def _document(self) -> Iterator[Occurrence]:
        document = self.document
        shared = _held(document.main, "")
        yield from self._block(document.main, shared)
        for settings in document.variants.values():
            for setting in settings:
                if setting.name in shared:
                    yield Occurrence(shared[setting.name], setting.place)
                yield from self._expr(setting.expr, shared)
        for domain in document.search.space.values() if document.search is not None else ():
            if domain.name in shared:
                yield Occurrence(shared[domain.name], domain.place)
            for expr, _ in domain.written:
                yield from self._expr(expr, shared)
        for block in document.blocks.values():
            yield Occurrence(Symbol("block", block.name, ""), block.place, True)
            yield from self._block(block, {**shared, **_held(block, block.name)})

    def _block(self, block: Block, scope: Scope) -> Iterator[Occurrence]:
        for param in block.params:
            yield Occurrence(scope[param.name], param.place, True)
            if param.default is not None:
                yield from self._expr(param.default, scope)
        for name, expr in block.let:
            if (place := self._key_before(name, expr.place)) is not None:
                yield Occurrence(scope[name], place, True)
            yield from self._expr(expr, scope)
        inputs = {name: Symbol("input", name, block.name) for name, _ in block.inputs}
        for name, place in block.inputs:
            yield Occurrence(inputs[name], place, True)
        if block.body is not None:
            yield from self._body(block.body, scope, inputs)

    def _body(self, body: Body, scope: Scope, inputs: Scope) -> Iterator[Occurrence]:
        owner = f"{body.place.line}:{body.place.column}"
        known = dict(inputs)
        for item in body.items:
            for name, place in item.reads or ():
                if name in known:
                    yield Occurrence(known[name], place, False, item)
            if item.key is not None and not item.template:
                known[item.key] = Symbol("layer", item.key, owner)
                yield Occurrence(known[item.key], item.place, True, item)
            for expr in (item.repeat, item.when, *(part for part in item.template if isinstance(part, Expr))):
                if expr is not None:
                    yield from self._expr(expr, scope)
            if item.call is not None:
                yield from self._call(item.call, scope, item)
            if item.body is not None:
                yield from self._body(item.body, scope, inputs)

    def _call(self, call: Call, scope: Scope, item: Item) -> Iterator[Occurrence]:
        target = call.target
        if target in scope:
            yield Occurrence(scope[target], call.place, False, item)
        elif target in self.document.blocks:
            yield Occurrence(Symbol("block", target, ""), call.place, False, item)
        elif target in operators():
            yield Occurrence(Symbol("operator", target, ""), call.place, False, item)
        for arg in call.args:
            yield from self._argument(arg, target, scope, item)

    def _argument(self, arg: Argument, target: str, scope: Scope, item: Item) -> Iterator[Occurrence]:
        if arg.name is not None:
            block = self.document.blocks.get(target)
            symbol = Symbol("argument", arg.name, target)
            if block is not None:
                symbol = Symbol("parameter", arg.name, target)
            yield Occurrence(symbol, arg.place, False, item)
        yield from self._expr(arg.expr, scope)

    def _expr(self, expr: Expr, scope: Scope) -> Iterator[Occurrence]:
        if isinstance(expr.value, list):
            for part in expr.value:
                yield from self._expr(part, scope)
        elif isinstance(expr.value, ast.expr):
            for node in ast.walk(expr.value):
                if not isinstance(node, ast.Name):
                    continue
                place = expr.place.shifted(node.col_offset - expr.start, len(node.id))
                if node.id in scope:
                    yield Occurrence(scope[node.id], place)
                elif node.id in self.document.blocks:
                    yield Occurrence(Symbol("block", node.id, ""), place)


def _held(block: Block, owner: str) -> dict[str, Symbol]:
    """What a block gives names to: its parameters and its local values."""
    held = {param.name: Symbol("parameter", param.name, owner) for param in block.params}
    return held | {name: Symbol("local", name, owner) for name, _ in block.let}
