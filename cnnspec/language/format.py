"""The canonical form of a spec: one way to write each layer, two blanks of indentation, every remark kept."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from cnnspec.errors import CnnspecError, SpecError
from cnnspec.language import Source, read_spec
from cnnspec.language.document import BODIES, INLINE, TYPES
from cnnspec.language.equivalence import difference
from cnnspec.language.expression import ExpressionError
from cnnspec.language.layout import Branch, Entry, Leaf, grown, json_text, yaml_text
from cnnspec.language.remarks import Remarks, joined, read_remarks, remark_texts
from cnnspec.language.shorthand import Callees, canonical_expression, canonical_line, long_form, short_form
from cnnspec.language.source import read_text
from cnnspec.language.tree import ListValue, MapValue, Scalar, Value

__all__ = ["format_text"]

_LINE_END: Final = re.compile("\r\n|\n|\r")

_Shape = Callable[[Value], Leaf | Branch]


class _Formatter:
    def __init__(self, root: MapValue, remarks: Remarks, callees: Callees, *, long: bool) -> None:
        self.remarks = remarks
        self.long = long
        self.root = root
        self.callees = callees

    # What each part of a document becomes

    def top(self) -> Branch:
        shapes: dict[str, _Shape] = {
            **dict.fromkeys(("input", "params", "let", "variants"), self.expressions),
            "blocks": lambda value: self.branch(value, lambda _: self.block),
            **dict.fromkeys(BODIES, self.body),
        }
        top = self.branch(self.root, lambda key: shapes.get(key, self.data))
        assert isinstance(top, Branch)
        top.flow = False
        return top

    def block(self, value: Value) -> Leaf | Branch:
        shapes: dict[str, _Shape] = {
            **dict.fromkeys(("params", "let"), self.expressions),
            **dict.fromkeys(BODIES, self.body),
        }
        return self.branch(value, lambda key: shapes.get(key, self.data))

    def body(self, value: Value) -> Leaf | Branch:
        return self.branch(value, lambda _: self.item)

    def item(self, value: Value) -> Leaf | Branch:
        if isinstance(value, Scalar):
            return self.line(value)
        if isinstance(value, ListValue):
            return self.body(value)
        if value.get("type") is not None:
            line = short_form(value, self.callees)
            if line is None:
                return self.branch(value, lambda key: self.data if key in ("type", "in") else self.expressions)
            return self.lengthened(line) if self.long else Leaf(line, line)
        layers = value.get("layers")
        if len(value.entries) == 1 and isinstance(layers, ListValue) and not self.long:
            return self.body(layers)
        return self.branch(value, self.nested)

    def nested(self, key: str) -> _Shape:
        if key in (*BODIES, INLINE):
            return self.body
        return self.data if key == "in" else self.expressions

    def line(self, value: Scalar) -> Leaf | Branch:
        try:
            line = canonical_line(value.value.rstrip("\n"), self.callees)
        except ExpressionError:  # a document without errors has none
            return Leaf(value.value, value.spelling)
        return self.lengthened(line) if self.long else Leaf(line, line)

    def lengthened(self, line: str) -> Leaf | Branch:
        mapping = long_form(line, self.callees)
        return Leaf(line, line) if mapping is None else grown(mapping)

    def expressions(self, value: Value) -> Leaf | Branch:
        if isinstance(value, Scalar) and isinstance(value.value, str):
            text = canonical_expression(value.value.rstrip("\n"))
            if text in TYPES and text != value.value:  # `(size)` is the value of a name, and `size` a type
                return self.data(value)
            return Leaf(text, text)
        return self.data(value) if isinstance(value, Scalar) else self.branch(value, lambda _: self.expressions)

    def data(self, value: Value) -> Leaf | Branch:
        if isinstance(value, Scalar):
            return Leaf(value.value, value.spelling, value.content.column != value.place.column)
        return self.branch(value, lambda _: self.data)

    # Remarks

    def branch(self, value: Value, shape: Callable[[str], _Shape]) -> Leaf | Branch:
        if isinstance(value, Scalar):
            return self.data(value)
        named = isinstance(value, MapValue)
        children: list[tuple[Scalar | None, Value]] = (
            list(value.entries) if isinstance(value, MapValue) else [(None, item) for item in value.items]
        )
        entries = [self.entry(key, child, shape(key.value if key else "")) for key, child in children]
        flow = self.remarks.span(value).flow or not entries
        return Branch(entries, named, flow and all(_is_flow(entry) for entry in entries))

    def entry(self, key: Scalar | None, child: Value, build: _Shape) -> Entry:
        """A child with its remarks, which are taken from the text in their order: none can be left behind."""
        above = self.remarks.before(self.remarks.span(key or child).start)
        name = key.value if key else None
        if self.becomes_one_line(child, build):
            taken = self.remarks.through(child)
            after = [remark.text for remark in taken if not remark.own]
            kept = after[0] if len(after) == 1 else None
            above = joined(above, [remark.text for remark in taken if remark.own or kept is None])
            return Entry(name, build(child), above, kept)
        behind = self.remarks.behind_head(key, child, self.remarks.span(_first(child)).start)
        tree = build(child)
        if isinstance(tree, Branch):
            tree.flow = False
            if key is None and tree.entries:  # the first child stands behind the dash: what is above it is above both
                above = joined(above, [behind] if behind else [], tree.entries[0].above)
                tree.entries[0].above, behind = [], None
        return Entry(name, tree, above, behind)

    def becomes_one_line(self, value: Value, build: _Shape) -> bool:
        """Whether the remarks of all lines of a value belong to one line."""
        if isinstance(value, Scalar):
            return True
        layer = build == self.item and isinstance(value, MapValue) and value.get("type") is not None
        if layer and isinstance(value, MapValue) and short_form(value, self.callees) is not None:
            return True
        return self.remarks.span(value).flow and self.remarks.fits_one_line(value)


def _first(value: Value) -> Value:
    """The first key or child of a collection."""
    if isinstance(value, MapValue) and value.entries:
        return value.entries[0][0]
    return value.items[0] if isinstance(value, ListValue) and value.items else value


def _is_flow(entry: Entry) -> bool:
    quiet = not any(entry.above) and entry.after is None
    return quiet and (isinstance(entry.value, Leaf) or entry.value.flow)


def _callees(source: Source) -> Callees:
    document = source.document
    blocks = {name: tuple(param.name for param in block.params) for name, block in document.blocks.items()}
    every = [document.main, *document.blocks.values()]
    held = [
        *(param.name for block in every for param in block.params),
        *(name for block in every for name, _ in block.let),
    ]
    return Callees(blocks, frozenset(held))


def _formatted(source: Source, callees: Callees, *, long: bool) -> str:
    root = read_text(source.text.encode(), json=source.json).value
    assert isinstance(root, MapValue)
    if source.json:
        return json_text(_Formatter(root, Remarks([], iter(()), []), callees, long=long).top()) + "\n"
    remarks = read_remarks(source.text, root)
    tree = _Formatter(root, remarks, callees, long=long).top()
    return yaml_text(tree, remarks.rest())


def format_text(text: str, *, path: str = "spec.yaml", long: bool = False) -> str:
    """A spec in its canonical form; `long` writes every layer as a mapping. `path` says whether it is JSON.

    Line ends are those of the text's first line. What is returned says the same as the text, which is worked out for
    both, holds every remark, and is its own canonical form. Raises SpecError where the document is wrong, and
    CnnspecError where one of these would not be so.
    """
    source = read_spec(path, text.encode("utf-8", "surrogatepass"))
    if source.findings:
        raise SpecError(list(source.findings), path=path, text=source.text)
    callees = _callees(source)
    formatted = _formatted(source, callees, long=long)
    if formatted != text:
        _check(source, formatted, callees, long=long)
    first = _LINE_END.search(text)
    return formatted if first is None else formatted.replace("\n", first[0])


def _check(source: Source, formatted: str, callees: Callees, *, long: bool) -> None:
    """Raise CnnspecError unless a text is the canonical form of a spec in all respects."""
    problem = None
    try:
        after = read_spec(source.path, formatted.encode())
    except SpecError as error:
        problem = f"could not be read: {error.diagnostics[0].message}"
    else:
        if after.findings:
            problem = f"would be wrong: {after.findings[0].message}"
        elif not source.json and remark_texts(formatted) != remark_texts(source.text):
            problem = "would not hold its remarks"
        elif changed := difference(source, after, callees):
            problem = f"would not say the same: {changed}"
        elif _formatted(after, callees, long=long) != formatted:
            problem = "would not be stable"
    if problem:
        raise CnnspecError(f"{source.path} is left as it is: its canonical form {problem}", hint="please report it")
