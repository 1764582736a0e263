"""`fmt` and `init` on the files that there are: what is theirs is kept, and nothing is lost."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from cli_calls import call

from cnnspec import files
from cnnspec.api import format_text

Capture = pytest.CaptureFixture[str]

MESSY = "cnnspec: 1\ninput: [3, 8, 8]\nlayers:\n  -   Conv2d( 8,3 ) # ö\n"
TIDY = format_text(MESSY)


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    path = tmp_path / "net.yaml"
    path.write_text(MESSY, "utf-8")
    return path


def names(path: Path) -> list[str]:
    """What is in the folder of a file."""
    return sorted(other.name for other in path.parent.iterdir())


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o755, 0o666])
def test_fmt_keeps_the_mode(mode: int, spec: Path) -> None:
    spec.chmod(mode)
    before = spec.stat()
    os.utime(spec, (1, 1))
    assert call("fmt", spec) == 0
    assert spec.read_text("utf-8") == TIDY
    after = spec.stat()
    assert after.st_mode == before.st_mode
    assert (after.st_uid, after.st_gid) == (before.st_uid, before.st_gid)
    assert after.st_mtime > 1
    assert names(spec) == ["net.yaml"]


def test_fmt_refuses_a_read_only_file_and_says_nothing_else(spec: Path, capsys: Capture) -> None:
    spec.chmod(0o444)
    assert call("fmt", spec) == 1
    out, err = capsys.readouterr()
    assert (out, err.splitlines()[0]) == ("", f"error: cannot write {spec}: it is read-only")
    assert (spec.read_text("utf-8"), names(spec)) == (MESSY, ["net.yaml"])
    assert call("fmt", "--check", spec) == 1
    assert capsys.readouterr().out == f"would change {spec}\n"


def test_fmt_writes_through_links(spec: Path) -> None:
    (spec.parent / "links").mkdir()
    link = spec.parent / "links" / "link.yaml"
    link.symlink_to("../second.yaml")
    (spec.parent / "second.yaml").symlink_to("net.yaml")
    assert call("fmt", link) == 0
    assert link.is_symlink()
    assert (spec.parent / "second.yaml").is_symlink()
    assert spec.read_text("utf-8") == TIDY
    assert names(link) == ["link.yaml"]


def test_fmt_keeps_hard_links(spec: Path) -> None:
    other = spec.parent / "other.yaml"
    other.hardlink_to(spec)
    assert call("fmt", spec) == 0
    assert other.samefile(spec)
    assert other.read_text("utf-8") == TIDY
    assert names(spec) == ["net.yaml", "other.yaml"]


def test_a_file_of_another_owner_keeps_its_place(spec: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "_can_be_given", lambda status: False)
    before = spec.stat()
    assert call("fmt", spec) == 0
    assert spec.read_text("utf-8") == TIDY
    assert (spec.stat().st_ino, spec.stat().st_mode, names(spec)) == (before.st_ino, before.st_mode, ["net.yaml"])


def test_a_hard_link_has_its_old_content_after_an_error(
    spec: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    (spec.parent / "other.yaml").hardlink_to(spec)
    fill, torn = files._fill, []

    def full(file: object, data: bytes) -> None:
        fill(file, data[:20])  # type: ignore[arg-type]
        if not torn:
            torn.append(names(spec))
            raise OSError(28, "No space left on device")
        fill(file, data)  # type: ignore[arg-type]

    monkeypatch.setattr(files, "_fill", full)
    assert call("fmt", spec) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert "No space left on device" in err
    assert spec.read_text("utf-8") == MESSY
    assert names(spec) == ["net.yaml", "other.yaml"]
    assert len(torn[0]) == 3, "the old content is beside it meanwhile"


def test_fmt_keeps_line_ends_and_the_mark_of_utf_8(spec: Path) -> None:
    spec.write_bytes(b"\xef\xbb\xbf" + MESSY.replace("\n", "\r\n").encode())
    assert call("fmt", spec) == 0
    assert spec.read_bytes() == b"\xef\xbb\xbf" + TIDY.replace("\n", "\r\n").encode()
    assert call("fmt", "--check", spec) == 0


@pytest.mark.parametrize("encoding", ["latin-1", "ascii", "utf-8"])
def test_fmt_writes_utf_8_to_every_stdout(encoding: str) -> None:
    for end in ("\n", "\r\n"):
        result = subprocess.run(
            [sys.executable, "-m", "cnnspec", "fmt", "-"],
            input=MESSY.replace("\n", end).encode(),
            env={**os.environ, "PYTHONIOENCODING": encoding},
            capture_output=True,
            check=True,
        )
        assert result.stdout == TIDY.replace("\n", end).encode()


def test_fmt_takes_long_names(spec: Path) -> None:
    for letter in "aö":
        path = spec.with_name(letter * ((250 // len(letter.encode())) - 2) + ".yaml")
        spec.rename(path)
        path.write_text(MESSY, "utf-8")
        assert call("fmt", path) == 0
        assert path.read_text("utf-8") == TIDY
        path.rename(spec)


def test_init_keeps_what_it_did_not_write(tmp_path: Path, capsys: Capture) -> None:
    schema = tmp_path / "cnnspec.schema.json"
    schema.write_text("{}\n", "utf-8")
    assert call("init", tmp_path / "net.yaml") == 2
    assert f"{schema} is there already, and holds something else" in capsys.readouterr().err
    assert (schema.read_text("utf-8"), names(schema)) == ("{}\n", ["cnnspec.schema.json"])
    assert call("init", tmp_path / "net.yaml", "--force") == 0
    assert len(schema.read_text("utf-8")) > 1000
    assert call("init", tmp_path / "other.yaml") == 0
    schema.unlink()
    schema.symlink_to("nowhere")
    assert call("init", tmp_path / "third.yaml") == 2
    assert names(schema) == ["cnnspec.schema.json", "net.yaml", "other.yaml"]


def test_init_by_force_writes_through_a_link(spec: Path) -> None:
    link = spec.with_name("link.yaml")
    link.symlink_to(spec)
    spec.chmod(0o600)
    assert call("init", link, "--force") == 0
    assert link.is_symlink()
    assert "Stage" in spec.read_text("utf-8")
    assert spec.stat().st_mode & 0o777 == 0o600
