"""A space too few or too many is named as such, in the right line."""

from __future__ import annotations

import pytest

import cnnspec
from cnnspec.errors import Diagnostic, SpecError

HEAD = "cnnspec: 1\ninput: [3, 32, 32]\nlayers:\n"


def errors(body: str) -> tuple[Diagnostic, ...]:
    with pytest.raises(SpecError) as caught:
        cnnspec.loads(HEAD + body)
    return tuple(caught.value.diagnostics)


@pytest.mark.parametrize(
    ("body", "line", "column", "message", "help"),
    [
        ("  - Conv2d(16, 3)\n  -ReLU\n", 5, 4, "missing after `-`", "- ReLU"),
        ("  - Conv2d(16, 3)\n  -ReLU\n  - ReLU\n", 5, 4, "missing after `-`", "- ReLU"),
        ("  -Conv2d(16, 3)\n  - ReLU\n", 4, 4, "missing after `-`", "- Conv2d(16, 3)"),
        ("  conv: ReLU\n  relu:ReLU\n", 5, 8, "missing after `relu:`", "relu: ReLU"),
        ("  conv: ReLU\n  relu:ReLU\n  fc: Flatten\n", 5, 8, "missing after `relu:`", "relu: ReLU"),
        ("  conv:Conv2d(16, 5)\n  relu: ReLU\n", 4, 8, "missing after `conv:`", "conv: Conv2d(16, 5)"),
        ("  conv:Conv2d(16, 5)\n", 4, 8, "missing after `conv:`", "conv: Conv2d(16, 5)"),
        ("  - conv:Conv2d(16, 5)\n", 4, 10, "missing after `conv:`", "conv: Conv2d(16, 5)"),
        ("  - Conv2d(16, 3)\n   - ReLU\n", 5, 4, "indented further than `Conv2d(16, 3)`", "the same indentation"),
        ("- Conv2d(16, 3)\n - ReLU\n- ReLU\n", 5, 2, "indented further than `Conv2d(16, 3)`", "the same indentation"),
        ("  - Conv2d(16, 3)\n - ReLU\n", 5, 2, "indented by 1, and the one above by 2", "the same column"),
        ("  conv: Conv2d(16, 3)\n   relu: ReLU\n", 5, 4, "indented by 3, and the one above by 2", "the same column"),
        ("  conv: Conv2d(16, 3)\n relu: ReLU\n", 5, 2, "indented by 1, and the one above by 2", "the same column"),
    ],
)
def test_one_space_too_few_or_too_many(body: str, line: int, column: int, message: str, help: str) -> None:
    (found,) = errors(body)
    assert message in found.message
    assert help in str(found.help)
    assert found.place is not None
    assert (found.place.line, found.place.column) == (line, column)


def test_every_line_without_its_space_is_told() -> None:
    found = errors("  conv:Conv2d(16, 5)\n  relu:ReLU\n")
    assert [(one.place.line, one.help) for one in found if one.place] == [
        (4, "write `conv: Conv2d(16, 5)`"), (5, "write `relu: ReLU`")
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("key", "tight", "spaced"), [("train", "lr:0.1", "lr: 0.1"), ("params", "out:int", "out: int")]
)
def test_a_single_setting_without_its_space_is_told(key: str, tight: str, spaced: str) -> None:
    found = errors(f"  - Flatten\n{key}:\n  {tight}\n")
    assert [one.help for one in found] == [f"write `{spaced}`, with a space"]


def test_the_first_line_without_its_space_is_told() -> None:
    with pytest.raises(SpecError) as caught:
        cnnspec.loads(HEAD.replace("cnnspec: 1", "cnnspec:1") + "  - ReLU\n")
    (found,) = caught.value.diagnostics
    assert (found.message, found.help) == ("a space is missing after `cnnspec:`", "write `cnnspec: 1`")
    assert found.place is not None
    assert (found.place.line, found.place.column) == (1, 9)


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ("  - Conv2d(16,\n      Kernel)\n", "`Kernel` is not defined"),  # a line that was cut on purpose
        ("  - Conv2d(16 3)\n", "no expression"),
        ("  a: Conv2d(16, 3): b\n", "mapping values are not allowed"),
    ],
)
def test_other_faults_are_told_as_what_they_are(body: str, says: str) -> None:
    assert says in errors(body)[0].message
