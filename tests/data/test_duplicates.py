"""Test images that are training images too are counted by what they hold."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from test_folder import GRAPH, picture

import cnnspec
from cnnspec.data.duplicates import FIRST, count_duplicates
from cnnspec.data.open import OpenOptions, open_data
from cnnspec.data.sets import DataSet, Files, Images

SPEC = "cnnspec: 1\nname: a\ninput: [3, 10, 12]\nlayers:\n  - Flatten\n  - Linear(2)\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Eight images to train of each class and four to test, of which three are among the former."""
    root = tmp_path / "pets"
    for name, seed in (("cat", 0), ("dog", 100)):
        for i in range(8):
            picture(root / "train" / name / f"{i}.png", seed=seed + i)
        for i in range(4):
            picture(root / "test" / name / f"{i}.png", seed=seed + 50 + i)
    shutil.copy(root / "train" / "cat" / "2.png", root / "test" / "cat" / "0.png")
    shutil.copy(root / "train" / "cat" / "2.png", root / "test" / "dog" / "1.png")  # under another class
    shutil.copy(root / "train" / "dog" / "7.png", root / "test" / "dog" / "x.png")
    return root


@pytest.mark.parametrize("loading", ["resident", "stream"])
def test_of_a_folder_by_name_or_place_never(folder: Path, tmp_path: Path, loading: str) -> None:
    data = open_data(str(folder), GRAPH, OpenOptions(tmp_path, loading=loading, report=lambda text: None))
    assert isinstance(data.train, Images if loading == "resident" else Files)
    assert count_duplicates(data) == 3


def test_a_run_says_and_notes_it(folder: Path, tmp_path: Path) -> None:
    said: list[str] = []

    class Listener(cnnspec.api.Progress):
        def message(self, text: str) -> None:
            said.append(text)

        def step(self, *figures: object) -> None: ...  # type: ignore[override]

        def epoch(self, metrics: object) -> None: ...  # type: ignore[override]

    result = cnnspec.train(
        cnnspec.loads(SPEC), data=str(folder), runs=tmp_path, name="a", epochs=1, threads=1, progress=Listener()
    )
    assert "3 of 9 test images are training images too" in said
    assert result.test_duplicates == 3
    assert json.loads((tmp_path / "a" / "result.json").read_text())["test_duplicates"] == 3


def in_memory(train: np.ndarray, test: np.ndarray) -> DataSet:
    def images(pixels: np.ndarray) -> Images:
        return Images(torch.from_numpy(pixels), torch.zeros(len(pixels), dtype=torch.int64))

    rows, source = torch.arange(len(train)), images(train)
    return DataSet("a", ("x",), source, rows[2:], source, rows[:1], images(test))


def test_all_of_an_image_is_compared_and_only_rows_that_are_trained_on() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (6, 3, 48, 48), dtype=np.uint8)
    assert pixels[0].size > FIRST
    late = pixels[2:4].copy()
    late[:, -1, -1, -1] ^= 1  # alike at first sight
    assert count_duplicates(in_memory(pixels, late)) == 0
    assert count_duplicates(in_memory(pixels, pixels[[0, 2, 2, 5]])) == 4  # row 0 is held back for validation
    assert count_duplicates(in_memory(pixels, pixels[[1]])) == 0  # row 1 is for nothing


def test_the_digits_have_none(tmp_path: Path) -> None:
    graph = cnnspec.load("mlp").graph
    assert count_duplicates(open_data("digits", graph, OpenOptions(tmp_path))) == 0
