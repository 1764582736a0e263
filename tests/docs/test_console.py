"""What the pages show as output is what the commands print."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from cnnspec.cli import main

ROOT = Path(__file__).parents[2]
PAGES = ("calculator.md", "lint.md")
BLOCKS = [
    (page, command, output)
    for page in PAGES
    for command, output in re.findall(
        r"```console\n\$ (?:cd specs && )?cnnspec (.*?)\n(.*?)```", (ROOT / "docs" / page).read_text("utf-8"), re.DOTALL
    )
]


def test_there_are_examples() -> None:
    assert len(BLOCKS) == 10


@pytest.mark.parametrize(("page", "command", "output"), BLOCKS, ids=[command for _, command, _ in BLOCKS])
def test_the_output_is_that_of_the_page(
    page: str, command: str, output: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT / "specs")
    with pytest.raises(SystemExit) as caught:
        main(shlex.split(command))
    assert caught.value.code == 0
    assert capsys.readouterr().out == output
