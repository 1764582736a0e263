"""Expressions and lines: what they mean, what is refused, and where the fault is."""

from __future__ import annotations

import ast
import random
import warnings
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cnnspec.language.evaluate import evaluate
from cnnspec.language.expression import ExpressionError, parse_expression, parse_line, weight
from cnnspec.language.functions import FUNCTIONS, make_divisible
from cnnspec.language.results import LayerName

DOCS = Path(__file__).parents[2] / "docs"
SCOPE: dict[str, Any] = {
    "n": 3,
    "w": 1.5,
    "flag": True,
    "none": None,
    "depths": [3, 4, 6, 3],
    "pair": (1, 2),
    "act": LayerName("ReLU"),
    "nested": [[1, 16], [6, 24]],
    "long": [0] * 500,
}


def value(text: str) -> Any:
    return evaluate(parse_expression(text), SCOPE)


def fault(text: str) -> tuple[str, str]:
    """The message, and the part of the text that it is about."""
    with pytest.raises(ExpressionError) as caught:
        value(text)
    error = caught.value
    return error.message, text[error.offset : error.offset + error.length]


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("n * 4 + 2", 14),
        ("-n", -3),
        ("+n", 3),
        ("7 // 2", 3),
        ("7 % 4", 3),
        ("7 / 2", 3.5),
        ("-7 // 2", -4),
        ("1e-6", 1e-6),
        ("24.0", 24.0),
        ("not flag", False),
        ("n > 2 and n < 5", True),
        ("1 < n < 3", False),
        ("n == 3 or undefined", True),
        ("2 if flag else undefined", 2),
        ("depths[0]", 3),
        ("depths[-1]", 3),
        ("depths[1:3]", [4, 6]),
        ("depths[::2]", [3, 6]),
        ("nested[1][0]", 6),
        ("pair[1]", 2),
        ("[n, n + 1]", [3, 4]),
        ("(n, 1)", (3, 1)),
        ("depths + [1]", [3, 4, 6, 3, 1]),
        ("len(depths)", 4),
        ("sum(depths)", 16),
        ("sum(depths[:n])", 13),
        ("min(n, 2)", 2),
        ("max(depths)", 6),
        ("round(2.5)", 2),
        ("round(24.4)", 24),
        ("round(1.255, 1)", 1.3),
        ("ceil(w)", 2),
        ("floor(w)", 1),
        ("int(w)", 1),
        ("make_divisible(33)", 32),
        ("make_divisible(33, min=40)", 40),
        ("make_divisible(30, 4)", 32),
        ("act == none", False),
        ("none == None", True),
        ("None", None),
        (" n", 3),
        ("(n)", 3),
    ],
)
def test_values(text: str, result: object) -> None:
    got = value(text)
    assert got == result
    assert type(got) is type(result)


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("1 + undefined", "undefined"),
        ("  1 + (undefined)", "undefined"),
        ("n.real", "n.real"),
        ("n ** 2", "n ** 2"),
        ("2 ** 2 ** 99", "2 ** 2 ** 99"),
        ("'a'", "'a'"),
        ("f'{n}'", "f'{n}'"),
        ("b'a'", "b'a'"),
        ("1j", "1j"),
        ("...", "..."),
        ("open(n)", "open(n)"),
        ("__import__(n)", "__import__(n)"),
        ("min.__class__(1)", "min.__class__(1)"),
        ("(lambda: 1)()", "(lambda: 1)()"),
        ("lambda: 1", "lambda: 1"),
        ("[x for x in depths]", "[x for x in depths]"),
        ("{1: 2}", "{1: 2}"),
        ("{1}", "{1}"),
        ("n in depths", "n in depths"),
        ("n is None", "n is None"),
        ("~n", "~n"),
        ("n << 2", "n << 2"),
        ("n | 1", "n | 1"),
        ("n @ n", "n @ n"),
        ("(n := 2)", "n := 2"),
        ("min(*depths)", "*depths"),
        ("min(**depths)", "**depths"),
        ("max(depths, key=len)", "key=len"),
        ("int(n, base=2)", "base=2"),
        ("sum(depths, start=n)", "start=n"),
        ("make_divisible(n, x=2)", "x=2"),
        ("1 + depths", "1 + depths"),
        ("depths * 2", "depths * 2"),
        ("flag + 1", "flag + 1"),
        ("1 + -flag", "-flag"),
        ("act + 1", "act + 1"),
        ("depths < 2", "depths < 2"),
        ("none < 2", "none < 2"),
        ("n[0]", "n[0]"),
        ("depths[4]", "depths[4]"),
        ("depths[w]", "depths[w]"),
        ("depths[::0]", "depths[::0]"),
        ("n / 0", "n / 0"),
        ("1 + n % 0", "n % 0"),
        ("n // 0.0", "n // 0.0"),
        ("1e308 * 10", "1e308"),
        ("9223372036854775807 * 3", "9223372036854775807 * 3"),
        ("99999999999999999999", "99999999999999999999"),
        ("1e999", "1e999"),
        ("1e18 * 1e18", "1e18 * 1e18"),
        ("long + long", "long + long"),
        ("[long, long]", "[long, long]"),
        ("[[[[[[[[[1]]]]]]]]]", "[[[[[[[[[1]]]]]]]]]"),
        ("round(1, -1000000000)", "round(1, -1000000000)"),
        ("round(depths)", "round(depths)"),
        ("sum(nested)", "sum(nested)"),
        ("sum(n)", "sum(n)"),
        ("len(n)", "len(n)"),
        ("min()", "min()"),
        ("max([])", "max([])"),
        ("ceil(none)", "ceil(none)"),
        ("int(1, 2)", "int(1, 2)"),
        ("make_divisible(n, 0)", "make_divisible(n, 0)"),
        ("make_divisible(n, 0.5)", "make_divisible(n, 0.5)"),
        ("ceil(1e308 / 1e-9)", "1e308"),
        ("", ""),
        ("1 +", "1"),
        ("n n", "n"),
        ("(1", "("),
        ("n; n", ";"),
        ("n = 2", "="),
        ("import os", "i"),
        ("\u0441onv", "\u0441"),
        ("n\u200b", "\u200b"),
        ("n\n+1", "\n"),
        ("n # note", "#"),
    ],
)
def test_faults_and_their_place(text: str, part: str) -> None:
    message, marked = fault(text)
    assert marked == part or (part and marked and marked in part), message


def test_limits() -> None:
    assert "too long" in fault("1" + "+1" * 500)[0]
    assert "brackets" in fault("(" * 25 + "1" + ")" * 25)[0]
    assert "deeply" in fault("-" * 300 + "1")[0]
    assert "deeply" in fault("not " * 200 + "flag")[0]
    assert "deeply" in fault("+".join("1" * 60))[0]
    assert "deeply" in fault("1 if n else " * 60 + "1")[0]


def test_the_pages_name_every_function() -> None:
    names = " ".join(FUNCTIONS)
    assert f"`{names}`" in (DOCS / "codes" / "E110.md").read_text("utf-8")
    assert f"`{names}(" in (DOCS / "language.md").read_text("utf-8")


def test_a_list_of_a_list_of_a_list_stays_small() -> None:
    scope: dict[str, Any] = {"a": [1, 2, 3]}
    tree = parse_expression("[a, a, a, a, a, a, a, a, a, a]")
    for _ in range(2):
        scope["a"] = evaluate(tree, scope)
    with pytest.raises(ExpressionError, match="too long"):
        evaluate(tree, scope)


@given(st.integers(1, 4000), st.integers(1, 64))
def test_make_divisible_keeps_its_promises(v: int, d: int) -> None:
    got = make_divisible(v, d)
    assert got % d == 0
    assert got >= 0.9 * v
    assert abs(got - v) <= d


@pytest.mark.parametrize(("v", "got"), [(32 * 0.25, 8), (24 * 1.4, 32), (17.6, 16), (12, 16), (11, 16), (100, 104)])
def test_make_divisible_as_mobilenet_has_it(v: float, got: int) -> None:
    assert make_divisible(v) == got  # worked by hand from Sandler et al. 2018's reference rule


WORDS = "n w 1 2.5 ( ) [ ] + - * / // % , depths len min == < act none : None ** . x"
PARTS = st.sampled_from([*WORDS.split(), " if ", " else ", " and ", " not "])


@settings(max_examples=400, deadline=None)
@given(st.one_of(st.text(max_size=40), st.lists(PARTS, max_size=14).map("".join)))
def test_nothing_but_an_expression_error_escapes(text: str) -> None:
    for parse in (parse_line, lambda t: evaluate(parse_expression(t), SCOPE)):
        fault = None
        try:
            parse(text)
        except ExpressionError as error:
            fault = error
        assert fault is None or (0 <= fault.offset <= len(text) and fault.length >= 1)


def test_python_agrees_where_both_speak() -> None:
    for text in ("n * 4 - 2 // 3", "depths[1:][0] + 2 % 3", "(1 if n > 2 else 5) * 2", "not n == 3 or n"):
        names = {name: SCOPE[name] for name in ("n", "depths")}
        assert value(text) == _python(ast.parse(text, mode="eval").body, names)


def _python(node: ast.expr, names: dict[str, Any]) -> Any:
    code = compile(ast.fix_missing_locations(ast.Expression(node)), "test", "eval")
    return eval(code, {"__builtins__": {}}, names)  # the reference, on texts of this file


def test_weight_counts_what_may_walk_a_list() -> None:
    assert weight(parse_expression("n")) == 1
    assert weight(parse_expression("sum(depths)")) > 100 < weight(parse_expression("depths == pair"))


# Lines


@pytest.mark.parametrize(
    ("text", "target", "args", "reads", "repeat", "when"),
    [
        ("ReLU", "ReLU", [], None, None, None),
        ("ReLU()", "ReLU", [], None, None, None),
        ("Conv2d(6, kernel_size=5)", "Conv2d", [(None, "6"), ("kernel_size", "5")], None, None, None),
        ("Stage(64) * 3", "Stage", [(None, "64")], None, "3", None),
        ("Stage * n", "Stage", [], None, "n", None),
        ("Stage(64) * (2 * n)", "Stage", [(None, "64")], None, "2 * n", None),
        ("P(out)(input) if stride != 1", "P", [(None, "out")], ["input"], None, "stride != 1"),
        ("Up(8)(a, b) * 2 if i == 0 or j", "Up", [(None, "8")], ["a", "b"], "2", "i == 0 or j"),
        ("C(2 if x else 1)", "C", [(None, "2 if x else 1")], None, None, None),
        ("C(2) * (2 if x else 1) if y", "C", [(None, "2")], None, "2 if x else 1", "y"),
        ("  ReLU  ", "ReLU", [], None, None, None),
        ("X()()", "X", [], [], None, None),
    ],
)
def test_lines(
    text: str,
    target: str,
    args: list[tuple[str | None, str]],
    reads: list[str] | None,
    repeat: str | None,
    when: str | None,
) -> None:
    line = parse_line(text)
    assert line.target == target
    assert [(arg.name, ast.unparse(arg.value)) for arg in line.args] == args
    assert (None if line.reads is None else [name for name, _ in line.reads]) == reads
    assert (line.repeat and ast.unparse(line.repeat)) == repeat
    assert (line.when and ast.unparse(line.when)) == when


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("Conv2d(6, 5", "("),
        ("Conv2d(6, 5))", ")"),
        ("Conv2d(6) * 2 * 3", "Conv2d(6) * 2 * 3"),
        ("2 * Conv2d(6)", "2 * Conv2d(6)"),
        ("nn.Conv2d(6)", "nn.Conv2d(6)"),
        ("ReLU if", "if"),
        ("ReLU if x else Tanh", "else"),
        ("ReLU(a)(b)(c)", "ReLU(a)(b)(c)"),
        ("ReLU(a)(b.c)", "b.c"),
        ("ReLU(a)(2)", "2"),
        ("ReLU(a)(x=b)", "x=b"),
        ("ReLU(**k)", "**k"),
        ("ReLU(*k)", "*k"),
        ("Conv2d(open('x'))", "open('x')"),
        ("Conv2d(x if 'a' else 2)", "'a'"),
        ("ReLU + Tanh", "ReLU + Tanh"),
        ("3", "3"),
        ("'ReLU'", "'ReLU'"),
        ("a b", "b"),
        ("Conv2d(6, 5) -> x", "-"),
    ],
)
def test_lines_that_are_refused(text: str, part: str) -> None:
    with pytest.raises(ExpressionError) as caught:
        parse_line(text)
    error = caught.value
    marked = text[error.offset : error.offset + error.length]
    assert marked, error.message
    assert marked in part or part in marked, (error.message, marked)


PIECES = (
    *("1", "0x", "0xf", "1.", "1e5", "1.e5", "1_0", ".5", "0b1", "n", " ", "(", ")", ",", "-", "'", '"', "\\", "\\d"),
    *("if", "else", "and", "or", "in", "is", "not", "for"),
)


def test_no_text_makes_python_warn() -> None:
    """To silence a warning changes a list of the whole process, which threads would leave in any state."""
    draw = random.Random(0)
    texts = ["".join(draw.choices(PIECES, k=draw.randint(2, 7))) for _ in range(8000)]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for parse in (parse_expression.__wrapped__, parse_line.__wrapped__):
            for text in (*texts, "1if n", "0xfor n", "1.5and n", "1.e5in n", "1e-5if n"):
                with suppress(ExpressionError):
                    parse(text)
    assert not caught


def test_a_number_that_touches_a_word() -> None:
    assert fault("1if flag else 2") == ("a blank is missing before `if`", "if")
    assert value("2 if flag else 1") == 2
