"""YAML to values that remember their place.

It is read from libyaml's event stream, so that depth and size are bounded before anything is built (its composer is
recursive and crashes on deep nesting). Plain scalars follow the YAML 1.2 core schema: `1e-6` is a number, `no` a word,
`010` ten. Anchors, aliases, tags and merge keys are refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Final

import yaml

from cnnspec.errors import Diagnostic, Place
from cnnspec.language.spacing import spacing_fault, without_tabs
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
from cnnspec.places import split_lines

__all__ = ["is_plain_text", "read_yaml"]

_INT = re.compile(r"[-+]?[0-9]+\Z")
_BASED = re.compile(r"0o[0-7]+\Z|0x[0-9a-fA-F]+\Z")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?\Z")
# Problems of YAML's that a space too few or too many may have caused.
_NO_TABS: Final = "indent with spaces: YAML takes no tabs"
_SPACED: Final = re.compile(
    "mapping values are not|not find expected ':'|not find expected (key|'-' indicator)|sequence entries"
)
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


def _events(text: str) -> Iterator[Any]:
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        yield from yaml.parse(text, Loader=loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark if error.problem_mark is not None else error.context_mark
        place = None if mark is None else Place(mark.line + 1, mark.column + 1)
        began = None if error.context_mark is None else error.context_mark.line + 1
        spacing = (
            spacing_fault(split_lines(text), place, began) if place and _SPACED.search(f"{error.problem}") else None
        )
        if spacing is not None:
            raise SourceError(spacing.error("E102")) from None
        message, place, hint = _explain(error, place, text)
        fix = without_tabs(split_lines(text)) if hint == _NO_TABS else None
        raise SourceError(Diagnostic("E102", message, place, help=hint, fix=fix)) from None
    except yaml.YAMLError as error:
        raise fail("E102", f"not YAML: {' '.join(str(error).split()):.200}") from None


def _explain(error: Any, place: Place | None, text: str) -> tuple[str, Place | None, str | None]:
    """libyaml's problem as message, place and way out."""
    problem = f"{error.problem or 'syntax error'}"
    lines = split_lines(text)
    opened = error.context_mark
    rest = ""
    if place:
        rest = "".join(
            [*(line[place.column - 1 :] for line in lines[place.line - 1 : place.line]), *lines[place.line :]]
        )
    if place and not rest.strip():
        if opened is not None and (opened.line + 1, opened.column + 1) != (place.line, place.column):
            place = Place(opened.line + 1, opened.column + 1)  # what is open at the end of the text
        else:
            place = Lines(text).place(max(0, len(text.rstrip()) - 1))
    line = lines[place.line - 1] if place and place.line <= len(lines) else ""
    hint = None
    if "cannot start any token" in problem:
        letter = line[place.column - 1 : place.column] if place else ""
        if letter == "\t":
            hint = _NO_TABS
        elif letter in ("@", "`", "%"):
            hint = f"quote a text that starts with `{letter}`"
    elif "found a tab character" in problem:
        hint = _NO_TABS
    elif "mapping values are not allowed" in problem:
        hint = "a `: ` inside of a text wants quotes around it; or the line is indented too far"
    elif "could not find expected ':'" in problem or ("expected key" in problem and re.match(" *- ", line)):
        hint = "in a mapping every line is `name: layer`, in a list every line starts with `- `"
    elif "did not find expected ','" in problem:
        hint = "a comma may be missing before this, or a bracket is not closed"
    elif "did not find expected" in problem:
        hint = "look at the lines above: an open bracket or quote, or an indentation that does not line up"
    context = f" ({error.context})" if error.context else ""
    return f"not YAML: {problem}{context}", place, hint


def read_yaml(text: str) -> Text:
    """The one document of a text, built with an explicit stack. Raises SourceError."""
    if directive := re.search(r"^%TAG", text, re.MULTILINE):  # libyaml compares each with all before
        raise fail("E102", "YAML tags are not part of the language", Lines(text).place(directive.start(), 4))
    root: list[Value] = []
    diagnostics: list[Diagnostic] = []
    lines: Lines | None = None
    # Open collections, each with the key that waits for its value.
    stack: list[tuple[ListValue | MapValue, list[Scalar]]] = []
    documents = values = 0
    flow: list[bool] = []  # whether they are written in brackets
    behind = (1, 1)  # the end of what was read last

    def add(value: Value) -> None:
        if not stack:
            root.append(value)
            return
        parent, pending = stack[-1]
        if isinstance(parent, ListValue):
            parent.items.append(value)
        elif pending:
            key = pending.pop()
            if check_key(key.value, key.place, parent.seen, diagnostics):
                parent.entries.append((key, value))
        else:
            pending.append(_key(value))

    def close(opened: ListValue | MapValue) -> None:
        """Put the collection that ends into its parent again, with its end."""
        value = closed(opened, *behind)
        if not stack:
            root[0] = value
            return
        parent, _ = stack[-1]
        if isinstance(parent, ListValue):
            parent.items[-1] = value
        elif parent.entries and parent.entries[-1][1] is opened:  # else its key stood there already
            parent.entries[-1] = parent.entries[-1][0], value

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
                width = end.column - mark.column if flat else 1
                stop: tuple[int, int] | None = None if width > 0 else (place.line, place.column)
                if not flat:
                    lines = lines or Lines(text)
                    stop = lines.position(mark.index + len(text[mark.index : end.index].rstrip()))
                place = Place(place.line, place.column, max(1, width), stop=stop)
                behind = place.span[2:]
                if event.style is None or event.style == "":
                    value, inset = _resolve(event.value, place), 0
                else:
                    value, inset = event.value, 1
                content = Place(place.line, place.column + inset, max(1, place.length - 2 * inset), stop=stop)
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
                flow.append(bool(getattr(event, "flow_style", False)))
        elif isinstance(event, yaml.CollectionEndEvent):
            opened, _ = stack.pop()
            if flow.pop():
                closing: Any = event.end_mark
                behind = (closing.line + 1, closing.column + 1)
            close(opened)
    if not root:
        raise fail("E102", "the file holds no value", help="`cnnspec init` writes a spec to start from")
    return Text(root[0], text, diagnostics)


def _woven(raw: str, start: int, value: str, style: str, lines: Lines) -> Place:
    """The content's place of a scalar with escapes or several lines."""
    head = 1 if style and style in "'\"" else raw.find("\n") + 1 if style else 0
    letters = place_letters(raw[head:], start + head, value[:LETTERS], style, lines)
    place = Place(*letters[0], 1, letters).shifted(0, len(value))
    inset = len(style) if style in ("'", '"') else 0
    return replace(place, stop=lines.position(start + len(raw.rstrip()) - inset))


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
