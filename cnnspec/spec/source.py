"""Text to values that remember their place. Nothing here knows what a spec means.

YAML is read from libyaml's event stream, so that depth and size are bounded before anything is built (its composer
is recursive and crashes on deep nesting). Plain scalars follow the YAML 1.2 core schema: `1e-6` is a number, `no` a
word, `010` ten. Anchors, aliases, tags and merge keys are refused. JSON has a reader of its own, which keeps places
and refuses what `json` lets through: duplicate keys and NaN.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field
from json.decoder import JSONDecodeError, scanstring  # type: ignore[attr-defined]
from typing import Any, Final

import yaml

from cnnspec.errors import Diagnostic, Place

__all__ = ["MAX_DEPTH", "ListValue", "MapValue", "Scalar", "SourceError", "Value", "read_text"]

MAX_YAML_BYTES: Final = 2 * 2**20
MAX_JSON_BYTES: Final = 8 * 2**20
MAX_DEPTH: Final = 64
MAX_DIGITS: Final = 300


class SourceError(Exception):
    """The text is no YAML or JSON that cnnspec reads; carries the one diagnostic."""

    def __init__(self, diagnostic: Diagnostic) -> None:
        super().__init__(diagnostic.message)
        self.diagnostic = diagnostic


@dataclass(frozen=True, slots=True)
class Scalar:
    """A number, word, truth value or null. `inset` is how far the content starts after `place` (a quote)."""

    value: Any
    place: Place
    inset: int = 0

    @property
    def content(self) -> Place:
        """The place of the content, without quotes."""
        return Place(self.place.line, self.place.column + self.inset, max(1, self.place.length - 2 * self.inset))


@dataclass(frozen=True, slots=True)
class ListValue:
    """A sequence."""

    items: list[Value]
    place: Place


@dataclass(frozen=True, slots=True)
class MapValue:
    """A mapping, in the order of the text, with every key a string."""

    entries: list[tuple[Scalar, Value]] = field(default_factory=list)
    place: Place = Place(1, 1)  # noqa: RUF009  # frozen

    def get(self, key: str) -> Value | None:
        """The value of `key`, or None."""
        return next((value for name, value in self.entries if name.value == key), None)


Value = Scalar | ListValue | MapValue


def fail(code: str, message: str, place: Place | None = None, help: str | None = None) -> SourceError:
    return SourceError(Diagnostic(code, message, place, help=help))


def read_text(data: bytes, *, json: bool) -> tuple[Value, str]:
    """The value that a file holds, and its text. Raises SourceError."""
    limit = MAX_JSON_BYTES if json else MAX_YAML_BYTES
    if len(data) > limit:
        raise fail("E101", f"the file is larger than {limit // 2**20} MiB")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        column = error.start - data.rfind(b"\n", 0, error.start)
        raise fail("E101", f"not UTF-8 text: {error.reason}", Place(line, column)) from None
    if "\0" in text:
        at = text.index("\0")
        raise fail("E101", "the text holds a NUL character", _place(text, at))
    if not text.strip():
        raise fail("E102", "the file is empty", help="`cnnspec zoo lenet5` prints a spec to start from")
    return (_JsonReader(text).read() if json else _read_yaml(text)), text


def _place(text: str, index: int, length: int = 1) -> Place:
    line = text.count("\n", 0, index) + 1
    return Place(line, index - text.rfind("\n", 0, index), length)


# YAML ---------------------------------------------------------------------------------------------------------------

_INT = re.compile(r"[-+]?[0-9]+\Z")
_BASED = re.compile(r"0o[0-7]+\Z|0x[0-9a-fA-F]+\Z")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?\Z")
_WORDS: Final[dict[str, Any]] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
    **dict.fromkeys((".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF"), float("inf")),
    **dict.fromkeys(("-.inf", "-.Inf", "-.INF"), float("-inf")),
    **dict.fromkeys((".nan", ".NaN", ".NAN"), float("nan")),
}


def _resolve(text: str, place: Place) -> Any:
    """A plain scalar by the YAML 1.2 core schema."""
    if text in _WORDS:
        return _WORDS[text]
    if text[0] in "0123456789+-.":
        if _INT.match(text) or _FLOAT.match(text):
            if len(text) > MAX_DIGITS:
                raise fail("E101", f"a number of {len(text)} digits is too long", place)
            return int(text) if _INT.match(text) else float(text)
        if _BASED.match(text) and len(text) <= MAX_DIGITS:
            return int(text, 0)
    return text


def _events(text: str) -> Iterator[Any]:
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        yield from yaml.parse(text, Loader=loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark if error.problem_mark is not None else error.context_mark
        at = None if mark is None else Place(mark.line + 1, mark.column + 1)
        problem = error.problem or "syntax error"
        context = f" ({error.context})" if error.context else ""
        hint = "indent with spaces: YAML takes no tabs" if "\\t" in problem or "tab" in problem else None
        raise fail("E102", f"not YAML: {problem}{context}", at, hint) from None
    except yaml.YAMLError as error:
        raise fail("E102", f"not YAML: {' '.join(str(error).split())}") from None


def _read_yaml(text: str) -> Value:
    """Build the one document of `text` with an explicit stack."""
    root: list[Value] = []
    # Open collections, each with the key that waits for its value, and the keys there were.
    stack: list[tuple[ListValue | MapValue, list[Scalar], set[str]]] = []
    documents = 0

    def add(value: Value) -> None:
        if not stack:
            root.append(value)
            return
        parent, pending, seen = stack[-1]
        if isinstance(parent, ListValue):
            parent.items.append(value)
        elif pending:
            parent.entries.append((pending.pop(), value))
        else:
            pending.append(_key(value, seen))

    for event in _events(text):
        mark = event.start_mark
        place = Place(mark.line + 1, mark.column + 1)
        if isinstance(event, yaml.DocumentStartEvent):
            documents += 1
            if documents > 1:
                raise fail("E102", "a spec is one YAML document, and here a second one starts", place)
        elif isinstance(event, yaml.AliasEvent):
            raise fail("E102", "YAML aliases are not part of the language", place, "write a block, and call it twice")
        elif isinstance(event, yaml.NodeEvent):
            _refuse_extras(event, place)
            if isinstance(event, yaml.ScalarEvent):
                end = event.end_mark
                length = end.column - mark.column if end.line == mark.line else 1
                place = Place(place.line, place.column, max(1, length))
                plain = event.style is None or event.style == ""
                value = _resolve(event.value, place) if plain else event.value
                add(Scalar(value, place, 0 if plain else 1))
            else:
                if len(stack) >= MAX_DEPTH:
                    raise fail("E113", f"nested deeper than {MAX_DEPTH} levels", place)
                opened = ListValue([], place) if isinstance(event, yaml.SequenceStartEvent) else MapValue([], place)
                add(opened)
                stack.append((opened, [], set()))
        elif isinstance(event, yaml.CollectionEndEvent):
            stack.pop()
    if not root:
        raise fail("E102", "the file holds no value")
    return root[0]


def _refuse_extras(event: Any, place: Place) -> None:
    if event.anchor is not None:
        raise fail("E102", "YAML anchors are not part of the language", place, "write a block, and call it twice")
    if getattr(event, "tag", None) is not None:
        raise fail("E102", f"YAML tags are not part of the language: {event.tag[:60]}", place)


def _key(key: Value, seen: set[str]) -> Scalar:
    if not isinstance(key, Scalar):
        raise fail("E102", "a key is one word, not a list or mapping", key.place)
    name = key.value if isinstance(key.value, str) else _spell(key.value)
    if name == "<<":
        raise fail("E102", "YAML merge keys are not part of the language", key.place)
    if name in seen:
        raise fail("E114", f"the key `{name}` stands twice in one mapping", key.place)
    seen.add(name)
    return Scalar(name, key.place, key.inset)


def _spell(value: Any) -> str:
    return {None: "null", True: "true", False: "false"}.get(value, str(value))


# JSON ---------------------------------------------------------------------------------------------------------------

_SPACE = re.compile(r"[ \t\n\r]*")
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?")
_LITERALS: Final[tuple[tuple[str, Any], ...]] = (("true", True), ("false", False), ("null", None))


class _JsonReader:
    """A recursive reader of RFC 8259 that keeps places."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.starts = [0, *(match.end() for match in re.finditer("\n", text))]

    def read(self) -> Value:
        value = self._value(0)
        self._skip()
        if self.at < len(self.text):
            raise self._fail("unexpected text after the value")
        return value

    def _place(self, start: int, length: int = 1) -> Place:
        line = bisect_right(self.starts, start)
        return Place(line, start - self.starts[line - 1] + 1, length)

    def _fail(self, problem: str) -> SourceError:
        return fail("E102", f"not JSON: {problem}", self._place(self.at))

    def _skip(self) -> str:
        self.at = _SPACE.match(self.text, self.at).end()  # type: ignore[union-attr]  # matches the empty string
        return self.text[self.at : self.at + 1]

    def _value(self, depth: int) -> Value:
        head = self._skip()
        if head in "{[" and head:
            if depth >= MAX_DEPTH:
                raise fail("E113", f"nested deeper than {MAX_DEPTH} levels", self._place(self.at))
            return self._map(depth) if head == "{" else self._list(depth)
        if head == '"':
            return self._string()
        for word, value in _LITERALS:
            if self.text.startswith(word, self.at):
                self.at += len(word)
                return Scalar(value, self._place(self.at - len(word), len(word)))
        number = _NUMBER.match(self.text, self.at)
        if not number:
            raise self._fail(f"unexpected {self.text[self.at : self.at + 8]!r}" if head else "the text ends too early")
        place = self._place(self.at, len(number[0]))
        if len(number[0]) > MAX_DIGITS:
            raise fail("E101", f"a number of {len(number[0])} digits is too long", place)
        self.at = number.end()
        return Scalar(float(number[0]) if number[1] or number[2] else int(number[0]), place)

    def _string(self) -> Scalar:
        start = self.at
        try:
            value, self.at = scanstring(self.text, start + 1, True)
        except JSONDecodeError as error:
            self.at = min(error.pos, len(self.text))
            raise self._fail(error.msg) from None
        return Scalar(value, self._place(start, self.at - start), 1)

    def _list(self, depth: int) -> ListValue:
        found = ListValue([], self._place(self.at))
        self.at += 1
        if self._skip() == "]":
            self.at += 1
            return found
        while True:
            found.items.append(self._value(depth + 1))
            if not self._comma("]"):
                return found

    def _map(self, depth: int) -> MapValue:
        found = MapValue([], self._place(self.at))
        seen: set[str] = set()
        self.at += 1
        if self._skip() == "}":
            self.at += 1
            return found
        while True:
            if self._skip() != '"':
                raise self._fail("a key in double quotes is wanted here")
            key = self._string()
            if key.value in seen:
                raise fail("E114", f"the key `{key.value}` stands twice in one object", key.place)
            seen.add(key.value)
            if self._skip() != ":":
                raise self._fail("`:` is wanted here")
            self.at += 1
            found.entries.append((key, self._value(depth + 1)))
            if not self._comma("}"):
                return found

    def _comma(self, end: str) -> bool:
        head = self._skip()
        if head not in (",", end):
            raise self._fail(f"`,` or `{end}` is wanted here")
        self.at += 1
        return head == ","
