"""Samples from Python: every way to hand them over gives the same data set, and each wrong one a single error."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset

import cnnspec
from cnnspec.data.batches import batches
from cnnspec.data.given import Given
from cnnspec.data.open import OpenOptions, open_data
from cnnspec.data.sets import DataSet, Drawn, Images
from cnnspec.errors import CnnspecError, UsageError
from cnnspec.graph import Graph

CLASSES = 3
GRAPH = cnnspec.loads("cnnspec: 1\nname: a\ninput: [3, 6, 5]\nlayers:\n  - Flatten\n  - Linear(3)\n").graph
SIGNALS = cnnspec.loads("cnnspec: 1\nname: s\ninput: [2, 9]\nlayers:\n  - Flatten\n  - Linear(3)\n").graph
RNG = np.random.default_rng(0)
Y = np.arange(24) % CLASSES
X = RNG.integers(0, 256, (24, 6, 5, 3), np.uint8)  # (N, H, W, C)


class Map(Dataset[Any]):
    def __init__(self, samples: list[Any]) -> None:
        self.samples = samples

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, row: int) -> Any:
        return self.samples[row]


class Stream(IterableDataset[Any]):
    def __init__(self, samples: list[Any]) -> None:
        self.samples = samples

    def __iter__(self) -> Iterator[Any]:
        return iter(self.samples)


class Hugging(Map):
    """What `datasets.Dataset` is to us: rows as dictionaries, and features that know the names of the classes."""

    class _ClassLabel:
        names = ("cat", "dog", "owl")

    features: ClassVar[dict[str, Any]] = {"id": None, "image": None, "label": _ClassLabel()}


def opened(
    data: object, graph: Graph = GRAPH, tmp: Path = Path(), said: list[str] | None = None, **how: Any
) -> DataSet:
    val, test = how.pop("val", None), how.pop("test", None)
    options = replace(OpenOptions(tmp, report=(said if said is not None else []).append), **how)
    return open_data(Given.of(data, val, test), graph, options)


def pairs(images: Any = X, labels: Any = Y) -> list[Any]:
    return list(zip(images, labels.tolist(), strict=True))


def rows_of(data: DataSet) -> tuple[torch.Tensor, torch.Tensor]:
    """All training images and labels in the order of their rows, as batches bring them."""
    found = list(batches(data.train, torch.arange(len(data.train)), 5, torch.device("cpu")))
    return torch.cat([images for images, _ in found]), torch.cat([labels for _, labels in found])


SAME: dict[str, Callable[[Path], object]] = {
    "channels last": lambda _: (X, Y),
    "channels first": lambda _: (X.transpose(0, 3, 1, 2), Y),
    "torch": lambda _: (torch.from_numpy(X), torch.from_numpy(Y)),
    "labels of other kinds": lambda _: (X, Y.astype(np.uint8)),
    "a list of labels": lambda _: (X, Y.tolist()),
    "a column of labels": lambda _: (X, Y[:, None]),
    "a list of images": lambda _: (list(X), Y.tolist()),
    "a list of pairs": lambda _: pairs(),
    "pictures": lambda _: [(Image.fromarray(x), y) for x, y in pairs()],
    "files' bytes": lambda _: [({"bytes": encoded(x), "path": None}, y) for x, y in pairs()],
    "paths": lambda tmp: [(saved(tmp, i, x), y) for i, (x, y) in enumerate(pairs())],
    "TensorDataset": lambda _: TensorDataset(torch.from_numpy(X.transpose(0, 3, 1, 2).copy()), torch.from_numpy(Y)),
    "a map": lambda _: Map(pairs()),
    "a stream": lambda _: Stream(pairs()),
    "a generator": lambda _: (pair for pair in pairs()),
    "dictionaries": lambda _: Hugging([{"id": 7, "image": Image.fromarray(x), "label": y} for x, y in pairs()]),
    "mapped": lambda tmp: (mapped(tmp), Y),
}


def encoded(image: np.ndarray) -> bytes:
    import io

    file = io.BytesIO()
    Image.fromarray(image).save(file, "png")
    return file.getvalue()


def saved(tmp: Path, number: int, image: np.ndarray) -> str:
    path = tmp / f"{number}.png"
    path.write_bytes(encoded(image))
    return str(path)


def mapped(tmp: Path) -> np.ndarray:
    np.save(tmp / "x.npy", X.transpose(0, 3, 1, 2).copy())
    return np.load(tmp / "x.npy", mmap_mode="r")


@pytest.mark.parametrize("make", SAME.values(), ids=SAME)
def test_every_way_gives_the_same_data(make: Callable[[Path], object], tmp_path: Path) -> None:
    data, plain = opened(make(tmp_path), tmp=tmp_path), opened((X, Y))
    images, labels = rows_of(data)
    assert torch.equal(images, torch.from_numpy(X.transpose(0, 3, 1, 2).copy()))
    assert labels.tolist() == Y.tolist()
    assert data.digest == plain.digest
    assert torch.equal(data.train_rows, plain.train_rows)
    assert data.test is not None
    assert len(data.train_rows) + len(data.val_rows) + len(data.test) == len(X)


def test_classes_have_their_names() -> None:
    assert opened(Hugging([{"image": x, "label": y} for x, y in pairs()])).classes == ("cat", "dog", "owl")
    names = np.array(["owl", "cat", "dog"])
    data = opened((X, names[Y]))
    assert data.classes == ("cat", "dog", "owl")
    assert rows_of(data)[1].tolist() == [[2, 0, 1][y] for y in Y]
    named = type("Named", (Map,), {"classes": ["a", "b", "c"]})
    assert opened(named(pairs())).classes == ("a", "b", "c")
    assert opened((X, names[Y]), classes=("dog", "owl", "cat")).classes == ("dog", "owl", "cat")


def test_splits_that_are_given_are_taken() -> None:
    data = opened((X, Y), val=(X[:6], Y[:6]), test=(X[:3], Y[:3]))
    assert (len(data.train_rows), len(data.val_rows), len(data.test or ())) == (24, 6, 3)
    named = opened({"train": (X, Y), "validation": (X[:6], Y[:6])})
    assert (len(named.train_rows), len(named.val_rows), named.test) == (24, 6, None)
    assert named.digest != opened({"train": (X, Y), "validation": (X[:3], Y[:3])}).digest


def test_numbers_that_are_no_bytes_are_taken_as_they_are() -> None:
    x = RNG.normal(size=(24, 2, 9))
    images, _ = rows_of(opened((x, Y), SIGNALS))
    assert torch.equal(images, torch.from_numpy(x.astype(np.float32)))
    images, _ = rows_of(opened((np.moveaxis(x, 1, -1), Y), SIGNALS))
    assert torch.equal(images, torch.from_numpy(x.astype(np.float32)))


def test_images_of_another_size_are_resized_as_files_are(tmp_path: Path) -> None:
    large = RNG.integers(0, 256, (24, 13, 17, 3), np.uint8)
    from_files = opened([(saved(tmp_path, i, x), y) for i, (x, y) in enumerate(pairs(large))])
    assert torch.equal(rows_of(opened((large, Y)))[0], rows_of(from_files)[0])
    floats = opened((large.astype(np.float32), Y))
    assert (rows_of(floats)[0] - rows_of(from_files)[0].float()).abs().max() <= 1.0


def test_what_does_not_fit_into_memory_is_read_while_training() -> None:
    data = opened(Map(pairs()), memory=100)
    assert isinstance(data.train, Drawn)
    assert data.digest == opened((X, Y)).digest
    images, labels = rows_of(data)
    assert torch.equal(images, torch.from_numpy(X.transpose(0, 3, 1, 2).copy()))
    assert labels.tolist() == Y.tolist()


@pytest.mark.parametrize("kind", [Map, Stream])
def test_what_does_not_fit_into_memory_is_kept_in_the_cache(kind: Any, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    data = opened(kind(pairs()), memory=100, cache=cache)
    assert isinstance(data.train, Images)
    assert data.train.mapped
    assert torch.equal(rows_of(data)[0], torch.from_numpy(X.transpose(0, 3, 1, 2).copy()))
    assert [path.suffix for path in cache.iterdir()] == [".u8"]
    with pytest.raises(CnnspecError, match="sample 24 of data is not given: ValueError: gone"):
        opened(failing(), memory=100, cache=cache)
    assert [path.suffix for path in cache.iterdir()] == [".u8"]


def failing() -> Iterator[Any]:
    yield from pairs()
    raise ValueError("gone")


class Varied(Map):
    """As with transforms for training: each reading is another."""

    def __getitem__(self, row: int) -> Any:
        image, label = self.samples[row]
        return image + torch.rand(3, 6, 5).numpy(), label


def test_data_that_vary_are_told_and_read_anew() -> None:
    said: list[str] = []
    floats = pairs(X.transpose(0, 3, 1, 2).astype(np.float32))
    data = opened(Varied(floats), said=said)
    assert not data.fixed
    assert "a run on them is not continued" in said[0]
    assert not torch.equal(rows_of(data)[0], rows_of(data)[0])
    assert data.digest != opened(Varied(floats)).digest


def broken() -> list[Any]:
    return [*pairs(), (b"no image", 0), (b"", 1)]


BAD: dict[str, tuple[Callable[[], object], str]] = {
    "a number": (lambda: 5, "`data` is 5, and no samples"),
    "an array alone": (lambda: X, "`data` is an array without labels"),
    "a loader": (lambda: DataLoader(Map(pairs())), "`data` is a loader of batches"),
    "nothing": (list, "data holds no sample"),
    "empty arrays": (lambda: (X[:0], Y[:0]), "data holds no sample"),
    "fewer labels": (lambda: (X, Y[:5]), "data holds 24 samples and 5 targets"),
    "one label": (lambda: (X, 5), "data holds 24 samples and no list of targets"),
    "another split": (lambda: {"train": (X, Y), "extra": (X, Y)}, "`data` has the split 'extra'"),
    "texts": (lambda: (np.array(["a"] * 24), Y), "x of data holds <U1"),
    "complex": (lambda: (X.astype(complex), Y), "x of data holds complex128"),
    "too few axes": (lambda: (X[:, 0, 0], Y), "the network reads"),
    "other channels": (lambda: (np.zeros((24, 6, 5, 4), np.uint8), Y), "one axis is the channels, 3"),
    "no number": (lambda: (np.where(X[3, 0, 0, 0] == X, np.nan, X), Y), "which is no number to learn from"),
    "a label too large": (lambda: (X, Y + 1), "image 2 has the label 3; labels are 0 to 2"),
    "a label below": (lambda: (X, Y - 1), "image 0 has the label -1"),
    "labels that are numbers": (lambda: (X, Y * 0.5), "data is one whole number per image"),
    "too few classes": (lambda: (X, Y % 2), "data has no image of class 2"),
    "too many names": (lambda: (X, np.array(list("abcd"))[np.arange(24) % 4]), "data has 4 classes, but a gives 3"),
    "no pairs": (lambda: [1, 2], "sample 0 of data is 1, and no pair"),
    "columns that nobody knows": (lambda: [{"foo": X[0], "bar": 0}], "none is known to be the image"),
    "no label": (lambda: [{"image": X[0], "bar": 0}], "none is known to be the label"),
    "no image": (lambda: [(None, 0)], "sample 0 of data is None, and no image"),
    "broken files": (broken, "2 samples of data cannot be read: sample 24"),
    "another kind later": (lambda: [*pairs(), (X[0].astype(np.float64), 0)], "sample 24 of data holds float32"),
    "targets of several forms": (lambda: [(X[0], 0), (X[1], [0, 1])], "the target of sample 1 is"),
    "a failing row": (lambda: type("F", (Map,), {"__getitem__": lambda *_: 1 / 0})([1]), "ZeroDivisionError"),
}


@pytest.mark.parametrize(("make", "message"), BAD.values(), ids=BAD)
def test_wrong_data_are_one_error(make: Callable[[], object], message: str) -> None:
    with pytest.raises(CnnspecError) as caught:
        opened(make())
    assert message in caught.value.message
    assert "\n" not in caught.value.message


def test_bad_samples_are_left_out_where_that_is_wanted() -> None:
    said: list[str] = []
    data = opened(broken(), said=said, skip_bad=True)
    assert len(data.train) == 24
    assert "left out" in said[0]


def test_a_stream_that_has_no_end_is_refused() -> None:
    def endless() -> Iterator[Any]:
        while True:
            yield X[0], 0

    with pytest.raises(CnnspecError, match="does not fit into memory") as caught:
        opened(endless(), memory=10_000)
    assert "cache=" in str(caught.value.hint)


def test_splits_go_with_samples_only() -> None:
    with pytest.raises(UsageError, match="`val` and `test` go with samples"):
        cnnspec.train("lenet5", data="digits", val=(X, Y))
