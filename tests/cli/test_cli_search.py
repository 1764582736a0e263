"""`cnnspec search` on the command line: which part takes what, and what is told of a wrong call."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cli.cli_calls import call

SPEC = """\
cnnspec: 1
name: small
input: [1, 8, 8]
params: {width: 4}
layers:
  conv: Conv2d(width, 3)
  flatten: Flatten
  fc: Linear(10)
search:
  space: {width: [2, 4, 8]}
  limits: {params: 2k}
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "net.yaml").write_text(SPEC)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("net.yaml", "on which images"),
        ("screen", "takes a spec, and only that"),
        ("front", "takes the name of a search, and only that"),
        ("best a b", "takes the name of a search, and only that"),
        ("net.yaml other.yaml", "is not one spec"),
        ("front nothing", "there is no search nothing"),
        ("front nothing --workers 2", "takes no `--workers`"),
        ("screen net.yaml --data digits", "takes no `--data`"),
        ("net.yaml --data digits --cost macs", "takes no `--cost`"),
        ("front nothing --cost speed", "`--cost speed` is not known"),
        ("best nothing", "where is the spec to be written?"),
        ("best nothing -o a.yaml", "there is no search nothing"),
        ("net.yaml --data digits --name a/b", "is no name for a search"),
        ("net.yaml --data nowhere --name s", "there is no data set and no folder"),
        ("lenet5 --data digits", "has no section `search`"),
        ("net.yaml --data digits --search nothing.yaml", "cannot read nothing.yaml"),
        ("nothing.yaml --data digits", "there is no file nothing.yaml"),
        ("net.yaml --data digits --workers 0", "greater than or equal to 1"),
    ],
)
def test_a_wrong_call_is_told_and_makes_nothing(
    arguments: str, words: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call("search", *arguments.split()) == 2
    said = capsys.readouterr()
    assert words in said.err
    assert not said.out
    assert [path.name for path in folder.iterdir()] == ["net.yaml"]


def test_a_folder_of_something_else_is_left_alone(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "searches" / "small").mkdir(parents=True)
    (folder / "searches" / "small" / "diary.txt").write_text("dear")
    assert call("search", "net.yaml", "--data", "digits") == 2
    assert "exists, and is no search" in capsys.readouterr().err


def test_a_screen_as_json_has_every_candidate(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("search", "screen", "net.yaml", "--format", "json") == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["space"], document["looked_at"], document["valid"], document["within_limits"]) == (3, 3, 3, 2)
    widths = [(each["values"]["width"], each["violations"]) for each in document["candidates"]]
    assert widths == [(2, []), (4, []), (8, ["params"])]


def test_a_screen_as_text_says_what_binds(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("search", "screen", "net.yaml") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "small: the space is 3 candidates; looked at all of them"
    assert "  valid          3 (100%)" in lines
    assert any(line.startswith("params ") for line in lines)


def test_a_setting_and_a_section_of_its_own_are_taken(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "own.json").write_text(json.dumps({"space": {"width": {"int": [1, 5]}}, "limits": {"params": "10"}}))
    assert call("search", "screen", "net.yaml", "--search", "own.json", "--input", "1x10x10") == 0
    said = capsys.readouterr().out
    assert "looked at all of them" in said
    assert "nothing fits; the nearest is width=1" in said
    (folder / "own.json").write_text('{"space": {"widht": [1]}}')
    assert call("search", "screen", "net.yaml", "--search", "own.json") == 3
    assert "own.json:1:12" in capsys.readouterr().err
