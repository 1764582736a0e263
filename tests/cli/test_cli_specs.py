"""The verbs about specs: what they take, and what they say of what they cannot take."""

from __future__ import annotations

import io
import json
from pathlib import Path
from types import SimpleNamespace

import pytest

import cnnspec
from cnnspec.cli import main
from cnnspec.cli.common import parse_bytes
from cnnspec.errors import UsageError

Capture = pytest.CaptureFixture[str]

SPEC = "cnnspec: 1\nname: net\ninput: [3, 8, 8]\nlayers:\n  - Conv2d(8, 3)\n  - BatchNorm2d\n  - ReLU\n  - ReLU\n"


def call(*arguments: str | Path) -> int:
    """The exit code of a command."""
    with pytest.raises(SystemExit) as end:
        main([str(argument) for argument in arguments])
    return int(end.value.code or 0)


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
