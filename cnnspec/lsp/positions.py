"""Places of a text and positions of the protocol.

The two count differently: columns from 1 in characters, or from 0 in units of an encoding; and YAML breaks lines where
the protocol does not. What both mean is an offset in the text.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from typing import Final

from lsprotocol import types

from cnnspec.places import LINE_BREAK, Span

__all__ = ["Positions", "changed"]

_BREAK: Final = re.compile("\r\n|[\r\n]")
_BYTES: Final = {types.PositionEncodingKind.Utf8: "utf-8", types.PositionEncodingKind.Utf16: "utf-16-le"}
_UNIT: Final = {types.PositionEncodingKind.Utf8: 1, types.PositionEncodingKind.Utf16: 2}


@dataclass(frozen=True)
class Positions:
    """Converts for one text in one encoding of columns."""

    text: str
    encoding: types.PositionEncodingKind | str = types.PositionEncodingKind.Utf16

    @cached_property
    def _starts(self) -> list[int]:
        """Where the protocol's lines start."""
        return [0, *(match.end() for match in _BREAK.finditer(self.text))]

    @cached_property
    def _places(self) -> list[int]:
        """Where the lines of places start."""
        return [0, *(match.end() for match in LINE_BREAK.finditer(self.text))]

    def offset(self, position: types.Position) -> int:
        """The offset of a position; of one behind the end of its line or of the text, that end."""
        line = max(0, position.line)
        if line >= len(self._starts):
            return len(self.text)
        start = self._starts[line]
        end = _BREAK.search(self.text, start)
        written = self.text[start : end.start() if end is not None else None]
        return start + self._characters(written, position.character)

    def _characters(self, line: str, units: int) -> int:
        if units <= 0 or line.isascii() or self.encoding not in _BYTES:
            return min(max(0, units), len(line))
        widths = accumulate(self._units(letter) for letter in line)
        return next((count for count, width in enumerate(widths) if width > units), len(line))

    def _units(self, text: str) -> int:
        if text.isascii() or self.encoding not in _BYTES:
            return len(text)
        encoding = types.PositionEncodingKind(self.encoding)
        return len(text.encode(_BYTES[encoding], "surrogatepass")) // _UNIT[encoding]

    def position(self, offset: int) -> types.Position:
        """The position of an offset."""
        offset = max(0, min(offset, len(self.text)))
        line = bisect_right(self._starts, offset) - 1
        return types.Position(line, self._units(self.text[self._starts[line] : offset]))

    def place(self, position: types.Position) -> tuple[int, int]:
        """Line and column (from 1) of a position."""
        offset = self.offset(position)
        line = bisect_right(self._places, offset)
        return line, offset - self._places[line - 1] + 1

    def range(self, span: Span) -> types.Range:
        """A span of the text as a range."""
        start, end = self._at(span.line, span.column), self._at(span.end_line, span.end_column)
        return types.Range(self.position(start), self.position(max(start, end)))

    def line_end(self, line: int) -> types.Position:
        """Behind the last letter of a line (from 1), without its blanks."""
        start = self._places[min(line, len(self._places)) - 1]
        end = LINE_BREAK.search(self.text, start)
        return self.position(start + len(self.text[start : end.start() if end is not None else None].rstrip()))

    def _at(self, line: int, column: int) -> int:
        if line > len(self._places):
            return len(self.text)
        return min(self._places[line - 1] + column - 1, len(self.text))


def changed(text: str, change: types.TextDocumentContentChangeEvent, encoding: types.PositionEncodingKind | str) -> str:
    """The text after a change: of a part of it, or of all."""
    if not isinstance(change, types.TextDocumentContentChangePartial):
        return change.text
    positions = Positions(text, encoding)
    start, end = positions.offset(change.range.start), positions.offset(change.range.end)
    return f"{text[:start]}{change.text}{text[max(start, end) :]}"
