"""The remarks of a YAML text: libyaml drops them, and a formatter must not."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import yaml

from cnnspec.errors import Place
from cnnspec.language.tree import split_lines

__all__ = ["Remarks", "read_remarks"]


@dataclass
class Remarks:
    """What a text says besides its values: remarks by line, and where its values end.

    `own` are remarks that fill a line, and blank lines as empty texts; `after` those that follow a value.
    """

    own: dict[int, str] = field(default_factory=dict)
    after: dict[int, str] = field(default_factory=dict)
    ends: dict[tuple[int, int], int] = field(default_factory=dict)  # place of a value -> its last line
    flow: set[tuple[int, int]] = field(default_factory=set)  # places of collections in brackets

    def before(self, line: int) -> list[str]:
        """Take the remarks above a line. Several blank lines are one."""
        taken: list[str] = []
        for number in sorted(number for number in self.own if number < line):
            text = self.own.pop(number)
            if text or (taken and taken[-1]) or not taken:
                taken.append(text)
        return taken

    def within(self, first: int, last: int) -> tuple[list[str], str | None]:
        """Take the remarks of lines that become one: those to put above it, and the one that follows it."""
        above = [self.own.pop(number) for number in range(first, last + 1) if number in self.own]
        above = [text for text in above if text]
        following = [self.after.pop(number) for number in range(first, last + 1) if number in self.after]
        if len(following) > 1:
            return above + following, None
        return above, following[0] if following else None

    def end(self, place: Place) -> int:
        """The last line of the value at a place."""
        return self.ends.get((place.line, place.column), place.line)


def read_remarks(text: str) -> Remarks:
    """The remarks of a YAML text that has been read without an error."""
    found = Remarks()
    filled: dict[int, list[tuple[int, int]]] = {}  # line -> spans of columns that scalars fill
    stack: list[tuple[int, int]] = []
    for event in yaml.parse(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
        start: Any = event.start_mark
        end: Any = event.end_mark
        at = (start.line + 1, start.column + 1)
        if isinstance(event, yaml.ScalarEvent):
            last = end.line if end.column > 0 or end.line == start.line else end.line - 1
            found.ends[at] = last + 1
            for line in range(start.line, last + 1):
                first = start.column if line == start.line else 0
                filled.setdefault(line, []).append((first, end.column if line == end.line else 10**9))
        elif isinstance(event, (yaml.SequenceStartEvent, yaml.MappingStartEvent)):
            stack.append(at)
            if event.flow_style:
                found.flow.add(at)
        elif isinstance(event, yaml.CollectionEndEvent):
            opened = stack.pop()
            if opened in found.flow:
                found.ends[opened] = start.line + 1
    for number, written in enumerate(split_lines(text)):
        spans = filled.get(number, [])
        if not written.strip():
            if not spans:
                found.own[number + 1] = ""
            continue
        for column, letter in enumerate(written):
            inside = any(first <= column < last for first, last in spans)
            if letter == "#" and not inside and (column == 0 or written[column - 1] in " \t"):
                target = found.own if not written[:column].strip() else found.after
                target[number + 1] = written[column:].rstrip()
                break
    return found
