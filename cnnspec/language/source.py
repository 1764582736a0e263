"""Text to values that remember their place. Nothing here knows what a spec means.

YAML is read from libyaml's event stream, so that depth and size are bounded before anything is built (its composer
is recursive and crashes on deep nesting). Plain scalars follow the YAML 1.2 core schema: `1e-6` is a number, `no` a
word, `010` ten. Anchors, aliases, tags and merge keys are refused. JSON has a reader of its own (`json_reader.py`).
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

import yaml

from cnnspec.errors import Diagnostic, Place

__all__ = [
    "MAX_DEPTH",
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
    "fail",
    "is_plain_text",
    "place_letters",
    "plain",
    "read_text",
    "split_lines",
]

MAX_YAML_BYTES: Final = 2 * 2**20
MAX_JSON_BYTES: Final = 8 * 2**20
MAX_DEPTH: Final = 64
MAX_DIGITS: Final = 300
MAX_VALUES: Final = 150_000  # keys and values of one file: seven for each of the 20,000 nodes there may be
MAX_ERRORS: Final = 50

# libyaml's line breaks. JSON is counted in the same way, so that one rule finds the line of every place.
_BREAK: Final = re.compile("\r\n|[\r\n\x85\u2028\u2029]")
# Characters that a terminal would obey, or that hide what a text says: controls and marks of writing direction.
_CONTROL: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\u202a-\u202e\u2066-\u2069\ufeff]")


class SourceError(Exception):
    """The text is no YAML or JSON that cnnspec reads; carries the diagnostics."""

    def __init__(self, *found: Diagnostic) -> None:
        super().__init__(found[0].message)
        self.found = found


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
        self.starts = [0, *(match.end() for match in _BREAK.finditer(text))]

    def place(self, index: int, length: int = 1) -> Place:
        """The place of the character at `index`."""
        line = bisect_right(self.starts, index)
        return Place(line, index - self.starts[line - 1] + 1, length)


def split_lines(text: str) -> list[str]:
    """The lines of a text, as places count them."""
    return _BREAK.split(text)


def read_text(data: bytes, *, json: bool) -> Text:
    """The value that a file holds, and its text. Raises SourceError."""
    limit = MAX_JSON_BYTES if json else MAX_YAML_BYTES
    if len(data) > limit:
        raise fail("E117", f"the file is larger than {limit // 2**20} MiB, the most that a {_kind(json)} spec may have")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        at = data[: error.start].decode("utf-8", "replace")
        raise fail("E101", f"not UTF-8 text: {error.reason}", Lines(at).place(len(at))) from None
    if control := _CONTROL.search(text):
        what = f"the character U+{ord(control[0]):04X}, which cannot be seen"
        raise fail("E101", f"the text holds {what}", Lines(text).place(control.start()))
    if not text.strip():
        raise fail("E102", "the file is empty", help="`cnnspec init` writes a spec to start from")
    if json:
        from cnnspec.language.json_reader import JsonReader

        reader = JsonReader(text)
        return Text(reader.read(), text, reader.found)
    return _read_yaml(text)


def _kind(json: bool) -> str:
    return "JSON" if json else "YAML"


def check_key(name: str, place: Place, seen: set[str], found: list[Diagnostic]) -> bool:
    """Whether a key is new in its mapping; reports one that is not."""
    if name not in seen:
        seen.add(name)
        return True
    found.append(Diagnostic("E114", f"the key `{name:.60}` stands twice in one mapping", place))
    if len(found) >= MAX_ERRORS:
        raise SourceError(*found)
    return False


def place_letters(raw: str, start: int, value: str, quote: str, lines: Lines) -> tuple[tuple[int, int], ...]:
    """The line and column of each character of `value`, which `raw`, at `start` in the text, spells with escapes.

    Escapes are those of the quote around it; blanks of `raw` that `value` has not (an indentation) are passed over.
    """
    letters = []
    at = 0
    for letter in value:
        while at < len(raw) and raw[at] != letter:
            if raw[at] in " \t\r\n" and not letter.isspace():
                at += 1
            elif quote == '"' and raw[at : at + 2] in ("\\\n", "\\\r"):
                at += 2
            else:
                break
        place = lines.place(start + min(at, len(raw) - 1))
        letters.append((place.line, place.column))
        if quote == '"' and raw.startswith("\\", at):
            at += _ESCAPES.get(raw[at + 1 : at + 2], 2)
        else:
            at += 2 if quote == "'" and raw.startswith("''", at) else 1
    return tuple(letters)


def check_controls(text: str, place: Place) -> None:
    """Raise SourceError for a text whose escapes spell a control character: a terminal would obey it."""
    if control := _CONTROL.search(text):
        raise fail("E101", f"the text spells the character U+{ord(control[0]):04X}, which cannot be seen", place)


_ESCAPES: Final = {"x": 4, "u": 6, "U": 10}  # lengths of the escapes that are not two characters
LETTERS: Final = 1000  # of a text with escapes have a place of their own: no expression is longer


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
            check_digits(text, place)
            return int(text) if _INT.match(text) else float(text)
        if _BASED.match(text):
            check_digits(text, place)
            return int(text, 0)
    return text


def check_digits(text: str, place: Place) -> None:
    """Raise SourceError for a number that is too long to be read."""
    if len(text) > MAX_DIGITS:
        raise fail("E117", f"a number of {len(text)} digits is too long ({MAX_DIGITS} at most)", place)


def _events(text: str) -> Iterator[Any]:
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        yield from yaml.parse(text, Loader=loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark if error.problem_mark is not None else error.context_mark
        at = None if mark is None else Place(mark.line + 1, mark.column + 1)
        raise fail("E102", *_explain(error, at, text)) from None
    except yaml.YAMLError as error:
        raise fail("E102", f"not YAML: {' '.join(str(error).split()):.200}") from None


def _explain(error: Any, at: Place | None, text: str) -> tuple[str, Place | None, str | None]:
    """libyaml's problem as message, place and way out."""
    problem = f"{error.problem or 'syntax error'}"
    lines = split_lines(text)
    opened = error.context_mark
    rest = "".join([*(line[at.column - 1 :] for line in lines[at.line - 1 : at.line]), *lines[at.line :]]) if at else ""
    if at and not rest.strip():
        if opened is not None and (opened.line + 1, opened.column + 1) != (at.line, at.column):
            at = Place(opened.line + 1, opened.column + 1)  # what is open at the end of the text
        else:
            at = Lines(text).place(max(0, len(text.rstrip()) - 1))
    line = lines[at.line - 1] if at and at.line <= len(lines) else ""
    hint = None
    if "cannot start any token" in problem:
        letter = line[at.column - 1 : at.column] if at else ""
        if letter == "\t":
            hint = "indent with spaces: YAML takes no tabs"
        elif letter in ("@", "`", "%"):
            hint = f"quote a text that starts with `{letter}`"
    elif "mapping values are not allowed" in problem:
        hint = "a `: ` inside of a text wants quotes around it; or the line is indented too far"
    elif "could not find expected ':'" in problem:
        hint = "in a mapping every line is `name: layer`, in a list every line starts with `- `"
    elif "did not find expected ','" in problem:
        hint = "a comma may be missing before this, or a bracket is not closed"
    elif "did not find expected" in problem:
        hint = "look at the lines above: an open bracket or quote, or an indentation that does not line up"
    context = f" ({error.context})" if error.context else ""
    return f"not YAML: {problem}{context}", at, hint


def _read_yaml(text: str) -> Text:
    """Build the one document of `text` with an explicit stack."""
    if directive := re.search(r"^%TAG", text, re.MULTILINE):  # libyaml compares each with all before
        raise fail("E102", "YAML tags are not part of the language", Lines(text).place(directive.start(), 4))
    root: list[Value] = []
    found: list[Diagnostic] = []
    lines: Lines | None = None
    # Open collections, each with the key that waits for its value.
    stack: list[tuple[ListValue | MapValue, list[Scalar]]] = []
    documents = values = 0

    def add(value: Value) -> None:
        if not stack:
            root.append(value)
            return
        parent, pending = stack[-1]
        if isinstance(parent, ListValue):
            parent.items.append(value)
        elif pending:
            key = pending.pop()
            if check_key(key.value, key.place, parent.seen, found):
                parent.entries.append((key, value))
        else:
            pending.append(_key(value))

    for event in _events(text):
        mark: Any = event.start_mark
        place = Place(mark.line + 1, mark.column + 1)
        if isinstance(event, yaml.DocumentStartEvent):
            documents += 1
            if documents > 1:
                raise fail("E102", "a spec is one YAML document, and here a second one starts", place)
        elif isinstance(event, yaml.AliasEvent):
            raise fail("E102", "YAML aliases are not part of the language", place, "write a block, and call it twice")
        elif isinstance(event, yaml.NodeEvent):
            _refuse_extras(event, place)
            values += 1
            if values > MAX_VALUES:
                raise fail("E117", f"the file holds more than {MAX_VALUES:,} values", place)
            if isinstance(event, yaml.ScalarEvent):
                end: Any = event.end_mark
                flat = end.line == mark.line
                place = Place(place.line, place.column, max(1, end.column - mark.column) if flat else 1)
                if event.style is None or event.style == "":
                    value, inset = _resolve(event.value, place), 0
                else:
                    value, inset = event.value, 1
                content = Place(place.line, place.column + inset, max(1, place.length - 2 * inset))
                simple = flat and end.column - mark.column == len(event.value) + 2 * inset
                if isinstance(value, str) and value and not simple:
                    lines = lines or Lines(text)
                    content = _woven(text[mark.index : end.index], mark.index, value, event.style or "", lines)
                    check_controls(value, place)
                add(Scalar(value, place, content, event.value))
            else:
                if len(stack) >= MAX_DEPTH:
                    raise fail("E118", f"nested deeper than {MAX_DEPTH} levels", place)
                opened = ListValue([], place) if isinstance(event, yaml.SequenceStartEvent) else MapValue([], place)
                add(opened)
                stack.append((opened, []))
        elif isinstance(event, yaml.CollectionEndEvent):
            stack.pop()
    if not root:
        raise fail("E102", "the file holds no value", help="`cnnspec init` writes a spec to start from")
    return Text(root[0], text, found)


def _woven(raw: str, start: int, value: str, style: str, lines: Lines) -> Place:
    """The content's place of a scalar with escapes or several lines."""
    head = 1 if style and style in "'\"" else raw.find("\n") + 1 if style else 0
    letters = place_letters(raw[head:], start + head, value[:LETTERS], style, lines)
    return Place(*letters[0], 1, letters).shifted(0, len(value))


def _refuse_extras(event: Any, place: Place) -> None:
    if event.anchor is not None:
        raise fail("E102", "YAML anchors are not part of the language", place, "write a block, and call it twice")
    if getattr(event, "tag", None) is not None:
        raise fail("E102", f"YAML tags are not part of the language: {event.tag[:60]}", place)


def _key(key: Value) -> Scalar:
    if not isinstance(key, Scalar):
        hint = "quote a key that holds `{` or `[`"
        raise fail("E102", "a key is one word, not a list or mapping", key.place, hint)
    if key.spelling == "<<":
        raise fail("E102", "YAML merge keys are not part of the language", key.place)
    return Scalar(key.spelling, key.place, key.content, key.spelling)  # `1` and `010` are names as they stand


_INDICATORS: Final = frozenset("-?:,[]{}#&*!|>'\"%@`")


def is_plain_text(text: str, *, inside: bool, key: bool = False) -> bool:
    """Whether YAML reads `text`, without quotes, as this very text. `inside` of brackets less is allowed."""
    if not text or not text.isprintable() or text != text.strip() or len(text) > 1000:
        return False
    safe_head = text[0] not in _INDICATORS or (text[0] == "-" and len(text) > 1 and text[1] not in " -")
    if not safe_head or ": " in text or " #" in text or text.endswith(":") or text.startswith(("---", "...")):
        return False
    if inside and any(letter in ",[]{}" or letter == ":" for letter in text):
        return False
    return key or isinstance(_resolve(text, Place(1, 1)), str)
