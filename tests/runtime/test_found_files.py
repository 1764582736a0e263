"""Which files the arguments of a call name."""

from __future__ import annotations

from pathlib import Path

import pytest

from cnnspec.errors import UsageError
from cnnspec.runtime.sources import expand


def test_a_folder_of_sounds(tmp_path: Path) -> None:
    (tmp_path / "low").mkdir()
    for name in ("b.wav", "low/a.WAV", "notes.txt", ".hidden.wav"):
        (tmp_path / name).touch()
    assert [Path(str(path)).name for path in expand([str(tmp_path)])] == ["b.wav", "a.WAV"]


def test_sounds_beside_images_are_left_out(tmp_path: Path) -> None:
    for name in ("cover.png", "song.wav"):
        (tmp_path / name).touch()
    assert [*expand([str(tmp_path)])] == [str(tmp_path / "cover.png")]


def test_a_folder_of_nothing_tells_what_is_searched_for(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as error:
        expand([str(tmp_path)])
    assert ".wav" in (error.value.hint or "")
