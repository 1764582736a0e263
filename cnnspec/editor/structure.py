"""The structure of a text: its named parts, and what can be folded."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, Literal, NamedTuple, TypeAlias

from cnnspec.editor.snapshot import Snapshot
from cnnspec.language.document import Body, Item
from cnnspec.places import Place, Span

__all__ = ["Part", "folds", "structure"]

PartKind: TypeAlias = Literal["block", "parameter", "layer", "body"]
MOST_DEEP: Final = 32


class Part(NamedTuple):
    """A named part of the text. `span` is all of it, `name_span` its name."""

    kind: PartKind
    name: str
    detail: str
    span: Span
    name_span: Span
    children: tuple[Part, ...] = ()


def structure(snapshot: Snapshot) -> list[Part]:
    """The parts of a text in its order: parameters, blocks with theirs, and layers."""
    document, lines = snapshot.source.document, snapshot.lines
    parts = [_part("parameter", param.name, "", param.place, lines) for param in document.main.params]
    for block in document.blocks.values():
        inside = [_part("parameter", param.name, param.type or "", param.place, lines) for param in block.params]
        body = _items(block.body, lines, 1) if block.body is not None else []
        parts.append(_part("block", block.name, "", block.place, lines, (*inside, *body)))
    if document.main.body is not None:
        parts += _items(document.main.body, lines, 0)
    return sorted(parts, key=lambda part: part.span)


def _items(body: Body, lines: Sequence[str], depth: int) -> list[Part]:
    return [_item(item, number, lines, depth) for number, item in enumerate(body.items)] if depth < MOST_DEEP else []


def _item(item: Item, number: int, lines: Sequence[str], depth: int) -> Part:
    inside = tuple(_items(item.body, lines, depth + 1)) if item.body is not None else ()
    place = item.place if item.key is not None or item.call is None else item.call.place
    kind: PartKind = "body" if item.body is not None else "layer"
    detail = item.call.target if item.call is not None else item.body.kind if item.body is not None else ""
    return _part(kind, str(number) if item.key is None else item.key, detail, place, lines, inside)


def _part(
    kind: PartKind, name: str, detail: str, place: Place, lines: Sequence[str], children: tuple[Part, ...] = ()
) -> Part:
    """A part of the text: to the end of its line or, where lines below stand further in, of the last of them."""
    end = _last_line(place.line, lines)
    span = Span(place.line, place.column, end, len(lines[end - 1].rstrip()) + 1)
    own = place.span if place.span <= span else span
    return Part(kind, name, detail, span, own, children)


def folds(lines: Sequence[str]) -> Iterator[tuple[int, int]]:
    """First and last lines (from 1) of what can be folded: what stands further in than the line above it."""
    for number, line in enumerate(lines, 1):
        if line.strip() and not line.lstrip().startswith("#"):
            last = _last_line(number, lines)
            if last > number:
                yield number, last


def _last_line(number: int, lines: Sequence[str]) -> int:
    """The last line of the block that a line begins."""
    line = lines[number - 1]
    indent = len(line) - len(line.lstrip())
    dashes = line.lstrip().startswith("- ")
    last = number
    for below in range(number + 1, len(lines) + 1):
        text = lines[below - 1]
        if not text.strip():
            continue
        inner = len(text) - len(text.lstrip())
        listed = inner == indent and text.lstrip().startswith("- ") and not dashes and line.rstrip().endswith(":")
        if inner <= indent and not listed:
            break
        last = below
    return last
