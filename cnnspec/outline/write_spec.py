"""From a sketch to the text of a spec, in the formatter's own form."""

from __future__ import annotations

import keyword
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Final

from cnnspec.graph import INPUT, Graph
from cnnspec.intake import STRETCH
from cnnspec.language.expression import MAX_LENGTH
from cnnspec.language.layout import Branch, Entry, Leaf, yaml_text
from cnnspec.language.results import LayerName
from cnnspec.ops import operators
from cnnspec.outline.sketch import Block, Body, Code, Item, is_join
from cnnspec.outline.tree import Read

__all__ = ["Header", "value_text", "write"]

_LINE: Final = MAX_LENGTH - 100
_FEW: Final = 3  # entries that stand in brackets, as long as a line has room for them


@dataclass(frozen=True)
class Header:
    """The document's own fields: those of a graph, and what the spec's parameters and variants are."""

    graph: Graph
    outputs: tuple[str, ...] = ()
    aux_outputs: tuple[str, ...] = ()
    params: Mapping[str, Any] = field(default_factory=dict)
    variants: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


def write(header: Header, blocks: list[Block], main: Body) -> str:
    """The text."""
    writer = _Writer({block.name: block for block in blocks})
    entries = _header(header)
    if blocks:
        entries.append(Entry("blocks", _branch([Entry(block.name, writer.block(block)) for block in blocks])))
    entries.append(Entry(main.kind, writer.body(main, (INPUT,))))
    return yaml_text(_branch(entries), [])


def _header(header: Header) -> list[Entry]:
    graph = header.graph
    shape = _flow([Entry(None, _leaf(size)) for size in graph.input_shape], named=False)
    entries = [Entry("cnnspec", _leaf(1)), Entry("name", _leaf(graph.name))]
    said = {key: value for key, value in asdict(graph.intake).items() if value != getattr(STRETCH, key)}
    if graph.mean or said:
        parts = [Entry("shape", shape)]
        if graph.mean:
            parts += [Entry("mean", _numbers(graph.mean)), Entry("std", _numbers(graph.std))]
        parts += [Entry(key, _leaf(value)) for key, value in said.items()]
        entries.append(Entry("input", _flow(parts, named=True)))
    else:
        entries.append(Entry("input", shape))
    if header.params:
        entries.append(Entry("params", _values(header.params)))
    if header.variants:
        variants = [Entry(name, _values(values)) for name, values in header.variants.items()]
        entries.append(Entry("variants", _branch(variants)))
    lists = {"classes": graph.classes, "outputs": header.outputs, "aux_outputs": header.aux_outputs}
    for key, names in lists.items():
        if names:
            leaves = [Entry(None, Leaf(name, name, quoted=key == "classes")) for name in names]
            entries.append(Entry(key, _flow(leaves, named=False)))
    return entries


class _Writer:
    def __init__(self, blocks: dict[str, Block]) -> None:
        self.blocks = blocks

    def block(self, block: Block) -> Branch:
        entries = []
        inputs = _input_names(block)
        if block.inputs > 1:
            entries.append(Entry("inputs", _flow([Entry(None, Leaf(name, name)) for name in inputs], named=False)))
        if block.types:
            params = {name: block.defaults.get(name, Code(kind)) for name, kind in block.types.items()}
            entries.append(Entry("params", _values(params)))
        entries.append(Entry(block.body.kind, self.body(block.body, inputs)))
        return _branch(entries)

    def body(self, body: Body, inputs: tuple[str, ...]) -> Branch:
        """The children; a body in place does not name its input, so that those around it stand for `inputs`."""
        entries = []
        for index, item in enumerate(body.items):
            chained = index and body.kind in ("layers", "inline")
            before: tuple[Read, ...] = (body.items[index - 1].key,) if chained else (0,)
            reads = None
            if is_join(item) or item.reads != before:
                reads = tuple(inputs[read] if isinstance(read, int) else read for read in item.reads)
            if body.named:
                item = _collapsed(item)
            elif item.count == 1:
                item = replace(item, count=None)
            entries.append(Entry(item.key if body.named else None, self.item(item, reads, inputs)))
        return Branch(entries, body.named, False)

    def item(self, item: Item, reads: tuple[str, ...] | None, inputs: tuple[str, ...]) -> Leaf | Branch:
        if item.body is None:
            line = self.line(item, reads)
            return self.long(item, reads) if line is None else Leaf(line, line)
        inner = self.body(item.body, inputs)
        entries = [Entry("in", Leaf(reads[0], reads[0]))] if reads else []
        entries.append(Entry(item.body.kind, inner))
        if item.count is not None:
            entries.append(Entry("repeat", _leaf(item.count)))
        if item.when is not None:
            entries.append(Entry("when", _leaf(item.when)))
        bare = len(entries) == 1 and item.body.kind == "layers" and not item.body.named
        return inner if bare else _branch(entries)

    def line(self, item: Item, reads: tuple[str, ...] | None) -> str | None:
        """The line of a call, or None where it has none."""
        if reads is not None and not all(map(_is_readable, reads)):
            return None
        args = self.arguments(item)
        if is_join(item):
            if not reads:
                return None
            args, reads = [*((None, read) for read in reads), *args], None
        listed = ", ".join(text if name is None else f"{name}={text}" for name, text in args)
        line = f"{item.target}({listed})" if listed or reads is not None else item.target
        line += f"({', '.join(reads)})" if reads is not None else ""
        if item.count is not None:
            count = value_text(item.count)
            line += f" * {count}" if re.fullmatch(r"[\w.]+(\[[^]]*\])?", count) else f" * ({count})"
        line += f" if {item.when}" if item.when is not None else ""
        return line if len(line) <= _LINE else None

    def long(self, item: Item, reads: tuple[str, ...] | None) -> Branch:
        positional = self.positional(item.target)
        entries = [Entry("type", Leaf(item.target, item.target))]
        for index, (name, text) in enumerate(self.arguments(item)):
            entries.append(Entry(name or positional[index], Leaf(text, text)))
        if reads is not None:
            names = [Entry(None, Leaf(read, read)) for read in reads]
            entries.append(Entry("in", _flow(names, named=False)))
        if item.count is not None:
            entries.append(Entry("repeat", _leaf(item.count)))
        if item.when is not None:
            entries.append(Entry("when", _leaf(item.when)))
        return Branch(entries, True, len(entries) <= _FEW)

    def positional(self, target: str) -> tuple[str, ...]:
        """The arguments that are given by position: a block's that have no default, and those right behind them."""
        if target in self.blocks:
            return tuple(self.blocks[target].types)
        return operators()[target][0].positional if target in operators() else ()

    def arguments(self, item: Item) -> list[tuple[str | None, str]]:
        """The arguments as texts, those without a name first."""
        block = self.blocks.get(item.target)
        if block is None:
            return [(name, value_text(value)) for name, value in item.args.items()]
        args: list[tuple[str | None, str]] = []
        bare = True
        for name in block.types:
            bare = bare and name in item.args and name not in block.defaults
            if name in item.args:
                args.append((None if bare else name, value_text(item.args[name])))
        return args


def _collapsed(item: Item) -> Item:
    """A list of copies alone is the copies under its name: `layer1: Block(64) * 3`."""
    inner = item.body.items if item.body is not None and not item.body.named and item.body.kind == "layers" else []
    if len(inner) != 1 or item.count is not None:
        return item
    if inner[0].body is not None or inner[0].count is None or inner[0].when is not None:
        return item
    return replace(inner[0], key=item.key, reads=item.reads, when=item.when)


def _input_names(block: Block) -> tuple[str, ...]:
    if block.inputs == 1:
        return (INPUT,)
    keys = {item.key for item in block.body.items}
    names = []
    for number in range(1, block.inputs + 1):
        name = f"x{number}"
        while name in keys:
            name = f"_{name}"
        names.append(name)
    return tuple(names)


def _is_readable(name: str) -> bool:
    """Whether a line can name a node."""
    return name.isidentifier() and not keyword.iskeyword(name)


def value_text(value: Any) -> str:
    """A value as an expression."""
    if isinstance(value, (str, LayerName)):
        return str(value)
    if isinstance(value, (tuple, list)):
        parts = [value_text(part) for part in value]
        if isinstance(value, list):
            return f"[{', '.join(parts)}]"
        return f"({', '.join(parts)})" if len(parts) != 1 else f"({parts[0]},)"
    if isinstance(value, float):
        return re.sub(r"e([-+])0*(\d)", lambda match: f"e{'-' * (match[1] == '-')}{match[2]}", repr(value))
    return repr(value)


# Parts of the layout ------------------------------------------------------------------------------------------------


def _branch(entries: list[Entry]) -> Branch:
    return Branch(entries, True, False)


def _flow(entries: list[Entry], *, named: bool) -> Branch:
    return Branch(entries, named, True)


def _leaf(value: Any) -> Leaf:
    if isinstance(value, str):
        return Leaf(value, value)
    text = value_text(value)
    return Leaf(text if isinstance(value, tuple) else value, text)


def _numbers(values: tuple[float, ...]) -> Branch:
    return _flow([Entry(None, _leaf(value)) for value in values], named=False)


def _values(values: Mapping[str, Any]) -> Branch:
    return _flow([Entry(name, _value(value)) for name, value in values.items()], named=True)


def _value(value: Any) -> Leaf | Branch:
    if isinstance(value, list):
        return _flow([Entry(None, _value(part)) for part in value], named=False)
    if isinstance(value, LayerName):
        return Leaf(value.name, value.name)
    if value is None:
        return Leaf("None", "None")
    return _leaf(value)
