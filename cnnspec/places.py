"""Where in a text something stands, and what is wrong there."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

__all__ = ["LINE_BREAK", "Diagnostic", "Edit", "Fix", "LayerBefore", "Place", "Span", "Suggestion", "split_lines"]

# libyaml's line breaks. JSON is counted in the same way, so that one rule finds the line of every place.
LINE_BREAK: Final = re.compile("\r\n|[\r\n\x85\u2028\u2029]")


def split_lines(text: str) -> list[str]:
    """The lines of a text, as places count them."""
    return LINE_BREAK.split(text)


class Span(NamedTuple):
    """From a first character to behind a last one: 1-based lines and columns."""

    line: int
    column: int
    end_line: int
    end_column: int


@dataclass(frozen=True, slots=True)
class Place:
    """A span of a spec's text: 1-based line and column, and a length in characters on that line.

    Where a text has escapes or goes over several lines, `letters` holds the line and column of each of its
    characters. `stop` is the line and column behind the last character, where `length` does not say it: of texts over
    several lines, and of lists and mappings, whose `length` is that of their mark.
    """

    line: int
    column: int
    length: int = 1
    letters: tuple[tuple[int, int], ...] = field(default=(), compare=False, repr=False)
    stop: tuple[int, int] | None = field(default=None, compare=False, repr=False)

    @property
    def span(self) -> Span:
        """From the first character to behind the last one, with columns in characters."""
        return Span(self.line, self.column, *(self.stop or (self.line, self.column + self.length)))

    def covers(self, line: int, column: int) -> bool:
        """Whether a place is in the span, or right behind it, where a cursor may stand."""
        start_line, start, end_line, end = self.span
        return (start_line, start) <= (line, column) <= (end_line, end)

    def utf16_span(self, lines: Sequence[str]) -> Span:
        """The span with columns in UTF-16 units, as editors count. `lines` are those of the text, in its order."""
        line, column, end_line, end_column = self.span
        return Span(line, _utf16_column(lines, line, column), end_line, _utf16_column(lines, end_line, end_column))

    def shifted(self, offset: int, length: int = 1) -> Place:
        """The place `offset` characters further in the text."""
        if not self.letters:
            return Place(self.line, self.column + offset, length)
        rest = self.letters[min(max(offset, 0), len(self.letters) - 1) :]
        line, column = rest[0]
        taken = rest[: max(1, length)]
        last = max(there for row, there in taken if row == line)
        end_line, end_column = taken[-1]
        return Place(line, column, max(1, last - column + 1), rest, (end_line, end_column + 1))


def _utf16_column(lines: Sequence[str], line: int, column: int) -> int:
    """A column in UTF-16 units: letters beyond U+FFFF are two."""
    before = lines[line - 1][: column - 1] if line <= len(lines) else ""
    return column + sum(letter > "\uffff" for letter in before)


class Edit(NamedTuple):
    """A text in place of what a span holds."""

    span: Span
    text: str


class Fix(NamedTuple):
    """What mends a finding: edits of one text, which do not overlap."""

    title: str
    edits: tuple[Edit, ...]


class LayerBefore(NamedTuple):
    """What mends a finding by a layer more: `call`, as `key`, before the item at its place, or at another: `item`.

    Where the item names what it reads, `read` is the name that the new layer takes over, and its place there.
    """

    call: str
    key: str
    read: tuple[str, Place] | None = None
    item: Place | None = None


class Suggestion(str):
    """A label that proposes one word for the one at the place: `did you mean ...?`. `others` come near too."""

    __slots__ = ("others", "word")
    word: str
    others: tuple[str, ...]

    def __new__(cls, word: str, others: tuple[str, ...] = ()) -> Suggestion:
        """The label for a word."""
        label = super().__new__(cls, f"did you mean `{word}`?")
        label.others = others
        label.word = word
        return label


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One finding about a spec: what, where, why and the way out."""

    code: str
    message: str
    place: Place | None = None
    label: str | None = None  # under the caret: "did you mean `kernel_size`?"
    notes: tuple[str, ...] = ()
    help: str | None = None
    severity: str = "error"
    resizable: bool = False  # another input size may mend it, and the help says how to find one
    fix: Fix | LayerBefore | None = field(default=None, compare=False)

    def order(self) -> tuple[int, int]:
        """What sorts diagnostics as the text has them; those without a place come first."""
        return (self.place.line, self.place.column) if self.place else (0, 0)

    def to_dict(self) -> dict[str, object]:
        """The finding as plain data, as `--format json` prints it."""
        return {
            "code": self.code,
            "severity": self.severity,
            "message": self.message,
            "line": self.place.line if self.place else None,
            "column": self.place.column if self.place else None,
            "length": self.place.length if self.place else None,
            "label": self.label,
            "notes": list(self.notes),
            "help": self.help,
        }
