"""JSON to values that remember their place; refuses what the library's reader lets through: twin keys and NaN."""

from __future__ import annotations

import re
from dataclasses import replace
from json.decoder import JSONDecodeError, scanstring  # type: ignore[attr-defined]
from typing import Any, Final

from cnnspec.errors import Diagnostic, Place
from cnnspec.language.tree import (
    LETTERS,
    MAX_DEPTH,
    MAX_VALUES,
    Lines,
    ListValue,
    MapValue,
    Scalar,
    SourceError,
    Text,
    Value,
    check_controls,
    check_digits,
    check_key,
    closed,
    fail,
    place_letters,
)

__all__ = ["read_json"]

_SPACE = re.compile(r"[ \t\n\r]*")
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?")
_LITERALS: Final[tuple[tuple[str, Any], ...]] = (("true", True), ("false", False), ("null", None))


def read_json(text: str) -> Text:
    """The one value of a text. Raises SourceError."""
    reader = _Reader(text)
    return Text(reader.read(), text, reader.found)


class _Reader:
    """A recursive reader of RFC 8259 that keeps places. `found` collects what does not stop it."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.values = 0
        self.lines = Lines(text)
        self.found: list[Diagnostic] = []

    def read(self) -> Value:
        """The one value of the text. Raises SourceError."""
        value = self._value(0)
        self._skip()
        if self.at < len(self.text):
            raise self._fail("unexpected text after the value")
        return value

    def _place(self, start: int, length: int = 1) -> Place:
        return self.lines.place(start, length)

    def _fail(self, problem: str) -> SourceError:
        return fail("E102", f"not JSON: {problem}", self._place(self.at))

    def _skip(self) -> str:
        self.at = _SPACE.match(self.text, self.at).end()  # type: ignore[union-attr]  # matches the empty string
        return self.text[self.at : self.at + 1]

    def _count(self) -> None:
        self.values += 1
        if self.values > MAX_VALUES:
            raise fail("E117", f"the file holds more than {MAX_VALUES:,} values", self._place(self.at))

    def _value(self, depth: int) -> Value:
        head = self._skip()
        self._count()
        if head in "{[" and head:
            if depth >= MAX_DEPTH:
                raise fail("E118", f"nested deeper than {MAX_DEPTH} levels", self._place(self.at))
            return self._map(depth) if head == "{" else self._list(depth)
        if head == '"':
            return self._string()
        for word, value in _LITERALS:
            if self.text.startswith(word, self.at):
                place = self._place(self.at, len(word))
                self.at += len(word)
                return Scalar(value, place, place, word)
        number = _NUMBER.match(self.text, self.at)
        if not number:
            raise self._fail(f"unexpected {self.text[self.at : self.at + 8]!r}" if head else "the text ends too early")
        place = self._place(self.at, len(number[0]))
        check_digits(number[0], place)
        self.at = number.end()
        value = float(number[0]) if number[1] or number[2] else int(number[0])
        return Scalar(value, place, place, number[0])

    def _string(self) -> Scalar:
        start = self.at
        try:
            value, self.at = scanstring(self.text, start + 1, True)
        except JSONDecodeError as error:
            self.at = min(error.pos, len(self.text))
            raise self._fail(error.msg) from None
        raw = self.text[start + 1 : self.at - 1]
        place = self._place(start, self.at - start)
        content = self._place(start + 1, max(1, len(raw)))
        if not raw.isascii():  # U+2028 is a break of lines, and may stand in a string
            place = replace(place, stop=self.lines.position(self.at))
            content = replace(content, stop=self.lines.position(self.at - 1))
        if raw != value:
            if any("\ud800" <= letter <= "\udfff" for letter in value):
                raise fail("E101", "half of a surrogate pair is no character", place)
            check_controls(value, place)
            letters = place_letters(raw, start + 1, value[:LETTERS], '"', self.lines)
            content = replace(content, letters=letters, stop=self.lines.position(self.at - 1))
        return Scalar(value, place, content, value)

    def _list(self, depth: int) -> Value:
        opened = ListValue([], self._place(self.at))
        self.at += 1
        if self._skip() == "]":
            self.at += 1
            return self._closed(opened)
        while True:
            opened.items.append(self._value(depth + 1))
            if not self._comma("]"):
                return self._closed(opened)

    def _map(self, depth: int) -> Value:
        opened = MapValue([], self._place(self.at))
        self.at += 1
        if self._skip() == "}":
            self.at += 1
            return self._closed(opened)
        while True:
            if self._skip() != '"':
                raise self._fail("a key in double quotes is wanted here")
            self._count()
            key = self._string()
            if self._skip() != ":":
                raise self._fail("`:` is wanted here")
            self.at += 1
            value = self._value(depth + 1)
            if check_key(key.value, key.place, opened.seen, self.found):
                opened.entries.append((key, value))
            if not self._comma("}"):
                return self._closed(opened)

    def _closed(self, value: ListValue | MapValue) -> Value:
        return closed(value, *self.lines.position(self.at))

    def _comma(self, end: str) -> bool:
        head = self._skip()
        if head not in (",", end):
            raise self._fail(f"`,` or `{end}` is wanted here")
        self.at += 1
        return head == ","
