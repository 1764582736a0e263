"""Spaces that are missing, or too many at the start of a line: YAML then reads something else than what is meant."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from cnnspec.places import Diagnostic, Edit, Fix, Place, Span

__all__ = ["Spacing", "continued", "missing_space", "spacing_fault", "without_tabs"]

# `-ReLU`, `relu:ReLU` and `cnnspec:1`, perhaps behind `- `; not `-1`, `a: b`, `a:` alone, nor `doi:10.1` and `https://`.
_TIGHT: Final = re.compile(r"( *(?:- +)?)(-(?=[A-Za-z])|[A-Za-z0-9_-]+:(?=[A-Z\[{])|cnnspec:(?=\d))")
_DASHES: Final = re.compile(r" *((?:- +)*)")


class Spacing(NamedTuple):
    """What is wrong with a line, where, and the way out."""

    message: str
    place: Place
    help: str
    missing: bool = False  # a space at the place mends it

    @property
    def fix(self) -> Fix | None:
        """What mends it, where that is a space."""
        if not self.missing:
            return None
        line, column = self.place.line, self.place.column
        return Fix("insert a space", (Edit(Span(line, column, line, column), " "),))

    def error(self, code: str) -> Diagnostic:
        """The finding."""
        return Diagnostic(code, self.message, self.place, help=self.help, fix=self.fix)


def missing_space(line: str, number: int, column: int = 1) -> Spacing | None:
    """Where a space is missing near the start of a text that stands at this line and column."""
    match = _TIGHT.match(line)
    if match is None:
        return None
    at, written = match.end(), f"{match[2]} {line[match.end() :].strip()}"
    return Spacing(
        f"a space is missing after `{match[2]:.60}`", Place(number, column + at), f"write `{written:.60}`", missing=True
    )


def continued(text: str, place: Place) -> Spacing | None:
    """The second line of a text over several, which was to be a layer of its own but is indented too far."""
    lines = [line for line, _ in place.letters]
    if not lines or lines[-1] == lines[0]:
        return None
    first = next(at for at, line in enumerate(lines) if line != lines[0])
    above, below = text[:first].strip(), text[first:].strip()
    if not re.match(r"- |[\w-]+:|[A-Z]\w*(\(|\Z)", below) or above.count("(") != above.count(")"):
        return None  # a line that was cut on purpose
    message = f"this line is indented further than `{above:.60}`, and so it continues that line"
    return Spacing(message, place.shifted(first), "give both the same indentation")


def spacing_fault(lines: list[str], at: Place, began: int | None) -> Spacing | None:
    """What spaces have to do with YAML's refusal at a place, of something that `began` in a line."""
    above = next((number for number in range(at.line - 1, 0, -1) if lines[number - 1].strip()), None)
    for number in (began, above, at.line):
        if number is not None and number <= len(lines) and (found := missing_space(lines[number - 1], number)):
            return found
    if above is None or at.line > len(lines):
        return None
    line, previous = lines[at.line - 1], lines[above - 1]
    indent, reached = _indents(line)[0], _indents(previous)
    if indent in _open(lines, above) or (indent > reached[-1] and previous.rstrip().endswith(":")):
        return None
    first = Place(at.line, indent + 1)
    message = f"this line is indented by {indent}, and the one above by {reached[0]}"
    return Spacing(message, first, "lines of one list or mapping start in the same column")


def without_tabs(lines: list[str]) -> Fix | None:
    """Two spaces for every tab that a line is indented with; None where there is none."""
    edits = [
        Edit(Span(number, at + 1, number, at + 2), "  ")
        for number, line in enumerate(lines, 1)
        for at, letter in enumerate(line[: len(line) - len(line.lstrip())])
        if letter == "\t"
    ]
    return Fix("indent with spaces", tuple(edits)) if edits else None


def _indents(line: str) -> list[int]:
    """The columns, from 0, at which a line's dashes and its text begin."""
    match = _DASHES.match(line)
    assert match is not None
    start = len(line) - len(line.lstrip(" "))
    return [start + offset for offset in [*(dash.start() for dash in re.finditer("-", match[1])), len(match[1])]]


def _open(lines: list[str], last: int) -> set[int]:
    """The columns at which a collection is open behind a line, by number."""
    found: set[int] = set()
    least = 10**9
    for number in range(last, 0, -1):
        line = lines[number - 1]
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        found |= {column for column in _indents(line) if column < least}
        least = min(least, _indents(line)[0])
        if least == 0:
            break
    return found
