"""Values that remember their place, and what the readers of YAML and JSON share: limits, guards and places."""

from __future__ import annotations

import re
from bisect import bisect_right
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from cnnspec.errors import Diagnostic, Place
from cnnspec.places import LINE_BREAK

__all__ = [
    "CONTROL",
    "LETTERS",
    "MAX_DEPTH",
    "MAX_ERRORS",
    "MAX_VALUES",
    "Lines",
    "ListValue",
    "MapValue",
    "Scalar",
    "SourceError",
    "Text",
    "Value",
    "check_controls",
    "check_digits",
    "check_key",
    "closed",
    "fail",
    "place_letters",
    "plain",
]

MAX_DEPTH: Final = 64
MAX_DIGITS: Final = 300
MAX_VALUES: Final = 150_000  # keys and values of one file: seven for each of the 20,000 nodes there may be
MAX_ERRORS: Final = 50

# Characters that a terminal would obey, or that hide what a text says: controls and marks of writing direction.
CONTROL: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\u202a-\u202e\u2066-\u2069\ufeff]")


class SourceError(Exception):
    """The text is no YAML or JSON that cnnspec reads; carries the diagnostics."""

    def __init__(self, *diagnostics: Diagnostic) -> None:
        super().__init__(diagnostics[0].message)
        self.found = diagnostics


class Scalar(NamedTuple):
    """A number, word, truth value or null: as written, and as it is meant.

    `content` is the place of the text inside the quotes.
    """

    value: Any
    place: Place
    content: Place
    spelling: str


class ListValue(NamedTuple):
    """A sequence."""

    items: list[Value]
    place: Place


@dataclass(frozen=True, slots=True)
class MapValue:
    """A mapping, in the order of the text, with every key a string."""

    entries: list[tuple[Scalar, Value]]
    place: Place
    seen: set[str] = field(default_factory=set)

    def get(self, key: str) -> Value | None:
        """The value of `key`, or None."""
        if key not in self.seen:
            return None
        return next((value for name, value in self.entries if name.value == key), None)


Value = Scalar | ListValue | MapValue


def plain(value: Value) -> Any:
    """The value without places."""
    if isinstance(value, Scalar):
        return value.value
    if isinstance(value, ListValue):
        return [plain(item) for item in value.items]
    return {key.value: plain(item) for key, item in value.entries}


def closed(value: ListValue | MapValue, line: int, column: int) -> ListValue | MapValue:
    """The collection, which ends before this line and column."""
    place = Place(value.place.line, value.place.column, value.place.length, stop=(line, column))
    return ListValue(value.items, place) if isinstance(value, ListValue) else MapValue(value.entries, place, value.seen)


class Text(NamedTuple):
    """What a file holds, its text, and what is wrong with it that does not keep it from being read."""

    value: Value
    text: str
    found: list[Diagnostic]


def fail(code: str, message: str, place: Place | None = None, help: str | None = None) -> SourceError:
    """A SourceError with one diagnostic."""
    return SourceError(Diagnostic(code, message, place, help=help))


class Lines:
    """Where the lines of a text start."""

    def __init__(self, text: str) -> None:
        self.starts = [0, *(match.end() for match in LINE_BREAK.finditer(text))]

    def place(self, index: int, length: int = 1) -> Place:
        """The place of the character at `index`."""
        line = bisect_right(self.starts, index)
        return Place(line, index - self.starts[line - 1] + 1, length)

    def position(self, index: int) -> tuple[int, int]:
        """The line and column of the character at `index`."""
        line = bisect_right(self.starts, index)
        return line, index - self.starts[line - 1] + 1


def check_key(name: str, place: Place, seen: set[str], diagnostics: list[Diagnostic]) -> bool:
    """Whether a key is new in its mapping; reports one that is not."""
    if name not in seen:
        seen.add(name)
        return True
    diagnostics.append(Diagnostic("E114", f"the key `{name:.60}` stands twice in one mapping", place))
    if len(diagnostics) >= MAX_ERRORS:
        raise SourceError(*diagnostics)
    return False


def place_letters(raw: str, start: int, value: str, quote: str, lines: Lines) -> tuple[tuple[int, int], ...]:
    """The line and column of each character of `value`, which `raw`, at `start` in the text, spells with escapes.

    Escapes are those of the quote around it; blanks of `raw` that `value` has not (an indentation) are passed over.
    """
    letters = []
    offset = 0
    for letter in value:
        while offset < len(raw) and raw[offset] != letter:
            if raw[offset] in " \t\r\n" and not letter.isspace():
                offset += 1
            elif quote == '"' and raw[offset : offset + 2] in ("\\\n", "\\\r"):
                offset += 2
            else:
                break
        place = lines.place(start + min(offset, len(raw) - 1))
        letters.append((place.line, place.column))
        if quote == '"' and raw.startswith("\\", offset):
            offset += _ESCAPES.get(raw[offset + 1 : offset + 2], 2)
        else:
            offset += 2 if quote == "'" and raw.startswith("''", offset) else 1
    return tuple(letters)


def check_controls(text: str, place: Place) -> None:
    """Raise SourceError for a text whose escapes spell a control character: a terminal would obey it."""
    if control := CONTROL.search(text):
        raise fail("E101", f"the text spells the character U+{ord(control[0]):04X}, which cannot be seen", place)


_ESCAPES: Final = {"x": 4, "u": 6, "U": 10}  # lengths of the escapes that are not two characters
LETTERS: Final = 1000  # of a text with escapes have a place of their own: no expression is longer


def check_digits(text: str, place: Place) -> None:
    """Raise SourceError for a number that is too long to be read."""
    if len(text) > MAX_DIGITS:
        raise fail("E117", f"a number of {len(text)} digits is too long ({MAX_DIGITS} at most)", place)
