"""The commands of the page about searches run, in their order, and print what it shows; figures of training apart."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from cnnspec.cli import main
from cnnspec.language.document import SearchSection
from cnnspec.language.figures import FIGURES
from cnnspec.language.search_section import SEARCH_KEYS

TEXT = (Path(__file__).parents[2] / "docs" / "search.md").read_text("utf-8")
BLOCKS = re.findall(r"```console\n\$ cnnspec (.*?)\n(.*?)```", TEXT, re.DOTALL)


def run(command: str, capsys: pytest.CaptureFixture[str]) -> str:
    """What a command prints: messages first, then data."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as end:
        main(shlex.split(command))
    printed = capsys.readouterr()
    assert end.value.code == 0, printed.err
    return (printed.err + printed.out).rstrip("\n")


def shape(command: str, printed: str) -> list[str]:
    """What of a command's output does not depend on how well networks were trained."""
    lines = printed.rstrip("\n").splitlines()
    if "screen" in command:
        return lines
    if "front" in command:
        return [*lines[0].split(), *sorted(re.findall(r"t\d{4}", printed)), *lines[-2:]]
    return [re.sub(r"t\d{4}.*|[\d.,]+%?", "#", line) for line in lines]


def test_every_command_prints_what_the_page_shows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("os.sched_getaffinity", lambda process: {0})  # others test beside us
    (spec,) = re.findall(r"```yaml\n(# net.yaml\n.*?)```", TEXT, re.DOTALL)
    Path("net.yaml").write_text(spec)
    assert [command.split()[1] for command, _ in BLOCKS] == ["screen", "net.yaml", "front", "best"]
    for command, shown in BLOCKS:
        assert shape(command, run(command, capsys)) == shape(command, shown), command
    assert Path("front.png").is_file()
    (shared,) = re.findall(r"```sh\n.*?\ncnnspec (.*?)\n```", TEXT, re.DOTALL)
    assert "6 trials" in run(shared, capsys)  # nothing is left to be done
    (code,) = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
    exec(code, {})


def test_the_page_has_every_key_and_every_figure() -> None:
    rows = re.findall(r"^\| `(.*?) \|", TEXT, re.MULTILINE)
    named = {name for row in rows for name in re.findall(r"[a-z]+", row)}
    assert {*SEARCH_KEYS, *FIGURES} <= named
    defaults = SearchSection()
    for key in ("trials", "cost", "sampler"):
        row = next(line for line in TEXT.splitlines() if line.startswith(f"| `{key}` |"))
        assert str(getattr(defaults, key)) in row.rstrip(" |").rpartition("| ")[2]
