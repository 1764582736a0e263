"""What lies in folders of images and is none, and classes without an image."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

import cnnspec
from cnnspec.data.open import OpenOptions, open_data
from cnnspec.errors import CnnspecError

GRAPH = cnnspec.loads("cnnspec: 1\nname: a\ninput: [3, 10, 12]\nlayers:\n  - Flatten\n  - Linear(2)\n").graph


@pytest.fixture
def pets(tmp_path: Path) -> Path:
    for name in ("cat", "dog"):
        (tmp_path / "pets" / name).mkdir(parents=True)
        for i in range(4):
            Image.new("RGB", (12, 10), (9 * i, 0, 0)).save(tmp_path / "pets" / name / f"{i}.PNG")
    return tmp_path / "pets"


def test_other_files_are_left_out_and_counted_in_one_line(pets: Path) -> None:
    for name in ("labels.txt", "cat/Thumbs.db", "cat/notes.md", "dog/deeper/README", "dog/.DS_Store", "dog/a.json"):
        (pets / name).parent.mkdir(exist_ok=True)
        (pets / name).write_text("x")
    said: list[str] = []
    data = open_data(str(pets), GRAPH, OpenOptions(folder=pets, report=said.append))
    assert len(data.train) == 8
    assert said == [
        "files left out that are no images of a class by suffix or place: 5, labels.txt, Thumbs.db, notes.md, a.json,"
        " README"
    ]


def test_an_empty_class_is_named_before_classes_are_counted(pets: Path) -> None:
    (pets / "fox").mkdir()  # with it there are three classes, and the network has two
    with pytest.raises(CnnspecError, match="fox holds no image") as caught:
        open_data(str(pets), GRAPH, OpenOptions(folder=pets))
    assert "take it away" in str(caught.value.hint)
    (pets / "fox" / "a.heic").write_text("x")
    with pytest.raises(CnnspecError, match=r"fox holds no image: a\.heic") as caught:
        open_data(str(pets), GRAPH, OpenOptions(folder=pets))
    assert ".jpeg" in str(caught.value.hint)
