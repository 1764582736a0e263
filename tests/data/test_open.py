"""Data sets by name and file, their splits, and what is said of damaged ones."""

from __future__ import annotations

import gzip
import os
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import cnnspec
from cnnspec.data.open import NAMES, OpenOptions, open_data
from cnnspec.data.sets import Images
from cnnspec.data.splits import stratified
from cnnspec.errors import CnnspecError, UsageError
from cnnspec.scoring import samples

DATA = os.environ.get("CNNSPEC_DATA") or Path(__file__).parents[3] / "shared" / "data"
ARCHIVES = Path(DATA) / "MNIST" / "raw"  # torchvision's four files, which no test downloads
SMALL = "cnnspec: 1\nname: small\ninput: [1, 8, 8]\nlayers:\n  - Flatten\n  - Linear(3)\n"


@pytest.fixture
def options(tmp_path: Path) -> OpenOptions:
    return OpenOptions(folder=tmp_path / "data")


def test_a_split_is_stratified_and_depends_on_the_seed_alone() -> None:
    labels = torch.tensor([0] * 50 + [1] * 20 + [2] * 3)
    kept, held = stratified(labels, 0.1, 1)
    assert sorted([*kept.tolist(), *held.tolist()]) == list(range(73))
    assert torch.bincount(labels[held]).tolist() == [5, 2, 1]
    assert torch.equal(held, stratified(labels, 0.1, 1)[1])
    assert not torch.equal(held, stratified(labels, 0.1, 2)[1])
    with pytest.raises(CnnspecError, match="class 1 has 1 image"):
        stratified(torch.tensor([0, 0, 1]), 0.5, 0)


def test_digits_have_fixed_test_images_whatever_the_seed(tmp_path: Path) -> None:
    graph = cnnspec.load("lenet5").graph
    one = open_data("digits", graph, OpenOptions(folder=tmp_path, seed=0))
    two = open_data("digits", graph, OpenOptions(folder=tmp_path, seed=7))
    assert isinstance(one.test, Images)
    assert isinstance(two.test, Images)
    assert torch.equal(one.test.images, two.test.images)
    assert not torch.equal(one.val_rows, two.val_rows)
    assert not set(one.train_rows.tolist()) & set(one.val_rows.tolist())
    assert len(one.train) + len(one.test) == 1797
    assert one.test.images.shape[1:] == (1, 28, 28)
    assert not list(tmp_path.iterdir())


def test_fake_is_the_same_everywhere(options: OpenOptions) -> None:
    data = open_data("fake", cnnspec.load("lenet5").graph, options)
    assert isinstance(data.train, Images)
    assert int(data.train.images.long().sum()) == int(
        open_data("fake", cnnspec.load("lenet5").graph, options).train.images.long().sum()  # type: ignore[union-attr]
    )
    assert data.counts.sum() == len(data.train_rows)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (SMALL, "digits has 10 classes, but small gives 3 numbers"),
        (SMALL.replace("[1, 8, 8]", "[3, 8, 8]"), "1 channel, but small reads 3x8x8"),
        (
            SMALL.replace("[1, 8, 8]", "[64]").replace("  - Flatten\n", ""),
            "has images, CxHxW, and small reads 64",
        ),
        (
            SMALL.replace("  - Flatten\n  - Linear(3)", "  - Conv2d(10, 1)"),
            "small gives 10x8x8, and what that is",
        ),
    ],
)
def test_a_network_that_does_not_fit(options: OpenOptions, text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        open_data("digits", cnnspec.loads(text).graph, options)


@pytest.mark.parametrize("data", ["digits", "nowhere", "folder", "a.npz"])
@pytest.mark.parametrize(
    ("network", "does"),
    [
        ("unet", "teaches one class of each image, and unet is for segm|there is no data set|there is no file"),
        ("m5", "has images, CxHxW, and m5 reads 1x32000|there is no data set|there is no file|holds no sound"),
        ("c3d", "has images, CxHxW, and c3d reads 3x16x112x112|there is no data set|there is no file"),
    ],
)
def test_advice_for_a_network_that_is_no_classifier_of_images_applies(
    options: OpenOptions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, network: str, does: str, data: str
) -> None:
    monkeypatch.chdir(tmp_path)
    for label in ("cat", "dog"):
        (tmp_path / "folder" / label).mkdir(parents=True)
    with pytest.raises(CnnspecError, match=does) as caught:
        open_data(data, cnnspec.load(network).graph, options)
    for advice in ("Flatten", "num_classes", "Predictor"):
        assert advice not in (caught.value.hint or "")


def test_a_linear_layer_on_rows_of_pixels_is_told_to_flatten(options: OpenOptions) -> None:
    with pytest.raises(UsageError, match="small gives 1x8x3") as caught:
        open_data("digits", cnnspec.loads(SMALL.replace("  - Flatten\n", "")).graph, options)
    assert caught.value.hint is not None
    assert "`Flatten` before the last `Linear`" in caught.value.hint


def test_images_in_a_folder_have_one_or_three_channels(options: OpenOptions, tmp_path: Path) -> None:
    for label in ("cat", "dog"):
        (tmp_path / "folder" / label).mkdir(parents=True)
        Image.new("L", (8, 8)).save(tmp_path / "folder" / label / "0.png")
    graph = cnnspec.loads(SMALL.replace("[1, 8, 8]", "[4, 8, 8]").replace("Linear(3)", "Linear(2)")).graph
    with pytest.raises(UsageError, match="images of 1 or 3 channels, but small reads 4x8x8") as caught:
        open_data(str(tmp_path / "folder"), graph, options)
    assert caught.value.hint == "`--input 3x8x8` gives the network as many channels"


def arrays(count: int = 30, **changes: Any) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    found = {"x": rng.integers(0, 256, (count, 8, 8), dtype=np.uint8), "y": np.arange(count) % 3}
    return found | changes


@pytest.mark.parametrize(
    "x",
    [
        np.zeros((30, 8, 8), np.uint8),
        np.zeros((30, 8, 8, 1), np.uint8),
        np.zeros((30, 1, 8, 8), np.uint8),
        np.zeros((30, 20, 11), np.uint8),
    ],
)
def test_npz_in_every_layout(tmp_path: Path, options: OpenOptions, x: Any) -> None:
    np.savez(tmp_path / "a.npz", **arrays(x=x))
    data = open_data(str(tmp_path / "a.npz"), cnnspec.loads(SMALL).graph, options)
    assert isinstance(data.train, Images)
    assert data.train.images.shape[1:] == (1, 8, 8)
    assert data.classes == ("0", "1", "2")


class Evil:
    def __reduce__(self) -> Any:
        return print, ("code ran",)


BAD_ARRAYS: dict[str, Callable[[], dict[str, Any]]] = {
    "no y": lambda: {"x": arrays()["x"]},
    "label too large": lambda: arrays(y=np.array([0, 1, 2] * 9 + [0, 1, 3])),
    "label negative": lambda: arrays(y=np.array([0, 1, 2] * 9 + [0, 1, -1])),
    "labels as numbers with a point": lambda: arrays(y=np.arange(30) / 10),
    "one-hot labels": lambda: arrays(y=np.eye(3, dtype=np.int64)[np.arange(30) % 3]),
    "too few labels": lambda: arrays(y=np.arange(20) % 3),
    "empty": lambda: arrays(x=np.zeros((0, 8, 8), np.uint8), y=np.zeros(0, np.int64)),
    "one image": lambda: arrays(x=np.zeros((1, 8, 8), np.uint8), y=np.zeros(1, np.int64)),
    "no width": lambda: arrays(x=np.zeros((30, 8, 0), np.uint8)),
    "two channels": lambda: arrays(x=np.zeros((30, 8, 8, 2), np.uint8)),
    "three channels": lambda: arrays(x=np.zeros((30, 8, 8, 3), np.uint8)),
    "a missing class": lambda: arrays(y=np.arange(30) % 2),
    "a class of one": lambda: arrays(y=np.array([0, 1] * 14 + [0, 2])),
    "objects": lambda: arrays(x=np.array([Evil()] * 30, dtype=object)),
    "five axes": lambda: arrays(x=np.zeros((30, 1, 8, 8, 1), np.uint8)),
    "a word as labels": lambda: arrays(y=np.array(["a", "b", "c"] * 10)),
}


@pytest.mark.parametrize("name", BAD_ARRAYS)
def test_bad_arrays(tmp_path: Path, options: OpenOptions, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    np.savez(tmp_path / "a.npz", **BAD_ARRAYS[name]())
    with pytest.raises(CnnspecError) as caught:
        open_data(str(tmp_path / "a.npz"), cnnspec.loads(SMALL).graph, options)
    assert "a.npz" in caught.value.message or "class" in caught.value.message
    assert "code ran" not in capsys.readouterr().out


@pytest.mark.parametrize("damage", ["empty", "truncated", "flipped", "text", "folder", "absent"])
def test_damaged_npz_files(tmp_path: Path, options: OpenOptions, damage: str) -> None:
    path = tmp_path / "a.npz"
    np.savez_compressed(path, **arrays(300))
    data = path.read_bytes()
    match damage:
        case "empty":
            path.write_bytes(b"")
        case "truncated":
            path.write_bytes(data[: len(data) // 2])
        case "flipped":
            path.write_bytes(data[:500] + bytes([data[500] ^ 1]) + data[501:])
        case "text":
            path.write_text("hello")
        case "folder":
            path.unlink()
            path.mkdir()
        case "absent":
            path.unlink()
    with pytest.raises(CnnspecError):
        open_data(str(path), cnnspec.loads(SMALL).graph, options)


@pytest.mark.parametrize("member", ["x", "x.npy", "x.txt"])
def test_members_of_npz_files_that_are_no_arrays(tmp_path: Path, options: OpenOptions, member: str) -> None:
    with zipfile.ZipFile(tmp_path / "d.npz", "w") as archive:
        archive.writestr(member, "no array")
        archive.writestr("y", "none either")
    with pytest.raises(CnnspecError, match=r"d\.npz"):
        open_data(str(tmp_path / "d.npz"), cnnspec.loads(SMALL).graph, options)


def test_the_home_of_nobody_is_a_name_like_any_other(options: OpenOptions) -> None:
    with pytest.raises(UsageError, match="there is no data set and no folder `~nosuch/x`"):
        open_data("~nosuch/x", cnnspec.loads(SMALL).graph, options)
    with pytest.raises(UsageError, match="there is no file of weights ~nosuch/x"):
        cnnspec.train(cnnspec.loads(SMALL), data="fake", weights="~nosuch/x", data_dir="~nosuch")


@pytest.mark.parametrize(
    ("name", "message"),
    [("mnits", "no data set and no folder `mnits`"), ("/dev/null", "no folder, no .npz file and no archive")],
)
def test_unknown_names(options: OpenOptions, name: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        open_data(name, cnnspec.loads(SMALL).graph, options)


# MNIST from its own archives; torchvision unpacks next to them, so the tests use a copy.


@pytest.fixture
def mnist(tmp_path: Path) -> Path:
    if not ARCHIVES.is_dir():
        pytest.skip(f"the MNIST archives are not at {ARCHIVES}; CNNSPEC_DATA can name another folder")
    raw = tmp_path / "data" / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for path in ARCHIVES.glob("*.gz"):
        shutil.copyfile(path, raw / path.name)
    return raw


def no_network(*arguments: object, **options: object) -> None:
    raise RuntimeError("no network here")


def test_mnist(mnist: Path, options: OpenOptions) -> None:
    data = open_data("mnist", cnnspec.load("lenet5").graph, options)
    assert isinstance(data.test, Images)
    assert (len(data.train_rows), len(data.val_rows), len(data.test)) == (54001, 5999, 10000)
    assert torch.bincount(data.train.targets).tolist() == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert data.test.targets[:5].tolist() == [7, 2, 1, 0, 4]
    unpacked = mnist / "train-images-idx3-ubyte"
    unpacked.write_bytes(unpacked.read_bytes()[:-1000])
    with pytest.raises(CnnspecError, match="mnist cannot be read"):
        open_data("mnist", cnnspec.load("lenet5").graph, options)


def test_emnist_stands_upright(options: OpenOptions, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its files hold images by columns, and torchvision gives them so: a line from left to right is down there."""

    class Emnist:
        data = torch.zeros(94, 28, 28, dtype=torch.uint8)
        targets = torch.arange(94) % 47
        classes = ()

        def __init__(self, folder: str, **arguments: object) -> None:
            self.data[:, :, 3] = 255

    monkeypatch.setattr("torchvision.datasets.EMNIST", Emnist)
    text = "cnnspec: 1\nname: a\ninput: [1, 28, 28]\nlayers:\n  - Flatten\n  - Linear(47)\n"
    train = open_data("emnist", cnnspec.loads(text).graph, options).train
    assert isinstance(train, Images)
    assert bool((train.images[:, :, 3] == 255).all())
    assert int(train.images[0].count_nonzero()) == 28


@pytest.mark.parametrize("damage", ["flipped", "truncated", "absent", "not gzip"])
def test_damaged_mnist_archives(
    mnist: Path, options: OpenOptions, damage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torchvision.datasets.utils._urlretrieve", no_network)
    path = mnist / "t10k-labels-idx1-ubyte.gz"
    data = path.read_bytes()
    match damage:
        case "flipped":
            path.write_bytes(data[:2000] + bytes([data[2000] ^ 1]) + data[2001:])
        case "truncated":
            path.write_bytes(data[:2000])
        case "absent":
            path.unlink()
        case "not gzip":
            path.write_bytes(gzip.decompress(data))
    with pytest.raises(CnnspecError, match="mnist cannot be read from") as caught:
        open_data("mnist", cnnspec.load("lenet5").graph, options)
    assert caught.value.hint is not None


def test_an_export_knows_where_every_data_set_lies_and_so_downloads_none() -> None:
    assert set(samples._FOLDERS) | {"digits", "fake"} == set(NAMES)


def test_a_file_of_other_arrays_is_refused_in_few_words(tmp_path: Path, options: OpenOptions) -> None:
    np.savez(tmp_path / "many.npz", **{f"a{index}": np.zeros(1) for index in range(500)})
    with pytest.raises(UsageError) as raised:
        open_data(str(tmp_path / "many.npz"), cnnspec.loads(SMALL).graph, options)
    assert str(raised.value).startswith(f"{tmp_path}/many.npz has no arrays `x` and `y`; it has: a0, a1, ")
    assert len(raised.value.message) < len(str(tmp_path)) + 150
