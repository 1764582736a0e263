"""Folders of arrays: mapped where they are what the network reads, and else read when it is their turn."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

import cnnspec
from cnnspec.data.batches import batches
from cnnspec.data.open import OpenOptions, open_data
from cnnspec.data.sets import DataSet, Drawn, Images
from cnnspec.errors import CnnspecError

GRAPH = cnnspec.loads("cnnspec: 1\nname: a\ninput: [2, 6, 5]\nlayers:\n  - Flatten\n  - Linear(3)\n").graph
Y = np.arange(24) % 3
X = np.random.default_rng(0).integers(0, 256, (24, 2, 6, 5), np.uint8)


def folder(place: Path, x: np.ndarray, y: np.ndarray = Y) -> Path:
    place.mkdir(parents=True, exist_ok=True)
    np.save(place / "x.npy", x)
    np.save(place / "y.npy", y)
    return place


def opened(path: Path, memory: int = 2**30) -> DataSet:
    return open_data(str(path), GRAPH, OpenOptions(path, memory=memory, report=lambda text: None))


def pixels(data: DataSet) -> torch.Tensor:
    found = batches(data.train, torch.arange(len(data.train)), 5, torch.device("cpu"))
    return torch.cat([images for images, _ in found])


def test_an_array_that_fits_stays_in_its_file(tmp_path: Path) -> None:
    data = opened(folder(tmp_path / "a", X), memory=10)
    assert isinstance(data.train, Images)
    assert data.train.mapped
    assert "read where they lie" in data.remark
    assert torch.equal(pixels(data), torch.from_numpy(X))
    assert data.place == tmp_path / "a"


@pytest.mark.parametrize("memory", [10, 2**30])
def test_another_array_is_read_sample_by_sample(memory: int, tmp_path: Path) -> None:
    data = opened(folder(tmp_path / "a", np.moveaxis(X, 1, -1).astype(np.float64)), memory)
    assert isinstance(data.train, Drawn if memory == 10 else Images)
    assert torch.equal(pixels(data), torch.from_numpy(X).float())


def test_splits_are_folders(tmp_path: Path) -> None:
    for part, count in (("train", 24), ("val", 6), ("test", 3)):
        folder(tmp_path / "a" / part, X[:count], Y[:count])
    data = opened(tmp_path / "a")
    assert [len(part) for part in (data.train_rows, data.val_rows, data.test or ())] == [24, 6, 3]


BAD: dict[str, tuple[Callable[[Path], object], str]] = {
    "no labels": (lambda path: (path / "y.npy").unlink(), "there is no"),
    "no array": (lambda path: (path / "x.npy").write_bytes(b"cat"), "cannot be read as .npy"),
    "cut off": (lambda path: (path / "x.npy").write_bytes((path / "x.npy").read_bytes()[:300]), "cannot be read"),
    "objects": (lambda path: np.save(path / "x.npy", np.array([{}, {}])), "cannot be read as .npy"),
    "an archive": (lambda path: (path / "x.npy").write_bytes(npz(path)), "is a .npz by its content"),
    "fewer labels": (lambda path: np.save(path / "y.npy", Y[:5]), "holds 24 samples and 5 targets"),
}


def npz(path: Path) -> bytes:
    np.savez(path / "z.npz", x=X)
    return (path / "z.npz").read_bytes()


@pytest.mark.parametrize(("spoil", "message"), BAD.values(), ids=BAD)
def test_bad_arrays_are_one_error(spoil: Callable[[Path], object], message: str, tmp_path: Path) -> None:
    path = folder(tmp_path / "a", X)
    spoil(path)
    with pytest.raises(CnnspecError) as caught:
        opened(path)
    assert message in caught.value.message
    assert "\n" not in caught.value.message
