"""Lines of source as a formatter leaves them: on one line where they fit, else opened bracket by bracket."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final, TypeAlias

__all__ = ["WIDTH", "Brackets", "Line", "Node", "flat", "renamed", "render"]

WIDTH: Final = 120  # columns
_INDENT: Final = "    "


@dataclass(frozen=True, slots=True)
class Brackets:
    """`head` and its arguments. With `notes`, one for each, every argument has a line with its note behind it.

    Without `commas` the parts stand one after the other, as those of a comprehension do.
    """

    head: str
    items: tuple[Node, ...]
    notes: tuple[str, ...] = ()
    pair: str = "()"
    commas: bool = True


Node: TypeAlias = str | Brackets


@dataclass(frozen=True, slots=True)
class Line:
    """A statement: `before`, a node and `after`, `depth` levels in, and a note behind it."""

    depth: int
    before: str
    node: Node = ""
    after: str = ""
    note: str = ""


def renamed(line: Line, text: str, name: str) -> Line:
    """A statement with a name in place of a text."""
    return replace(line, before=line.before.replace(text, name), node=_renamed(line.node, text, name))


def _renamed(node: Node, text: str, name: str) -> Node:
    if isinstance(node, str):
        return node.replace(text, name)
    items = tuple(_renamed(item, text, name) for item in node.items)
    return replace(node, head=node.head.replace(text, name), items=items)


def flat(node: Node) -> str:
    """A node on one line."""
    if isinstance(node, str):
        return node
    return f"{node.head}{node.pair[0]}{_row(node)}{node.pair[1]}"


def _row(node: Brackets) -> str:
    return (", " if node.commas else " ").join(map(flat, node.items))


def render(lines: list[Line]) -> str:
    """The text of statements. One that cannot be brought to the width is left as it is, and told to be."""
    return "".join(f"{text}\n" for line in lines for text in _statement(line))


def _statement(line: Line) -> list[str]:
    indent = _INDENT * line.depth
    note = f"  # {line.note}" if line.note else ""
    text = f"{indent}{line.before}{flat(line.node)}{line.after}"
    if not _opens(line.node):
        if len(text + note) <= WIDTH:
            return [text.rstrip() + note]
        if note and len(text) <= WIDTH:
            return [f"{indent}# {line.note}", text]
    opened = None if isinstance(line.node, str) else _opened(line.node, line.depth, line.before, f"{line.after}{note}")
    if opened is not None and all(len(each) <= WIDTH for each in opened):
        return opened
    return [*([f"{indent}# {line.note}"] if note else []), f"{text}  # fmt: skip"]


def _opens(node: Node) -> bool:
    return not isinstance(node, str) and (any(node.notes) or any(map(_opens, node.items)))


def _opened(node: Brackets, depth: int, before: str, after: str) -> list[str]:
    """The bracket open: its arguments on one line where they fit, else on one each."""
    indent, inner = _INDENT * depth, _INDENT * (depth + 1)
    first, last = f"{indent}{before}{node.head}{node.pair[0]}", f"{indent}{node.pair[1]}{after}"
    row = _row(node)
    comma = "," if node.commas else ""
    is_list = node.pair == "[]" and node.commas  # which a formatter opens line by line
    if not _opens(node) and not is_list and len(inner + row) <= WIDTH:
        return [first, inner + row, last]
    lines = [first]
    for index, item in enumerate(node.items):
        note = f"  # {node.notes[index]}" if node.notes and node.notes[index] else ""
        text = f"{inner}{flat(item)}{comma}"
        if not _opens(item) and len(text) <= WIDTH < len(text + note):
            lines += [inner + note.lstrip(), text]
        elif isinstance(item, str) or (len(text + note) <= WIDTH and not _opens(item)):
            lines.append(text + note)
        else:
            lines += _opened(item, depth + 1, "", f"{comma}{note}")
    return [*lines, last]
