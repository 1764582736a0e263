"""Files that are written whole, and what is no file."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from cnnspec.errors import CnnspecError
from cnnspec.files import write_atomic

posix = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has neither pipes by name nor terminals")


@posix
def test_a_device_is_written_to_and_stays() -> None:
    ours, terminal = os.openpty()
    path = os.ttyname(terminal)
    before = os.stat(path)
    write_atomic(path, "text\n")
    assert os.read(ours, 99) == b"text\r\n"
    assert (os.stat(path).st_mode, os.stat(path).st_rdev) == (before.st_mode, before.st_rdev)
    os.close(ours)
    os.close(terminal)


@posix
def test_a_pipe_is_not_replaced(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(CnnspecError, match="pipe: it is not a regular file"):
        write_atomic(tmp_path / "pipe", "text")
    assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)
    assert os.listdir(tmp_path) == ["pipe"]
