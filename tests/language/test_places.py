"""Where values start and end, in characters and in the UTF-16 units that editors count."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cnnspec.errors import Place, Span
from cnnspec.language.source import read_text
from cnnspec.language.tree import ListValue, MapValue, Scalar, Value, plain
from cnnspec.places import split_lines

YAML = """\
plain: Conv2d(8, 3)
quoted: "two words"
folded: Conv2d(8,
  3)
block: |
  Conv2d(8, 3)
  # no remark

flow: [one, {two:
  3}]
empty:
list:
  - one
  - - two  # a remark

    - "\\x41b"
last: {}
"""
# What each of the values above is written as, from its first character to its last.
WRITTEN = {
    "plain": "Conv2d(8, 3)",
    "quoted": '"two words"',
    "folded": "Conv2d(8,\n  3)",
    "block": "|\n  Conv2d(8, 3)\n  # no remark",
    "flow": "[one, {two:\n  3}]",
    "empty": "",
    "list": '- one\n  - - two  # a remark\n\n    - "\\x41b"',
    "last": "{}",
}


def cut(text: str, span: Span) -> str:
    """What a text holds in a span."""
    lines = split_lines(text)[span.line - 1 : span.end_line]
    lines[-1] = lines[-1][: span.end_column - 1]
    lines[0] = lines[0][span.column - 1 :]
    return "\n".join(lines)


def children(value: Value) -> Iterator[Value]:
    """A value and all that it holds."""
    yield value
    if isinstance(value, ListValue):
        for item in value.items:
            yield from children(item)
    elif isinstance(value, MapValue):
        for key, item in value.entries:
            yield key
            yield from children(item)


def test_every_value_of_yaml_ends_where_it_ends() -> None:
    root = read_text(YAML.encode(), json=False).value
    assert isinstance(root, MapValue)
    assert {key.value: cut(YAML, value.place.span) for key, value in root.entries} == WRITTEN
    assert cut(YAML, root.place.span) == YAML.rstrip("\n")
    quoted = root.get("quoted")
    assert isinstance(quoted, Scalar)
    assert cut(YAML, quoted.content.span) == "two words"
    nested = root.get("list")
    assert isinstance(nested, ListValue)
    assert cut(YAML, nested.items[1].place.span) == '- two  # a remark\n\n    - "\\x41b"'


def test_a_key_that_stands_twice_keeps_the_end_of_the_first() -> None:
    text = "a:\n  - one\na:\n  - two\nb: 1\n"
    root = read_text(text.encode(), json=False).value
    assert isinstance(root, MapValue)
    assert [cut(text, value.place.span) for _, value in root.entries] == ["- one", "1"]


letters = st.characters(codec="utf-8", exclude_categories=["Cc", "Cf", "Cs", "Co"])
trees = st.recursive(
    st.one_of(st.text(letters, max_size=6), st.integers(), st.booleans(), st.none()),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(letters, max_size=4), inner, max_size=3)
    ),
    max_leaves=8,
)


@settings(max_examples=200, deadline=None)
@given(trees, st.sampled_from([None, 1]), st.booleans())
def test_every_span_of_json_reads_as_its_value(value: Any, indent: int | None, escaped: bool) -> None:
    text = json.dumps(value, indent=indent, ensure_ascii=escaped)
    root = read_text(text.encode(), json=True).value
    if "\u2028" in text or "\u2029" in text:
        return  # `cut` cannot tell which break of lines it was
    for part in children(root):
        assert json.loads(cut(text, part.place.span)) == plain(part)
    assert cut(text, root.place.span) == text


@settings(max_examples=200, deadline=None)
@given(st.text(letters, min_size=1, max_size=8), st.booleans())
def test_utf_16_counts_as_encoding_does(word: str, flow: bool) -> None:
    shown = json.dumps(word, ensure_ascii=False)
    text = f"{{{shown}: 🧪x, b: [🧪, deep]}}\n" if flow else f"{shown}: [🧪, deep]\n"
    lines = split_lines(text)
    for part in children(read_text(text.encode(), json=False).value):
        span, units = part.place.span, part.place.utf16_span(lines)
        assert (units.line, units.end_line) == (span.line, span.end_line)
        for line, column, unit in zip(span[::2], span[1::2], units[1::2], strict=True):
            before = lines[line - 1][: column - 1]
            assert unit == 1 + len(before.encode("utf-16-le")) // 2


@pytest.mark.parametrize(
    ("place", "units"),
    [
        (Place(1, 1, 1), (1, 1, 1, 3)),  # the letter itself is two units
        (Place(1, 2, 3), (1, 3, 1, 6)),
        (Place(1, 3, 1, stop=(2, 3)), (1, 4, 2, 5)),
        (Place(3, 1), (3, 1, 3, 2)),  # a line that there is not
    ],
)
def test_letters_before_a_place_move_its_column(place: Place, units: tuple[int, int, int, int]) -> None:
    assert place.utf16_span(["🧪abc", "🧪🧪x"]) == units


def test_a_part_of_a_text_ends_within_it() -> None:
    text = 'layers:\n  - "Conv2d(8,\n    kernal=3)"\n'
    root = read_text(text.encode(), json=False).value
    (line,) = [part for part in children(root) if isinstance(part, Scalar) and "kernal" in str(part.value)]
    assert cut(text, line.content.span) == "Conv2d(8,\n    kernal=3)"
    assert cut(text, line.content.shifted(10, 6).span) == "kernal"
    assert cut(text, line.content.shifted(7, 9).span) == "8,\n    kernal"
