"""The page of the commonest mistakes shows what the program prints.

`python tests/docs/test_errors_page.py` writes the output into the page anew.
"""

from __future__ import annotations

import io
import os
import re
import tempfile
from contextlib import chdir
from pathlib import Path

from cnnspec.api import check
from cnnspec.cli.render.diagnostics import FORMS, Listing

PAGE = Path(__file__).parents[2] / "docs" / "errors.md"
EXAMPLE = re.compile(r"```yaml\n(?P<spec>.*?)```\n(?:\n```text\n(?P<output>.*?)```\n)?", re.DOTALL)


def printed(spec: str) -> str:
    """What `cnnspec check net.yaml` prints."""
    with tempfile.TemporaryDirectory() as folder, chdir(folder):
        Path("net.yaml").write_text(spec, "utf-8")
        return FORMS["text"](Listing([check("net.yaml")], io.StringIO())) + "\n"


def test_ten_examples_with_what_is_printed() -> None:
    examples = list(EXAMPLE.finditer(PAGE.read_text("utf-8")))
    assert len(examples) == 10
    for example in examples:
        assert example["output"] == printed(example["spec"])
        assert "error[" in example["output"]


def rewrite() -> None:
    text = EXAMPLE.sub(
        lambda match: f"```yaml\n{match['spec']}```\n\n```text\n{printed(match['spec'])}```\n", PAGE.read_text("utf-8")
    )
    temporary = PAGE.with_suffix(".new")
    temporary.write_text(text, "utf-8")
    os.replace(temporary, PAGE)


if __name__ == "__main__":
    rewrite()
