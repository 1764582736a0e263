"""The page of the training step shows what is printed, up to the last digits, which are the machine's.

`python tests/docs/test_step_page.py` writes the output into the page anew.
"""

from __future__ import annotations

import io
import os
import re
import shlex
from contextlib import chdir, redirect_stdout, suppress
from pathlib import Path

import pytest

from cnnspec.cli import main

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "step.md"
EXAMPLE = re.compile(r"```console\n\$ cnnspec (?P<command>.*?)\n(?P<output>.*?)```", re.DOTALL)
NUMBER = re.compile(r"[−+-]?\d+\.\d+(?:e[−+-]?\d+)?")


def printed(command: str) -> str:
    out = io.StringIO()
    with chdir(ROOT / "examples" / "step"), redirect_stdout(out), suppress(SystemExit):
        main(shlex.split(command))
    return out.getvalue()


def test_the_page_shows_what_is_printed() -> None:
    examples = list(EXAMPLE.finditer(PAGE.read_text("utf-8")))
    assert len(examples) == 2
    for example in examples:
        shown, now = example["output"], printed(example["command"])
        assert re.sub(r" +", " ", NUMBER.sub("#", shown)) == re.sub(r" +", " ", NUMBER.sub("#", now))
        for there, here in zip(NUMBER.findall(shown), NUMBER.findall(now), strict=True):
            numbers = [float(text.replace("−", "-")) for text in (there, here)]
            assert numbers[0] == pytest.approx(numbers[1], rel=2e-3, abs=2e-5)


def rewrite() -> None:
    text = EXAMPLE.sub(
        lambda match: f"```console\n$ cnnspec {match['command']}\n{printed(match['command'])}```",
        PAGE.read_text("utf-8"),
    )
    temporary = PAGE.with_suffix(".new")
    temporary.write_text(text, "utf-8")
    os.replace(temporary, PAGE)


if __name__ == "__main__":
    rewrite()
