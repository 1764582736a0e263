"""Expressions of sizes, made short: they keep their values."""

from __future__ import annotations

import ast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnnspec.codegen.expressions import UnsayableError, value_of
from cnnspec.codegen.sums import simplified
from cnnspec.language.unparse import unparse

SHORT = {
    "64 + (channels - 64) + (80 - 64)": "channels + 16",
    "end + (wide - end) + (out - end)": "wide + out - end",
    "128 + ((192 if (2 if i == 0 else 1) != 1 else c) - 128) + 32": "(192 if i == 0 else c) + 32",
    "192 if 1 != 1 else channels": "channels",
    "8 - c": "8 - c",
    "c - 8 - c": "-8",
    "a - a": "0",
    "2 * (a + 3 - 1) + a": "2 * (a + 2) + a",
}

EXPRESSIONS = st.recursive(
    st.sampled_from(["a", "b", "i", "0", "1", "7"]),
    lambda inner: st.one_of(
        st.builds("({} + {})".format, inner, inner),
        st.builds("({} - {})".format, inner, inner),
        st.builds("({} * {})".format, inner, inner),
        st.builds("({} if {} == {} else {})".format, inner, inner, inner, inner),
        st.builds("({} if {} != 1 else {})".format, inner, inner, inner),
    ),
    max_leaves=12,
)


@pytest.mark.parametrize("text", SHORT)
def test_they_are_as_a_person_would_write_them(text: str) -> None:
    assert unparse(simplified(ast.parse(text, mode="eval").body)) == SHORT[text]


@given(EXPRESSIONS, st.tuples(st.integers(-9, 9), st.integers(-9, 9), st.integers(0, 3)))
def test_they_keep_their_values(text: str, numbers: tuple[int, int, int]) -> None:
    scope = dict(zip("abi", numbers, strict=True))
    short = simplified(ast.parse(text, mode="eval").body)
    assert eval(ast.unparse(short), scope.copy()) == eval(text, scope.copy())


def test_a_name_that_is_not_there_is_told_of_what_was_put_together_too() -> None:
    with pytest.raises(UnsayableError):
        value_of(ast.BinOp(ast.Name("a", ast.Load()), ast.Add(), ast.Name("b", ast.Load())), {"a": 1})
