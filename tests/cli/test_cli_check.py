"""`cnnspec check`: which warnings are asked for."""

from __future__ import annotations

import json
import os
from pathlib import Path
from urllib.parse import unquote_to_bytes
from xml.etree import ElementTree

import pytest
from cli_calls import call
from typer.testing import CliRunner

import cnnspec
from cnnspec.cli.check import app

SPEC = (
    "cnnspec: 1\ninput: [3, 8, 8]\nlayers:\n  - Conv2d(8, 3)\n  - BatchNorm2d\n  - ReLU\n  - ReLU\n  - MaxPool2d(4)\n"
)


@pytest.mark.parametrize(
    ("flags", "codes"),
    [
        ([], ["W301", "W305", "W306"]),
        (["--ignore", "W301,W305"], ["W306"]),
        (["--ignore", "W301", "--ignore", "w306, W305"], []),
        (["--select", "W305,W306"], ["W305", "W306"]),
    ],
)
def test_codes_are_given_by_commas_or_by_flags(flags: list[str], codes: list[str], tmp_path: Path) -> None:
    path = tmp_path / "net.yaml"
    path.write_text(SPEC, "utf-8")
    done = CliRunner().invoke(app, [str(path), *flags])
    assert [code for code in ("W301", "W305", "W306") if f"[{code}]" in done.output] == codes
    assert done.exit_code == 0


def test_another_input_is_checked_in_place_of_the_spec_s_own(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "net.yaml"
    path.write_text(SPEC, "utf-8")
    done = CliRunner().invoke(app, [str(path), "--input", "3x5x5"])
    assert "[E201]" in done.output  # a pool of 4x4 on a map of 3x3
    assert done.exit_code == 3
    assert call("check", path, "--input", "large") == 2
    assert "`large` is no input shape" in capsys.readouterr().err


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Specs, whole and broken, among other files in YAML and JSON."""
    monkeypatch.chdir(tmp_path)
    for name, text in {
        "good.yaml": "cnnspec: 1\ninput: [8]\nlayers: [Linear(4)]\n",
        "nets/warned.yml": SPEC,
        "nets/later.yaml": "name: later\ncnnspec: 2\n",
        "nets/broken.yaml": "cnnspec: 1\nlayers: [\n",
        "nets/net.json": '{"name": "a", "cnnspec": 1, "input": [8], "layers": ["Linear(4)"]}',
        "nets/broken.json": '{"cnnspec": 1,',
        "compose.yaml": "services: {cnnspec: 1}\n",
        "list.yml": "- [\n",
        "report.json": json.dumps(cnnspec.load("mlp").analyze().to_dict()),
        "cnnspec.schema.json": json.dumps(cnnspec.api.json_schema()),
        "readme.md": "cnnspec: 1\n",
        ".hidden/net.yaml": "cnnspec: 1\n",
        "nets/.net.yaml": "cnnspec: 1\n",
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text, "utf-8")
    (tmp_path / "again").symlink_to(tmp_path)
    return tmp_path


SPECS = ["good.yaml", "nets/broken.json", "nets/broken.yaml", "nets/later.yaml", "nets/net.json", "nets/warned.yml"]


def test_a_folder_is_checked_with_all_below_it(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("check", ".", "--format", "json") == 3
    out, err = capsys.readouterr()
    assert [file["path"] for file in json.loads(out)["files"]] == SPECS
    assert err == ".: 4 YAML or JSON files are left out: without the key `cnnspec:`\n"
    assert call("check", "nets", "good.yaml") == 3
    assert "6 files checked: 3 errors, 4 warnings" in capsys.readouterr().out


def test_a_folder_without_a_spec_is_wrong_usage(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "empty").mkdir()
    assert call("check", "empty", "good.yaml") == 2
    out, err = capsys.readouterr()
    assert out == "1 file checked: nothing wrong\n"
    assert err == "error: there is no spec in empty\n"


def test_quiet_prints_findings_and_nothing_else(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("check", "good.yaml", "nets/net.json", "--quiet") == 0
    assert capsys.readouterr() == ("", "")
    assert call("check", ".", "-q") == 3
    out, err = capsys.readouterr()
    assert (out.count("error["), out.count("warning["), err) == (3, 4, "")
    assert "checked" not in out


def test_junit_agrees_with_the_exit_code(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for flags, code, failures in (([], 0, 0), (["--strict"], 3, 4)):
        assert call("check", "nets/warned.yml", "--format", "junit", *flags) == code
        assert ElementTree.fromstring(capsys.readouterr().out).attrib["failures"] == str(failures)


def test_paths_in_sarif_are_uris(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    name = os.fsdecode("a b/100%#?:é".encode() + b"\xe9.yaml")
    (tmp_path / "a b").mkdir()
    (tmp_path / name).write_text(SPEC)
    (run,) = json.loads(CliRunner().invoke(app, [name, "--format", "sarif"]).stdout)["runs"]
    (uri,) = {result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] for result in run["results"]}
    assert uri == "a%20b/100%25%23%3F%3A%C3%A9%E9.yaml"
    assert os.fsencode(name) == unquote_to_bytes(uri)


def test_json_is_text_whatever_the_names_are(tmp_path: Path) -> None:
    path = os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9\x7f.yaml")
    Path(path).write_text(SPEC)
    printed = CliRunner().invoke(app, [path, "--format", "json"]).stdout
    assert printed.isascii()
    (file,) = json.loads(printed)["files"]
    assert file["path"] == f"{tmp_path}/caf\\udce9\x7f.yaml"
    file["path"].encode()  # as a half of a surrogate pair would not let it
