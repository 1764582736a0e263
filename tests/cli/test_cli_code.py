"""`cnnspec code`: what it prints and writes, and what it refuses."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from cli_calls import call

import cnnspec
from cnnspec.codegen import Written
from cnnspec.errors import VerificationError

Capture = pytest.CaptureFixture[str]
PAGE = (Path(__file__).parents[2] / "docs" / "code.md").read_text("utf-8")


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_a_file_that_is_there_is_kept_unless_it_is_forced(tmp_path: Path, capsys: Capture) -> None:
    path = tmp_path / "net.py"
    assert call("code", "lenet5", "-o", path) == 0
    assert "equal bit for bit" in capsys.readouterr().out
    first = path.read_text("utf-8")
    assert call("code", "mlp", "-o", path) == 2
    assert "--force" in capsys.readouterr().err
    assert path.read_text("utf-8") == first
    assert call("code", "mlp", "-o", path, "--force", "--no-verify") == 0
    assert "NOT compared" in capsys.readouterr().err
    assert "class Mlp(" in path.read_text("utf-8")
    assert call("code", "mlp", "-o", "net.yaml") == 2
    assert call("code", "mlp", "-o", "none/net.py") == 2
    assert [each.name for each in tmp_path.iterdir()] == ["net.py"]


def test_without_a_file_the_source_alone_goes_to_stdout(capfd: pytest.CaptureFixture[str]) -> None:
    assert call("code", "resnet20", "--variant", "resnet32", "--set", "num_classes=7") == 0
    printed = capfd.readouterr()
    assert (
        printed.out == cnnspec.load("resnet20", variant="resnet32", params={"num_classes": 7}).code(verify=False).text
    )
    assert "n = 5\nnum_classes = 7\n" in printed.out
    assert "equal bit for bit" in printed.err


def test_source_that_is_not_the_network_is_not_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    for wrong in (
        lambda text: text.replace("nn.Tanh", "nn.Sigmoid", 1),
        lambda text: text.replace("Conv2d(6, 16, 5)", "Conv2d(6, 16, 5, bias=False)"),
        lambda text: text.replace("self.C1 =", "self.c1 ="),
        lambda text: text + "\nraise ValueError\n",
    ):
        monkeypatch.setattr("cnnspec.codegen.write_code", lambda network, wrong=wrong: iter([_wrong(network, wrong)]))
        assert call("code", "lenet5", "-o", "net.py") == 4
        assert "the source is not the network" in capsys.readouterr().err
        assert list(tmp_path.iterdir()) == []
    with pytest.raises(VerificationError):
        cnnspec.code("lenet5")


def _wrong(network: cnnspec.Spec, change: object) -> Written:
    from cnnspec.codegen.write import spec_source

    written = spec_source(network)
    assert callable(change)
    changed = change(written.text)
    assert changed != written.text
    return written._replace(text=changed)


def test_without_torch_it_is_written_and_said_not_to_be_compared(tmp_path: Path) -> None:
    code = "import sys; sys.modules['torch'] = None; from cnnspec.cli import main; main()"
    command = [sys.executable, "-c", code, "code", "lenet5", "-o", "net.py"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "NOT compared with cnnspec's own build (torch is not installed" in done.stderr
    assert (tmp_path / "net.py").is_file()


def test_the_page_shows_what_is_printed(tmp_path: Path, capsys: Capture) -> None:
    (shown,) = re.findall(r"```console\n\$ cnnspec (.*)\n((?:.*\n)+?)```", PAGE)
    assert call(*shown[0].split()) == 0
    assert capsys.readouterr().out == shown[1]
    written = (tmp_path / "resnet20.py").read_text("utf-8")
    snippet, python = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    assert all(line.strip() == "..." or line in written for line in snippet.splitlines())
    exec(python, {})
    assert "resnet20: 3x32x32 to 10." in capsys.readouterr().out
