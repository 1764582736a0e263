"""The table of warnings, and the headings of their pages, say what the rules say.

`python tests/docs/test_lint_page.py` writes both anew.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from cnnspec.analysis.lint import CODES, RULES, Rule

DOCS = Path(__file__).parents[2] / "docs"
PAGE = DOCS / "lint.md"
ROWS = re.compile(r"(?:^\| \[W\d+\].*\n)+", re.MULTILINE)


def rows() -> str:
    return "".join(f"| [{rule.code}](codes/{rule.code}.md) | {rule.title} |\n" for rule in RULES)


def test_the_table_is_that_of_the_rules() -> None:
    assert ROWS.findall(PAGE.read_text("utf-8")) == [rows()]


@pytest.mark.parametrize("rule", RULES, ids=CODES)
def test_a_page_has_the_title_of_its_rule(rule: Rule) -> None:
    page = (DOCS / "codes" / f"{rule.code}.md").read_text("utf-8")
    assert page.startswith(f"# {rule.code}: {rule.title}\n\n")


def test_every_page_has_a_rule() -> None:
    assert [path.stem for path in sorted((DOCS / "codes").glob("W*.md"))] == list(CODES)


def write(path: Path, text: str) -> None:
    temporary = path.with_suffix(".new")
    temporary.write_text(text, "utf-8")
    os.replace(temporary, path)


def rewrite() -> None:
    write(PAGE, ROWS.sub(lambda _: rows(), PAGE.read_text("utf-8")))
    for rule in RULES:
        page = DOCS / "codes" / f"{rule.code}.md"
        _, _, text = page.read_text("utf-8").partition("\n")
        write(page, f"# {rule.code}: {rule.title}\n{text}")


if __name__ == "__main__":
    rewrite()
