"""What is wrong with a spec and where, and how people read it: the place, the line, a caret, the way out."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

__all__ = [
    "LINE_BREAK",
    "Diagnostic",
    "Paint",
    "Place",
    "Span",
    "count",
    "render",
    "render_all",
    "split_lines",
    "visible",
]

WIDTH: Final = 160  # a longer line of the spec is cut around the caret
# libyaml's line breaks. JSON is counted in the same way, so that one rule finds the line of every place.
LINE_BREAK: Final = re.compile("\r\n|[\r\n\x85\u2028\u2029]")


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


def split_lines(text: str) -> list[str]:
    """The lines of a text, as places count them."""
    return LINE_BREAK.split(text)


# Paints a text: "error" and "warning" the title, "mark" carets and label, "dim" the frame.
Paint = Callable[[str, str], str]


def _unpainted(text: str, style: str) -> str:
    return text


def render(diagnostic: Diagnostic, path: str, text: str, paint: Paint = _unpainted) -> str:
    """One diagnostic as text. `text` is what the file at `path` holds."""
    return _render(diagnostic, path, split_lines(text), paint)


def _render(diagnostic: Diagnostic, path: str, source: Sequence[str], paint: Paint) -> str:
    title = paint(f"{diagnostic.severity}[{diagnostic.code}]", diagnostic.severity)
    lines = [f"{title}: {visible(diagnostic.message)}"]
    place = diagnostic.place
    arrow = paint("-->", "dim")
    margin = " " * len(str(place.line)) if place else ""
    bar = paint(f"{margin} |", "dim")
    if place is None:
        lines.append(f"  {arrow} {visible(path)}")
        if diagnostic.label:
            lines.append(f"  = {visible(diagnostic.label)}")
    else:
        lines.append(f"  {arrow} {visible(path)}:{place.line}:{place.column}")
        if place.line <= len(source):
            shown, column = _cut(source[place.line - 1], place.column)
            marked = shown[column - 1 : column - 1 + place.length]
            caret = "^" * max(1, _columns(marked))
            label = f" {visible(diagnostic.label)}" if diagnostic.label else ""
            number = paint(f"{place.line} |", "dim")
            lines += [bar, f"{number} {shown}".rstrip()]
            lines.append(f"{bar} {' ' * _columns(shown[: column - 1])}{paint(caret + label, 'mark')}")
    equals = paint(f"{margin} =", "dim")
    lines += [f"{equals} {visible(note)}" for note in diagnostic.notes]
    if diagnostic.help:
        lines.append(f"{equals} help: {visible(diagnostic.help)}")
    return "\n".join(lines)


def visible(text: str) -> str:
    r"""The text without characters that a terminal would obey, line breaks among them: each as `\u001b`, as in JSON."""
    return text if text.isprintable() else "".join(map(_shown, text))


def _shown(letter: str) -> str:
    if letter.isprintable():
        return letter
    units = letter.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[at : at + 2].hex()}" for at in range(0, len(units), 2))


def _columns(text: str) -> int:
    """How many columns of a terminal a text takes."""
    wide = sum(unicodedata.east_asian_width(letter) in "WF" for letter in text)
    return len(text) + wide - sum(unicodedata.combining(letter) > 0 for letter in text)


def _cut(line: str, column: int) -> tuple[str, int]:
    """The part of a long line around the column, and the column in it; control characters as blanks."""
    shown = "".join(letter if letter.isprintable() else " " for letter in line)
    if len(shown) <= WIDTH:
        return shown, column
    start = max(0, min(column - WIDTH // 2, len(shown) - WIDTH))
    return shown[start : start + WIDTH], column - start


def count(diagnostics: Iterable[Diagnostic]) -> str:
    """`2 errors, 1 warning`."""
    kinds = [diagnostic.severity for diagnostic in diagnostics]
    parts = [f"{n} {kind}{'s' * (n > 1)}" for kind in ("error", "warning") if (n := kinds.count(kind))]
    return ", ".join(parts) or "nothing wrong"


def render_all(diagnostics: Sequence[Diagnostic], path: str, text: str, paint: Paint = _unpainted) -> str:
    """Every diagnostic of a file, in the order given, and a count where there are several."""
    source = split_lines(text)
    parts = [_render(diagnostic, path, source, paint) for diagnostic in diagnostics]
    if len(parts) > 1:
        parts.append(f"{count(diagnostics)} in {visible(path)}")
    return "\n\n".join(parts)
