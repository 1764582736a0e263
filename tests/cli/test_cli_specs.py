"""The verbs about specs: what they take, and what they say of what they cannot take."""

from __future__ import annotations

import io
import json
from pathlib import Path
from types import SimpleNamespace

import pytest
from cli_calls import call

import cnnspec
from cnnspec.cli.common import parse_bytes
from cnnspec.errors import UsageError

Capture = pytest.CaptureFixture[str]

SPEC = "cnnspec: 1\nname: net\ninput: [3, 8, 8]\nlayers:\n  - Conv2d(8, 3)\n  - BatchNorm2d\n  - ReLU\n  - ReLU\n"


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    path = tmp_path / "net.yaml"
    path.write_text(SPEC, "utf-8")
    return path


def test_check_takes_codes_with_commas(spec: Path, capsys: Capture) -> None:
    assert call("check", spec, "--ignore", "W305,W306", "--strict") == 0
    assert call("check", spec, "--ignore", "W305, w306", "--ignore", "W301", "--strict") == 0
    assert call("check", spec, "--select", "W306,W307", "--format", "json") == 0
    printed = capsys.readouterr().out.partition('{\n "cnnspec"')
    (file,) = json.loads("".join(printed[1:]))["files"]
    assert [finding["code"] for finding in file["findings"]] == ["W306"]
    assert call("check", spec, "--ignore", "W305,W399") == 2
    assert "no rule `W399`" in capsys.readouterr().err


def piped(data: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put a text on stdin."""
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(data.encode())))


@pytest.mark.parametrize("text", [SPEC, json.dumps(cnnspec.loads(SPEC).source.plain())])
def test_a_spec_comes_from_stdin(text: str, monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    piped(text, monkeypatch)
    assert call("check", "-", "--strict") == 3
    assert "--> -:" in capsys.readouterr().out
    piped(text, monkeypatch)
    assert call("inspect", "-", "--format", "json") == 0
    assert json.loads(capsys.readouterr().out)["name"] == "net"


def test_fmt_goes_from_stdin_to_stdout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    monkeypatch.chdir(tmp_path)
    for text in (SPEC, SPEC.replace("(8, 3)", "( 8,3 )")):
        piped(text, monkeypatch)
        assert call("fmt", "-") == 0
        assert capsys.readouterr().out == SPEC
    piped(text, monkeypatch)
    assert call("fmt", "--check", "-") == 1
    assert capsys.readouterr().out == "would change -\n"
    assert not list(tmp_path.iterdir())


def test_a_missing_file_keeps_no_other_from_being_checked(spec: Path, capsys: Capture) -> None:
    missing = spec.with_name("nett.yaml")
    assert call("check", missing, spec, "--format", "json") == 2
    printed = capsys.readouterr()
    assert [Path(file["path"]) for file in json.loads(printed.out)["files"]] == [spec]
    assert printed.err == f"error: there is no file {missing}\n  help: did you mean `net.yaml`?\n"
    assert call("check", spec, spec, "--ignore", "W399") == 2
    assert capsys.readouterr().err.count("no rule `W399`") == 1


def test_what_is_no_spec_names_the_way(spec: Path, capsys: Capture) -> None:
    run = spec.parent / "runs" / "a"
    run.mkdir(parents=True)
    assert call("inspect", run) == 2
    assert "name a .yaml or .json file" in capsys.readouterr().err
    spec.rename(run / "spec.yaml")
    assert call("inspect", run) == 2
    assert f"name its spec: {run / 'spec.yaml'}" in capsys.readouterr().err
    exported = run / "net.onnx"
    exported.write_bytes(b"\x08\x08")
    assert call("fmt", exported) == 2
    assert f"`cnnspec verify {exported}`" in capsys.readouterr().err
    for verb in ("inspect", "check"):  # they read ONNX files, and this is none
        assert call(verb, exported) == 1
        assert str(exported) in capsys.readouterr().err


@pytest.mark.parametrize(("value", "layer"), [("false", "Tanh"), ("False", "Tanh"), ("true", "ReLU")])
def test_set_takes_truth_as_yaml_writes_it(value: str, layer: str, tmp_path: Path, capsys: Capture) -> None:
    path = tmp_path / "net.yaml"
    path.write_text(
        "cnnspec: 1\ninput: 8\nparams: {on: true, width: 3}\nlayers: [ReLU if on, Tanh if not on]\n", "utf-8"
    )
    assert call("inspect", path, "--set", f"on={value}", "--format", "json") == 0
    assert json.loads(capsys.readouterr().out)["layers"][0]["op"] == layer
    assert call("inspect", path, "--set", "width=abc") == 2
    assert "help: a value is a number" in capsys.readouterr().err
    assert call("inspect", path, "--set", "width=reLU") == 2
    assert "help: did you mean `ReLU`?" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "size"),
    [("8GiB", 2**33), ("8G", 2**33), ("8 gb", 8 * 10**9), ("1.5k", 1536), ("500MB", 5 * 10**8), ("7b", 7)],
)
def test_sizes_of_memory(text: str, size: int) -> None:
    assert parse_bytes(text) == size


@pytest.mark.parametrize("text", ["8", "8XB", "8iB", "G"])
def test_what_is_no_size_of_memory(text: str) -> None:
    with pytest.raises(UsageError, match="no size of memory"):
        parse_bytes(text)


def test_init_names_the_folder_that_is_missing(tmp_path: Path, capsys: Capture) -> None:
    assert call("init", tmp_path / "sub" / "net.yaml") == 2
    assert capsys.readouterr().err == f"error: there is no folder {tmp_path / 'sub'}\n"
    assert not list(tmp_path.iterdir())
