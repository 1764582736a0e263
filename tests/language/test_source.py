"""Text to values: YAML 1.2 scalars, places, and what is refused before anything is built."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from speaking import HEAD, codes, found, marked

from cnnspec import zoo
from cnnspec.api import format_text
from cnnspec.language.source import MAX_JSON_BYTES, MAX_YAML_BYTES, read_text
from cnnspec.language.tree import MAX_DEPTH, MAX_VALUES, ListValue, MapValue, Scalar, SourceError, Text, Value, plain


def read(text: str | bytes, *, json: bool = False) -> Text:
    return read_text(text if isinstance(text, bytes) else text.encode(), json=json)


def refused(text: str | bytes, *, json: bool = False) -> tuple[str, int, int]:
    with pytest.raises(SourceError) as caught:
        read(text, json=json)
    (diagnostic,) = caught.value.found
    place = diagnostic.place
    return diagnostic.code, place.line if place else 0, place.column if place else 0


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-6", 1e-6),
        ("1E3", 1000.0),
        (".5", 0.5),
        ("3.", 3.0),
        ("no", "no"),
        ("yes", "yes"),
        ("on", "on"),
        ("010", 10),
        ("0o10", 8),
        ("0x10", 16),
        ("+7", 7),
        ("-0", 0),
        ("1_000", "1_000"),
        ("12:30:45", "12:30:45"),
        ("2001-01-01", "2001-01-01"),
        ("true", True),
        ("True", True),
        ("tRue", "tRue"),
        ("null", None),
        ("~", None),
        ("", None),
        ("'1'", "1"),
        ('"no"', "no"),
        ("None", "None"),
        (".inf", float("inf")),
        ("=", "="),
    ],
)
def test_scalars_follow_yaml_1_2(text: str, value: object) -> None:
    got = plain(read(f"a: {text}\n").value)["a"]
    assert got == value
    assert type(got) is type(value)


def test_keys_stand_as_they_are_written() -> None:
    assert list(plain(read("0: a\n1: b\n010: c\ntrue: d\n1.0: e\n~: f\n").value)) == [
        "0",
        "1",
        "010",
        "true",
        "1.0",
        "~",
    ]


def test_json_values() -> None:
    value = {"a": [1, -2.5, 1e3, True, False, None, "x\u00e9\n\U0001f600"], "": {}, "b": []}
    assert plain(read(json.dumps(value), json=True).value) == value
    assert plain(read(json.dumps(value, ensure_ascii=False), json=True).value) == value


def scalars(value: Value) -> list[Scalar]:
    if isinstance(value, Scalar):
        return [value]
    if isinstance(value, ListValue):
        return [scalar for item in value.items for scalar in scalars(item)]
    return [scalar for key, item in value.entries for scalar in (key, *scalars(item))]


def at(text: str, scalar: Scalar, *, content: bool = False) -> str:
    place = scalar.content if content else scalar.place
    return text.splitlines()[place.line - 1][place.column - 1 : place.column - 1 + place.length]


@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r", "\u2028"])
def test_places_in_every_style(ending: str) -> None:
    text = ending.join(
        ["# note", "plain: word", "\u00e9: {k: 'single', l: \"double\"}", "list:", "- [1, 2.5]", "- x", ""]
    )
    expected = ["plain", "word", "\u00e9", "k", "single", "l", "double", "list", "1", "2.5", "x"]
    assert [at(text, scalar, content=True) for scalar in scalars(read(text).value)] == expected
    assert at(text, scalars(read(text).value)[4]) == "'single'"


def test_a_byte_order_mark_counts_for_nothing() -> None:
    value = read(b"\xef\xbb\xbfa: 1\n").value
    assert isinstance(value, MapValue)
    assert (value.entries[0][0].place.line, value.entries[0][0].place.column) == (1, 1)


@pytest.mark.parametrize(
    ("text", "word"),
    [
        (r'a: "x\tWORD y"', "WORD"),
        (r'a: "\x57\u004f\U00000052D y"', r"\x57\u004f\U00000052D"),
        ("a: 'it''s WORD y'", "WORD"),
        ('a: "one\n  two WORD y"', "WORD"),
        ('a: "one\\\n  two WORD y"', "WORD"),
        ("a: one\n  two WORD y", "WORD"),
        ("a: >-\n  one\n  two WORD y", "WORD"),
        ("a: |\n  one\n    two WORD y", "WORD"),
        (r"a: plain \back WORD y", "WORD"),
    ],
)
def test_places_inside_of_woven_texts(text: str, word: str) -> None:
    scalar = scalars(read(text + "\n").value)[1]
    place = scalar.content.shifted(scalar.value.index("WORD"), 4)
    line = text.splitlines()[place.line - 1][place.column - 1 :]
    assert line.startswith(word)
    assert place.length >= 4 if word == "WORD" else place.length > 4


def test_places_inside_of_json_escapes() -> None:
    text = '{"a":\n "x\\u0041\\n WORD"}'
    scalar = scalars(read(text, json=True).value)[1]
    place = scalar.content.shifted(scalar.value.index("WORD"), 4)
    assert text.splitlines()[place.line - 1][place.column - 1 :].startswith("WORD")


@settings(max_examples=150, deadline=None)
@given(st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cf", "Cs"]), min_size=1, max_size=30))
def test_quoted_texts_come_back(text: str) -> None:
    quoted = json.dumps(text, ensure_ascii=False)
    assert plain(read(f'{{"k": {quoted}}}', json=True).value) == {"k": text}


@pytest.mark.parametrize(
    ("text", "refusal"),
    [
        ("a: &x 1\nb: 2\n", ("E102", 1, 4)),
        ("a: *x\n", ("E102", 1, 4)),
        ("a: !!python/object:os.system 1\n", ("E102", 1, 4)),
        ("a: ! 1\n", ("E102", 1, 4)),
        ("%TAG ! tag:x,2000:\n---\na: 1\n", ("E102", 1, 1)),
        ("<<: {a: 1}\n", ("E102", 1, 1)),
        ("[a]: 1\n", ("E102", 1, 1)),
        ("{a: 1}: 2\n", ("E102", 1, 1)),
        ("a: 1\n---\nb: 2\n", ("E102", 2, 1)),
        ("a: [1, 2\nb: 3\n", ("E102", 2, 2)),
        ("a: [1, 2\n", ("E102", 1, 4)),
        ("a: 'x\n", ("E102", 1, 4)),
        ("a:\n\t- b\n", ("E102", 2, 1)),
        ("a: @b\n", ("E102", 1, 4)),
        ("", ("E102", 0, 0)),
        ("# only a remark\n", ("E102", 0, 0)),
        ("a: \x1b[31m\n", ("E101", 1, 4)),
        ('a: "\\e[31m"\n', ("E101", 1, 4)),
        ("a: \u202eb\n", ("E101", 1, 4)),
        ("a: b\0\n", ("E101", 1, 5)),
        (b"a: \xff\n", ("E101", 1, 4)),
        ("a: " + "9" * 301 + "\n", ("E117", 1, 4)),
        ("a: " + "[" * 80, ("E118", 1, 4 + MAX_DEPTH - 1)),
        ("a: [" + "1," * MAX_VALUES + "]", ("E117", 1, 2 * MAX_VALUES - 1)),
        ("#" * (MAX_YAML_BYTES + 1), ("E117", 0, 0)),
    ],
    ids=lambda value: None if isinstance(value, tuple) else repr(value[:20]),
)
def test_yaml_that_is_refused(text: str | bytes, refusal: tuple[str, int, int]) -> None:
    assert refused(text) == refusal


@pytest.mark.parametrize(
    ("text", "refusal"),
    [
        ("{", ("E102", 1, 2)),
        ('{"a": 1,}', ("E102", 1, 9)),
        ('{"a" 1}', ("E102", 1, 6)),
        ("{a: 1}", ("E102", 1, 2)),
        ("[1 2]", ("E102", 1, 4)),
        ('{"a": NaN}', ("E102", 1, 7)),
        ('{"a": Infinity}', ("E102", 1, 7)),
        ('{"a": 01}', ("E102", 1, 8)),
        ('{"a": .5}', ("E102", 1, 7)),
        ('{"a": "x}', ("E102", 1, 7)),
        ('{"a": "\\ud800"}', ("E101", 1, 7)),
        ('{"a": "\\u001b"}', ("E101", 1, 7)),
        ('{"a": 1} 2', ("E102", 1, 10)),
        ("[" * 80, ("E118", 1, MAX_DEPTH + 1)),
        ("[" + "1," * MAX_VALUES + "1]", ("E117", 1, 2 * MAX_VALUES)),
        ('{"a": ' + "9" * 301 + "}", ("E117", 1, 7)),
        (" " * (MAX_JSON_BYTES + 1), ("E117", 0, 0)),
        ("", ("E102", 0, 0)),
    ],
    ids=lambda value: None if isinstance(value, tuple) else repr(value[:20]),
)
def test_json_that_is_refused(text: str, refusal: tuple[str, int, int]) -> None:
    assert refused(text, json=True) == refusal


def test_twin_keys_do_not_hide_other_errors() -> None:
    assert codes("name: a\nname: b\nlayers:\n  a: Reul\n  a: ReLU\n") == ["E114", "E103", "E114"]
    text = '{"cnnspec": 1, "input": [3, 8, 8], "layers": {"a": "ReLU", "a": "Reul", "b": "Reul"}}'
    assert marked(text, "net.json") == [("E114", '"a"'), ("E103", "Reul")]


def test_a_tab_gets_its_hint() -> None:
    for text in ("layers:\n\t- ReLU\n", "layers:\n  a: ReLU\n\tb: ReLU\n"):
        (diagnostic,) = found(text, head=HEAD)
        assert diagnostic.help == "indent with spaces: YAML takes no tabs"
        assert diagnostic.fix is not None


def test_a_line_of_a_list_in_a_mapping_is_told() -> None:
    (diagnostic,) = found("layers:\n  a: ReLU\n  - ReLU\n", head=HEAD)
    assert diagnostic.help == "in a mapping every line is `name: layer`, in a list every line starts with `- `"


def test_the_place_of_an_open_bracket_is_where_it_was_opened() -> None:
    assert marked("cnnspec: 1\ninput: [3, 8, 8]\nlayers: [ReLU,\n") == [("E102", ",")]
    assert marked("cnnspec: 1\ninput: [3, 8, 8]\nlayers: [ReLU\n") == [("E102", "[")]


@pytest.mark.parametrize("stem", sorted(zoo.bundled()))
def test_every_place_of_the_bundled_specs(stem: str) -> None:
    text = zoo.bundled()[stem].read_text("utf-8")
    for form in (text, format_text(text, long=True)):
        for scalar in scalars(read(form).value):
            assert at(form, scalar, content=True) == scalar.spelling
    as_json = format_text(json.dumps(plain(read(text).value)), path="net.json")
    for scalar in scalars(read(as_json, json=True).value):
        assert at(as_json, scalar, content=True) == json.dumps(scalar.value, ensure_ascii=False).strip('"')
