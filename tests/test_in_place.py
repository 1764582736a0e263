"""Files that somebody names keep what they are: a link leads where it led, and mode and hard links stay."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from cnnspec import api
from cnnspec.errors import CnnspecError
from cnnspec.files import rewrite
from cnnspec.torch_backend import save_weights
from cnnspec.training.plots import plot_mistakes

NET = "{cnnspec: 1, name: s, input: [4], layers: [Linear(3)]}"
WRITERS: dict[str, Callable[[Path], object]] = {
    "export -o": lambda path: api.export(api.loads(NET), path, verify=False),
    "eval --sheet": lambda path: plot_mistakes([], [], path),
    "save_weights": lambda path: save_weights({"weight": torch.zeros(3)}, path),
    "rewrite": lambda path: rewrite(path, b"new"),
}

posix = pytest.mark.skipif(os.name != "posix", reason="modes and links are the system's")
writers = pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS)


@pytest.fixture
def old(tmp_path: Path) -> Path:
    path = tmp_path / "folder" / "old.onnx"
    path.parent.mkdir()
    path.write_bytes(b"old")
    return path


@posix
@writers
def test_a_link_is_followed_and_stays(write: Callable[[Path], object], old: Path, tmp_path: Path) -> None:
    link = tmp_path / "link.onnx"
    (tmp_path / "second.onnx").symlink_to("folder/old.onnx")
    link.symlink_to("second.onnx")
    write(link)
    assert link.is_symlink()
    assert (tmp_path / "second.onnx").is_symlink()
    assert old.read_bytes() not in (b"", b"old")
    assert sorted(os.listdir(tmp_path)) == ["folder", "link.onnx", "second.onnx"]
    assert os.listdir(old.parent) == ["old.onnx"]


@posix
@writers
def test_a_link_to_nothing_makes_the_file(write: Callable[[Path], object], tmp_path: Path) -> None:
    (tmp_path / "link.onnx").symlink_to("new.onnx")
    write(tmp_path / "link.onnx")
    assert (tmp_path / "link.onnx").is_symlink()
    assert (tmp_path / "new.onnx").stat().st_size


@posix
@writers
@pytest.mark.parametrize("mode", [0o600, 0o640, 0o755])
def test_the_mode_stays(write: Callable[[Path], object], old: Path, mode: int) -> None:
    old.chmod(mode)
    write(old)
    assert stat.S_IMODE(old.stat().st_mode) == mode
    assert old.read_bytes() != b"old"


@posix
@writers
def test_hard_links_stay(write: Callable[[Path], object], old: Path, tmp_path: Path) -> None:
    os.link(old, tmp_path / "other.onnx")
    write(old)
    assert old.stat().st_ino == (tmp_path / "other.onnx").stat().st_ino
    assert (tmp_path / "other.onnx").read_bytes() != b"old"


@posix
@writers
def test_what_is_read_only_stays(write: Callable[[Path], object], old: Path, tmp_path: Path) -> None:
    old.chmod(0o444)
    (tmp_path / "link.onnx").symlink_to(old)
    with pytest.raises(CnnspecError, match="read-only"):
        write(tmp_path / "link.onnx")
    assert old.read_bytes() == b"old"
    assert (stat.S_IMODE(old.stat().st_mode), os.listdir(old.parent)) == (0o444, ["old.onnx"])


@posix
@writers
def test_a_link_in_a_circle_is_an_error(write: Callable[[Path], object], tmp_path: Path) -> None:
    (tmp_path / "link.onnx").symlink_to("link.onnx")
    with pytest.raises(CnnspecError, match=r"cannot write .*link\.onnx"):
        write(tmp_path / "link.onnx")
    assert (tmp_path / "link.onnx").is_symlink()


@posix
def test_a_read_only_file_is_told_before_anything_is_worked_out(old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*given: object) -> None:
        raise AssertionError("lowered")

    monkeypatch.setattr("cnnspec.exporting.pipeline.lower_draft", fail)
    old.chmod(0o444)
    with pytest.raises(CnnspecError, match="read-only"):
        api.export(api.loads(NET), old, verify=False)


def test_pictures_and_imported_specs_go_where_a_link_leads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from cnnspec import api

    monkeypatch.chdir(tmp_path)
    api.export("mlp", "mlp.onnx", verify=False)
    for name, write in (
        ("net.svg", lambda link: api.draw("lenet5", link)),
        ("net.yaml", lambda link: api.import_network("mlp.onnx", link, force=True)),
    ):
        (tmp_path / "there").mkdir(exist_ok=True)
        target, link = tmp_path / "there" / name, tmp_path / name
        target.write_text("old")
        target.chmod(0o640)
        link.symlink_to(target)
        write(link)
        assert link.is_symlink()
        assert target.stat().st_mode & 0o777 == 0o640
        assert target.read_text() != "old"
