"""The page of the operators, and `cnnspec explain`, say what their classes say.

`python tests/docs/test_operators_page.py` writes the page anew, below its introduction.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from cnnspec.cli import main
from cnnspec.ops import operators
from cnnspec.ops.describe import describe, families, siblings, summary

PAGE = Path(__file__).parents[2] / "docs" / "operators.md"


def generated() -> str:
    """The part of the page that follows from the classes."""
    parts = []
    for about, ops in families().items():
        parts.append(f"## {about}\n")
        for op in ops:
            names = siblings(op)
            parts.append("##" + describe(names[len(names) // 2]))  # the sibling for images
    return "\n".join(parts)


def introduction() -> str:
    return PAGE.read_text("utf-8").partition("\n## ")[0].rstrip("\n") + "\n\n"


def test_the_page_is_what_the_classes_say() -> None:
    assert PAGE.read_text("utf-8") == introduction() + generated()


def test_every_operator_is_on_the_page() -> None:
    headings = re.findall(r"^### (.*)$", PAGE.read_text("utf-8"), re.MULTILINE)
    assert sorted(name for heading in headings for name in heading.split(", ")) == sorted(operators())


def test_explain_prints_a_layer_and_lists_all(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in (["explain", "conv2d"], ["explain"]):
        with pytest.raises(SystemExit) as caught:
            main(arguments)
        assert caught.value.code == 0
    printed = capsys.readouterr().out
    assert printed.startswith(describe("Conv2d"))
    assert "\nW301  border pixels are dropped\n" in printed
    for ops in families().values():
        for op in ops:
            assert f"  {siblings(op)[0]}" in printed
            assert f"  {summary(op)}\n" in printed


@pytest.mark.parametrize(
    ("word", "words"), [("dense", "did you mean `Linear`?"), ("E999", "lists all codes, layers and figures")]
)
def test_explain_helps_where_there_is_no_such_thing(word: str, words: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["explain", word])
    assert caught.value.code == 2
    assert words in capsys.readouterr().err


def rewrite() -> None:
    temporary = PAGE.with_suffix(".new")
    temporary.write_text(introduction() + generated(), "utf-8")
    os.replace(temporary, PAGE)


if __name__ == "__main__":
    rewrite()
