"""Tables of paths, and images beside their masks: what is read of them, and what is said of wrong ones."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import cnnspec
from cnnspec.data.open import OpenOptions, open_data
from cnnspec.data.targets import check_mask
from cnnspec.errors import CnnspecError
from cnnspec.graph import Graph

VECTOR = "cnnspec: 1\nname: net\ninput: [1, 8, 8]\n{}\nlayers:\n  - Flatten\n  - Linear({})\n"
MAP = "cnnspec: 1\nname: net\ninput: [1, 8, 8]\ntask: segmentation\nlayers:\n  - Conv2d(3, 3, padding=1)\n"
COUNT = 20


def vector(count: int, header: str = "") -> Graph:
    return cnnspec.loads(VECTOR.format(header, count)).graph


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Images of 16x16 pixels, each of its number, with masks in quarters."""
    for name in ("images", "masks"):
        (tmp_path / name).mkdir()
    for number in range(COUNT):
        Image.fromarray(np.full((16, 16), number, np.uint8)).save(tmp_path / "images" / f"{number}.png")
        mask = np.zeros((16, 16), np.uint8)
        mask[:8, 8:], mask[8:] = number % 3, 255
        Image.fromarray(mask).convert("P").save(tmp_path / "masks" / f"{number}.png")
    return tmp_path


def opened(path: Path, graph: Graph) -> tuple[tuple[str, ...], dict[int, torch.Tensor]]:
    """The classes, and what is taught of each image by the number that its pixels have."""
    data = open_data(str(path), graph, OpenOptions(folder=path.parent, report=lambda text: None))
    assert data.test is not None
    both = (data.train, data.test)
    return data.classes, {
        int(source.images[row].max()): source.targets[row]  # type: ignore[union-attr]
        for source in both
        for row in range(len(source))
    }


def table(folder: Path, line: Callable[[int], str], head: str = "") -> Path:
    path = folder / "table.csv"
    path.write_text(head + "".join(f"images/{number}.png,{line(number)}\n" for number in range(COUNT)))
    return path


def test_names_of_classes(folder: Path) -> None:
    classes, taught = opened(table(folder, lambda n: "cat" if n % 2 else "dog", "path,animal\n"), vector(2))
    assert classes == ("cat", "dog")
    assert all(int(target) == 1 - number % 2 for number, target in taught.items())


def test_several_classes(folder: Path) -> None:
    path = table(folder, lambda n: ",".join(name for name, has in (("a", n % 2), ("b", n % 3)) if has))
    classes, taught = opened(path, vector(2, "task: multi-label"))
    assert classes == ("a", "b")
    assert all(target.tolist() == [n % 2, min(1, n % 3)] for n, target in taught.items())


def test_numbers(folder: Path) -> None:
    _, taught = opened(table(folder, lambda n: f"{n}, {n / 4}"), vector(2, "task: regression"))
    assert all(target.tolist() == [n, n / 4] for n, target in taught.items())


@pytest.mark.parametrize("listed", [True, False])
def test_masks_by_the_nearest_place(folder: Path, listed: bool) -> None:
    path = table(folder, lambda n: f"masks/{n}.png") if listed else folder
    classes, taught = opened(path, cnnspec.loads(MAP).graph)
    assert classes == ("0", "1", "2")
    for number, target in taught.items():
        wanted = torch.zeros(8, 8, dtype=torch.uint8)
        wanted[:4, 4:], wanted[4:] = number % 3, 255
        assert torch.equal(target, wanted)


def test_parts_have_folders_of_their_own(folder: Path) -> None:
    for part in ("train", "val", "test"):
        (folder / "parts" / part).mkdir(parents=True)
        for name in ("images", "masks"):
            (folder / "parts" / part / name).symlink_to(folder / name)
    data = open_data(str(folder / "parts"), cnnspec.loads(MAP).graph, OpenOptions(folder=folder))
    assert [len(data.train_rows), len(data.val_rows), len(data.test or ())] == [COUNT] * 3


def _mask(folder: Path, values: np.ndarray) -> None:
    Image.fromarray(values).save(folder / "masks" / "0.png")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda folder: _mask(folder, np.zeros((8, 16), np.uint8)), "0.png is 8x16, and its image 16x16"),
        (lambda folder: _mask(folder, np.zeros((16, 16, 3), np.uint8)), "is an image of mode RGB"),
        (lambda folder: _mask(folder, np.full((16, 16), 7, np.uint8)), "mask 0 holds 7; classes are 0 to 2"),
        (lambda folder: (folder / "masks" / "0.png").write_text("x"), "0.png is not an image"),
        (lambda folder: (folder / "masks" / "0.png").unlink(), "no mask of 0.png"),
        (lambda folder: (folder / "images" / "0.png").write_text("x"), "cannot be read as images"),
    ],
)
def test_bad_masks(folder: Path, spoil: Callable[[Path], object], message: str) -> None:
    spoil(folder)
    with pytest.raises(CnnspecError, match=message):
        opened(folder, cnnspec.loads(MAP).graph)


@pytest.mark.parametrize(
    ("text", "graph", "message"),
    [
        ("", vector(2), "it lists no image"),
        ("images/0.png\n", vector(2), "row 1 has no more than one cell"),
        ("images/0.png,a\nimages/99.png,b\n", vector(2), "lists 1 files that are not there: 99.png"),
        ("images/0.png,a\nimages/1.png,2\n", vector(1, "task: regression"), "stand a, and not 1 numbers"),
        ("images/0.png,1\nimages/1.png,2,3\n", vector(1, "task: regression"), "stand 2, 3, and not 1 numbers"),
        ("images/0.png,a\nimages/1.png,c\n", vector(2, "task: multi-label\nclasses: [a, b]"), "has the class `c`"),
    ],
)
def test_bad_tables(folder: Path, text: str, graph: Graph, message: str) -> None:
    path = folder / "table.csv"
    path.write_text(text)
    with pytest.raises(CnnspecError, match=message):
        opened(path, graph)


@pytest.mark.parametrize(
    ("value", "hint"), [(7, "`task: {type: segmentation, ignore: 7}`"), (-1, "give such places the value 255")]
)
def test_a_place_of_no_class_has_a_way_out(value: int, hint: str) -> None:
    with pytest.raises(CnnspecError, match=f"mask 1 holds {value}") as caught:
        check_mask(np.array([[[0, 1]], [[2, value]]]), 3, 255, "y of data")
    assert hint in str(caught.value.hint)
