"""A run knows where its images are, from whatever folder it is called, and says where they were."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from cli_calls import call
from PIL import Image

import cnnspec
from cnnspec import api
from cnnspec.errors import CnnspecError

TEXT = "cnnspec: 1\nname: a\ninput: [1, 8, 8]\nlayers:\n  - Conv2d(4, 3)\n  - ReLU\n  - Flatten\n  - Linear(2)\n"
CALLS = (
    ("eval", "runs/a"),
    ("train", "--resume", "runs/a"),
    ("export", "runs/a", "--precision", "int8", "--max-drop", "100"),
)


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run on `../photos`, made in `work`; where it is called from is `elsewhere`, with a link to its runs."""
    draw = np.random.default_rng(0)
    for label, name in enumerate(("cat", "dog")):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for i in range(12):
            pixels = draw.integers(0, 100, (8, 8)) + 150 * label
            Image.fromarray(pixels.astype(np.uint8)).save(tmp_path / "photos" / name / f"{i}.png")
    for folder in ("work", "elsewhere/deeper"):
        (tmp_path / folder).mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "work")
    api.train(cnnspec.loads(TEXT), data="../photos", name="a", epochs=1, threads=1, batch_size=8)
    shutil.copytree(tmp_path / "work" / "runs", tmp_path / "elsewhere" / "deeper" / "runs")
    monkeypatch.chdir(tmp_path / "elsewhere" / "deeper")
    return tmp_path


def test_a_relative_path_is_found_from_another_folder(work: Path) -> None:
    for arguments in CALLS:
        assert call(*arguments) == 0
    run = api.open_run("runs/a")
    assert run.config.data == "../photos"  # as it was given
    assert run.place is not None
    assert run.place.path == str(work / "photos")


def test_images_that_are_gone_are_said_with_where_they_were(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (work / "photos").rename(work / "elsewhere" / "moved")
    recorded = api.open_run("runs/a").place
    assert recorded is not None
    for arguments in CALLS:
        capsys.readouterr()
        assert call(*arguments) == 2
        err = capsys.readouterr().err
        said = f"the images of runs/a were in {work / 'photos'} on {recorded.recorded}, given as `--data ../photos`"
        assert said in " ".join(err.split())
        assert "--calibrate NEW" in err if "int8" in arguments else "--data NEW" in err


def test_another_place_stands_where_the_images_are_the_same(work: Path) -> None:
    (work / "photos").rename(work / "elsewhere" / "moved")
    assert call("eval", "runs/a", "--data", "../moved") == 0
    assert call("export", "runs/a", "--precision", "int8", "--max-drop", "100", "--calibrate", "../moved") == 0
    assert call("train", "--resume", "runs/a", "--data", "../moved", "--epochs", "2") == 0
    run = api.open_run("runs/a")
    assert run.config.data == "../moved"
    assert run.place is not None
    assert run.place.path == str(work / "elsewhere" / "moved")


def test_other_images_do_not_continue_a_run(work: Path) -> None:
    (work / "photos").rename(work / "elsewhere" / "moved")
    (work / "elsewhere" / "moved" / "cat" / "0.png").unlink()
    with pytest.raises(CnnspecError, match="other images or labels"):
        api.resume("runs/a", data="../moved", epochs=2)


def test_images_that_moved_with_the_folder_are_found_as_they_were_given(work: Path) -> None:
    (work / "photos").rename(work / "elsewhere" / "photos")
    assert call("eval", "runs/a") == 0
