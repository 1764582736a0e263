"""The remarks of a YAML text: libyaml drops them, and a formatter must not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final, NamedTuple

import yaml

from cnnspec.language.tree import Lines, ListValue, MapValue, Value
from cnnspec.places import split_lines

__all__ = ["Remarks", "joined", "read_remarks", "remark_texts"]

Position = tuple[int, int]  # line and column, from 1

_END_OF_LINE: Final = 10**9


class Remark(NamedTuple):
    """A remark, or a blank line as an empty text; `own` where it has its line for itself."""

    position: Position
    text: str
    own: bool


class Span(NamedTuple):
    """Where a value starts and ends, and whether it is a collection in brackets."""

    start: Position
    end: Position
    flow: bool


_NOWHERE: Final = Span((0, 0), (0, 0), False)


class Remarks:
    """The remarks of a text, to be taken in their order, and where its values stand.

    Taking in order is what loses none: whoever takes the remarks before a place takes all that were left over there.
    """

    def __init__(self, remarks: list[Remark], values: Iterator[Value], spans: list[Span]) -> None:
        self._remarks = remarks
        self._taken = 0
        self._spans = {id(value): span for value, span in zip(values, spans, strict=True)}
        self._last_starts: dict[int, int] = {}  # line -> column of the last value that starts on it
        for span in spans:
            line, column = span.start
            self._last_starts[line] = max(column, self._last_starts.get(line, 0))

    def span(self, value: Value) -> Span:
        """Where a value stands; nowhere in JSON, which has no remarks."""
        return self._spans.get(id(value), _NOWHERE)

    def before(self, position: Position) -> list[str]:
        """Take the remarks before a place. Several blank lines are one."""
        return joined([remark.text for remark in self._take(lambda remark: remark.position < position)])

    def rest(self) -> list[str]:
        """Take all that is left."""
        return joined([remark.text for remark in self._take(lambda _: True)])

    def behind_head(self, key: Value | None, child: Value, first: Position) -> str | None:
        """Take the remark behind a key or an opening bracket, before the first child: `layers:  # in turn`."""
        if self._taken == len(self._remarks):
            return None
        remark = self._remarks[self._taken]
        span = self.span(child)
        heads = {self.span(key).end[0] if key else 0, span.start[0] if span.flow else 0}
        if remark.own or remark.position >= first or remark.position[0] not in heads:
            return None
        self._taken += 1
        return remark.text

    def through(self, value: Value) -> list[Remark]:
        """Take the remarks from here to the end of a value's last line: they belong to one line. No blank lines."""
        return [remark for remark in self._take(lambda remark: self._is_within(remark, value)) if remark.text]

    def fits_one_line(self, value: Value) -> bool:
        """Whether a collection in brackets can be one line with its one remark behind it."""
        count = 0
        for index in range(self._taken, len(self._remarks)):
            remark = self._remarks[index]
            if not self._is_within(remark, value):
                break
            count += 1 if remark.text else 0
            if count > 1 or (remark.text and remark.own):
                return False
        return True

    def _is_within(self, remark: Remark, value: Value) -> bool:
        """Whether a remark comes before the end of a value, or behind it and behind no other value of that line."""
        line, column = self.span(value).end
        if remark.position[0] != line:
            return remark.position[0] < line
        return self._last_starts.get(line, 0) <= column

    def _take(self, wanted: Callable[[Remark], bool]) -> list[Remark]:
        first = self._taken
        while self._taken < len(self._remarks) and wanted(self._remarks[self._taken]):
            self._taken += 1
        return self._remarks[first : self._taken]


def joined(*parts: list[str]) -> list[str]:
    """Remarks one below the other, with one blank line where there are several."""
    lines: list[str] = []
    for part in parts:
        for text in part:
            if text or not lines or lines[-1]:
                lines.append(text)
    return lines


def read_remarks(text: str, root: Value) -> Remarks:
    """The remarks of a YAML text whose value is `root`."""
    scanned = _Scan(text)
    return Remarks(scanned.remarks, _in_order(root), scanned.spans)


def remark_texts(text: str) -> list[str]:
    """The remarks of a YAML text, without blank lines, in no order that matters."""
    return sorted(remark.text for remark in _Scan(text).remarks if remark.text)


def _in_order(root: Value) -> Iterator[Value]:
    """Every value and key, as the text has them."""
    stack = [root]
    while stack:
        value = stack.pop()
        yield value
        if isinstance(value, ListValue):
            stack += reversed(value.items)
        elif isinstance(value, MapValue):
            for key, item in reversed(value.entries):
                stack += (item, key)


class _Scan:
    """Reads remarks and spans of values from libyaml's events. What is between its scalars is signs and remarks."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.lines = Lines(text)
        self.remarks: list[Remark] = []
        self.spans: list[Span] = []
        read = 0
        stack: list[int] = []  # open collections, as places in `spans`
        last: Position = (1, 1)  # where the last value ended
        for event in yaml.parse(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
            start: Any = event.start_mark
            end: Any = event.end_mark
            first = (start.line + 1, start.column + 1)
            if isinstance(event, yaml.ScalarEvent):
                self.gap(read, start.index)
                read = max(read, end.index)
                last = (end.line + 1, end.column + 1)
                if event.style in ("|", ">"):
                    header = len(split_lines(text[start.index : end.index])[0])
                    self.gap(start.index, start.index + header)
                    if end.column == 0:
                        last = (end.line, _END_OF_LINE)
                self.spans.append(Span(first, last, False))
            elif isinstance(event, (yaml.SequenceStartEvent, yaml.MappingStartEvent)):
                stack.append(len(self.spans))
                last = first
                self.spans.append(Span(first, first, bool(event.flow_style)))
            elif isinstance(event, yaml.CollectionEndEvent):
                opened = self.spans[stack[-1]]
                if opened.flow:
                    last = (end.line + 1, end.column + 1)
                self.spans[stack.pop()] = opened._replace(end=last)
        self.gap(read, len(text))

    def gap(self, first: int, last: int) -> None:
        """Keep the remarks and the blank lines of a piece of text that holds no scalar."""
        offset = first
        pieces = split_lines(self.text[first:last])
        for number, piece in enumerate(pieces):
            sign = piece.find("#")
            if sign >= 0:
                place = self.lines.place(offset + sign)
                ahead = self.text[offset + sign - place.column + 1 : offset + sign]
                position = (place.line, place.column)
                self.remarks.append(Remark(position, piece[sign:].rstrip(" \t"), not ahead.strip(" \t")))
            elif not piece.strip(" \t") and number < len(pieces) - 1:
                place = self.lines.place(offset)
                if place.column == 1:
                    self.remarks.append(Remark((place.line, 1), "", True))
            offset += len(piece)
            offset += 2 if self.text.startswith("\r\n", offset) else 1
