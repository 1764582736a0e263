"""The canonical form of a spec: one way to write each layer, two blanks of indentation, every remark kept."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from cnnspec.errors import CnnspecError, SpecError
from cnnspec.language import read_spec
from cnnspec.language.document import BODIES, INLINE
from cnnspec.language.expression import ExpressionError
from cnnspec.language.remarks import Remarks, read_remarks
from cnnspec.language.shorthand import Spelled, canonical_expression, canonical_line, long_form, short_form
from cnnspec.language.source import read_text
from cnnspec.language.tree import ListValue, MapValue, Scalar, Value
from cnnspec.language.yaml_reader import is_plain_text

__all__ = ["format_text"]

WIDTH: Final = 120


@dataclass(slots=True)
class _Leaf:
    """A scalar: a text, or anything else as it is spelled."""

    value: Any
    spelling: str
    quoted: bool = False


@dataclass(slots=True)
class _Branch:
    """A list or mapping; `flow` in brackets, if it fits on its line."""

    entries: list[_Entry]
    named: bool
    flow: bool


@dataclass(slots=True)
class _Entry:
    """A child with its key, the remarks above it, and the one behind it."""

    key: str | None
    value: _Leaf | _Branch
    above: list[str] = field(default_factory=list)
    after: str | None = None


_Shape = Callable[[Value], "_Leaf | _Branch"]


class _Formatter:
    def __init__(self, root: MapValue, remarks: Remarks, *, long: bool) -> None:
        self.remarks = remarks
        self.long = long
        self.root = root
        blocks = root.get("blocks")
        self.blocks: dict[str, tuple[str, ...]] = {}
        for name, block in blocks.entries if isinstance(blocks, MapValue) else ():
            params = block.get("params") if isinstance(block, MapValue) else None
            names = tuple(key.value for key, _ in params.entries) if isinstance(params, MapValue) else ()
            self.blocks[name.value] = names

    # What each part of a document becomes

    def top(self) -> _Branch:
        shapes: dict[str, _Shape] = {
            **dict.fromkeys(("input", "params", "let", "variants"), self.expressions),
            "blocks": lambda value: self.branch(value, lambda _: self.block),
            **dict.fromkeys(BODIES, self.body),
        }
        found = self.branch(self.root, lambda key: shapes.get(key, self.data))
        assert isinstance(found, _Branch)
        found.flow = False
        return found

    def block(self, value: Value) -> _Leaf | _Branch:
        shapes: dict[str, _Shape] = {
            **dict.fromkeys(("params", "let"), self.expressions),
            **dict.fromkeys(BODIES, self.body),
        }
        return self.branch(value, lambda key: shapes.get(key, self.data))

    def body(self, value: Value) -> _Leaf | _Branch:
        return self.branch(value, lambda _: self.item)

    def item(self, value: Value) -> _Leaf | _Branch:
        if isinstance(value, Scalar):
            return self.line(value)
        if isinstance(value, ListValue):
            return self.body(value)
        if value.get("type") is not None:
            line = short_form(value)
            if line is None:
                return self.branch(value, lambda key: self.data if key in ("type", "in") else self.expressions)
            return self.lengthened(line) if self.long else _Leaf(line, line)
        layers = value.get("layers")
        if len(value.entries) == 1 and isinstance(layers, ListValue) and not self.long:
            return self.body(layers)
        return self.branch(value, self.nested)

    def nested(self, key: str) -> _Shape:
        if key in (*BODIES, INLINE):
            return self.body
        return self.data if key == "in" else self.expressions

    def line(self, value: Scalar) -> _Leaf | _Branch:
        try:
            line = canonical_line(value.value.rstrip("\n"))
        except ExpressionError:  # a document without errors has none
            return _Leaf(value.value, value.spelling)
        return self.lengthened(line) if self.long else _Leaf(line, line)

    def lengthened(self, line: str) -> _Leaf | _Branch:
        found = long_form(line, self.blocks)
        return _Leaf(line, line) if found is None else _grown(found)

    def expressions(self, value: Value) -> _Leaf | _Branch:
        if isinstance(value, Scalar) and isinstance(value.value, str):
            text = canonical_expression(value.value.rstrip("\n"))
            return _Leaf(text, text)
        return self.data(value) if isinstance(value, Scalar) else self.branch(value, lambda _: self.expressions)

    def data(self, value: Value) -> _Leaf | _Branch:
        if isinstance(value, Scalar):
            return _Leaf(value.value, value.spelling, value.content.column != value.place.column)
        return self.branch(value, lambda _: self.data)

    # Remarks

    def branch(self, value: Value, shape: Callable[[str], _Shape]) -> _Leaf | _Branch:
        if isinstance(value, Scalar):
            return self.data(value)
        named = isinstance(value, MapValue)
        children: list[tuple[Scalar | None, Value]] = (
            list(value.entries) if isinstance(value, MapValue) else [(None, item) for item in value.items]
        )
        entries = []
        for key, child in children:
            line = key.place.line if key else child.place.line
            above = self.remarks.before(line)
            last = self.last_line(child)
            build = shape(key.value if key else "")
            if self.becomes_one_line(child, build):
                more, after = self.remarks.within(line, last)
                tree = build(child)
            else:
                more, after = self.remarks.within(line, line)
                tree = build(child)
                if isinstance(tree, _Branch):
                    tree.flow = False
            entries.append(_Entry(key.value if key else None, tree, above + more, after))
        flow = (value.place.line, value.place.column) in self.remarks.flow or not entries
        return _Branch(entries, named, flow and all(_is_flow(entry) for entry in entries))

    def becomes_one_line(self, value: Value, build: _Shape) -> bool:
        """Whether the remarks of all lines of a value belong to one line."""
        first, last = value.place.line, self.last_line(value)
        inside = any(first <= number <= last for number in self.remarks.own)
        several = sum(first <= number <= last for number in self.remarks.after) > 1
        if isinstance(value, Scalar):
            return True
        if (value.place.line, value.place.column) in self.remarks.flow:
            return not (inside or several)
        shortened = build == self.item and isinstance(value, MapValue) and value.get("type") is not None
        return shortened and isinstance(value, MapValue) and short_form(value) is not None

    def last_line(self, value: Value) -> int:
        if isinstance(value, Scalar) or (value.place.line, value.place.column) in self.remarks.ends:
            return self.remarks.end(value.place)
        children = [item for _, item in value.entries] if isinstance(value, MapValue) else value.items
        return self.last_line(children[-1]) if children else value.place.line


def _is_flow(entry: _Entry) -> bool:
    quiet = not any(entry.above) and entry.after is None
    return quiet and (isinstance(entry.value, _Leaf) or entry.value.flow)


def _grown(value: Any) -> _Leaf | _Branch:
    """Plain data as a tree in brackets."""
    if isinstance(value, dict):
        return _Branch([_Entry(key, _grown(item)) for key, item in value.items()], True, True)
    if isinstance(value, list):
        return _Branch([_Entry(None, _grown(item)) for item in value], False, True)
    if isinstance(value, Spelled):
        return _Leaf(value.value, value.spelling)
    return _Leaf(value, value if isinstance(value, str) else json.dumps(value))


# YAML ---------------------------------------------------------------------------------------------------------------


def _flow_text(value: _Leaf | _Branch) -> str:
    if isinstance(value, _Leaf):
        return _scalar(value, inside=True)
    items = [
        f"{_key(e.key, inside=True)}: {_flow_text(e.value)}" if e.key is not None else _flow_text(e.value)
        for e in value.entries
    ]
    return f"{{{', '.join(items)}}}" if value.named else f"[{', '.join(items)}]"


def _scalar(leaf: _Leaf, *, inside: bool) -> str:
    if not isinstance(leaf.value, str):
        return leaf.spelling or "null"
    plain = not leaf.quoted and is_plain_text(leaf.value, inside=inside)
    return leaf.value if plain else json.dumps(leaf.value, ensure_ascii=False)


def _key(key: str, *, inside: bool) -> str:
    return key if is_plain_text(key, inside=inside, key=True) else json.dumps(key, ensure_ascii=False)


def _block_lines(branch: _Branch, indent: int) -> list[str]:
    lines: list[str] = []
    pad = " " * indent
    for entry in branch.entries:
        lines += [f"{pad}{remark}" if remark else "" for remark in entry.above]
        head = f"{pad}- " if entry.key is None else f"{pad}{_key(entry.key, inside=False)}:"
        value = entry.value
        text = None
        if isinstance(value, _Leaf):
            text = _scalar(value, inside=False)
        elif value.flow or not value.entries:
            text = _flow_text(value)
            if len(head) + len(text) + 1 > WIDTH and value.entries:
                text = None
        after = f"  {entry.after}" if entry.after else ""
        if text is not None:
            lines.append(f"{head if entry.key is None else head + ' '}{text}{after}")
            continue
        assert isinstance(value, _Branch)
        inner = _block_lines(value, indent + 2)
        if entry.key is not None:
            lines.append(head + after)
        else:  # the first child stands behind the dash, below the remarks above it
            first = next(
                number for number, line in enumerate(inner) if line.strip() and not line.lstrip().startswith("#")
            )
            lines += inner[:first]
            lines += [f"{pad}{after.strip()}"] if after else []
            inner = [f"{pad}- {inner[first][indent + 2 :]}", *inner[first + 1 :]]
        lines += inner
    return lines


def _yaml(tree: _Branch, left: list[str]) -> str:
    while left and not left[-1]:
        left.pop()
    lines = [*_block_lines(tree, 0), *left]
    return "\n".join(lines).lstrip("\n") + "\n"


# JSON ---------------------------------------------------------------------------------------------------------------


def _plain(value: _Leaf | _Branch) -> Any:
    if isinstance(value, _Leaf):
        return value.value
    if value.named:
        return {entry.key: _plain(entry.value) for entry in value.entries}
    return [_plain(entry.value) for entry in value.entries]


def _json(value: _Leaf | _Branch, indent: int, *, bodies: bool) -> str:
    text = json.dumps(_plain(value), ensure_ascii=False)
    if isinstance(value, _Leaf) or not value.entries or (len(text) + indent < WIDTH and not bodies):
        return text
    pad = " " * (indent + 2)
    lines = []
    for entry in value.entries:
        open_up = entry.key in (*BODIES, "blocks") or (
            bodies and entry.key is None and isinstance(entry.value, _Branch)
        )
        inner = _json(entry.value, indent + 2, bodies=open_up)
        lines.append(
            pad + (f"{json.dumps(entry.key, ensure_ascii=False)}: {inner}" if entry.key is not None else inner)
        )
    opening, closing = "{}" if value.named else "[]"
    return f"{opening}\n" + ",\n".join(lines) + f"\n{' ' * indent}{closing}"


def _formatted(text: str, path: str, *, long: bool) -> str:
    source = read_spec(path, text.encode("utf-8", "surrogatepass"))
    if source.findings:
        raise SpecError(list(source.findings), path=path, text=source.text)
    root = read_text(source.text.encode(), json=source.json).value
    assert isinstance(root, MapValue)
    remarks = Remarks() if source.json else read_remarks(source.text)
    formatter = _Formatter(root, remarks, long=long)
    tree = formatter.top()
    if source.json:
        return _json(tree, 0, bodies=True) + "\n"
    return _yaml(tree, remarks.before(10**9))


def format_text(text: str, *, path: str = "spec.yaml", long: bool = False) -> str:
    """A spec in its canonical form; `long` writes every layer as a mapping. `path` says whether it is JSON.

    Raises SpecError where the document is wrong, and CnnspecError where the canonical form would not say the same.
    """
    found = _formatted(text, path, long=long)
    if _formatted(found, path, long=long) != found:
        raise CnnspecError(f"{path} is left as it is: its canonical form would not be stable", hint="please report it")
    return found
