"""Folders of images: how they are read, split, streamed and cached, and every way in which they can be bad."""

from __future__ import annotations

import gc
import multiprocessing
import os
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import cnnspec
from cnnspec.data.batches import batches
from cnnspec.data.folder import open_folder
from cnnspec.data.loaders import LoaderPool
from cnnspec.data.open import OpenOptions, open_data
from cnnspec.data.sets import Files, Images
from cnnspec.errors import CnnspecError, UsageError

CPU = torch.device("cpu")
GRAPH = cnnspec.loads("cnnspec: 1\nname: a\ninput: [3, 10, 12]\nlayers:\n  - Flatten\n  - Linear(2)\n").graph


def picture(path: Path, seed: int = 0, size: tuple[int, int] = (12, 10), mode: str = "RGB") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    shape = (size[1], size[0]) if mode == "L" else (size[1], size[0], 3)
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)).save(path)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Ten cats and six dogs."""
    for name, count in (("cat", 10), ("dog", 6)):
        for i in range(count):
            picture(tmp_path / "pets" / name / f"{i}.png", seed=i + 100 * count)
    return tmp_path / "pets"


@pytest.fixture
def options(tmp_path: Path) -> OpenOptions:
    return OpenOptions(folder=tmp_path, report=lambda text: None)


def test_one_folder_is_split_by_class(folder: Path, options: OpenOptions) -> None:
    data = open_data(str(folder), GRAPH, options)
    assert data.classes == ("cat", "dog")
    assert data.test is not None
    assert torch.bincount(data.test.targets).tolist() == [2, 1]
    assert torch.bincount(data.train.targets[data.val_rows]).tolist() == [1, 1]
    assert data.counts.tolist() == [7, 4]


def test_classes_come_in_the_order_of_the_spec_or_are_said_to_be_others(folder: Path, tmp_path: Path) -> None:
    said: list[str] = []
    options = OpenOptions(folder=tmp_path, report=said.append)
    text = "cnnspec: 1\nname: a\ninput: [3, 10, 12]\nclasses: {}\nlayers:\n  - Flatten\n  - Linear(2)\n"
    data = open_data(str(folder), cnnspec.loads(text.format("[dog, cat]")).graph, options)
    assert (data.classes, data.counts.tolist(), said) == (("dog", "cat"), [4, 7], [])
    data = open_data(str(folder), cnnspec.loads(text.format("[pig, cow]")).graph, options)
    assert data.classes == ("cat", "dog")
    assert said == ["classes have the names of the folders, cat, dog; the spec has pig, cow"]
    open_data(str(folder), cnnspec.loads(text.format('["0", "1"]')).graph, options)
    assert len(said) == 1


def test_other_files_are_other_images_however_they_are_held(folder: Path, options: OpenOptions, tmp_path: Path) -> None:
    streamed = replace(options, loading="streaming")
    first = open_data(str(folder), GRAPH, options).digest
    assert open_data(str(folder), GRAPH, streamed).digest == first
    assert open_data(str(folder), GRAPH, replace(streamed, cache=tmp_path / "cache")).digest == first
    Image.new("RGB", (12, 10)).save(folder / "cat" / "3.png")
    assert open_data(str(folder), GRAPH, options).digest != first


def test_test_images_do_not_depend_on_the_seed(folder: Path, options: OpenOptions) -> None:
    found = [open_folder(folder, GRAPH, OpenOptions(folder=options.folder, seed=seed)).test for seed in (0, 1)]
    assert isinstance(found[0], Images)
    assert isinstance(found[1], Images)
    assert torch.equal(found[0].images, found[1].images)


def test_train_val_and_test_folders(folder: Path, tmp_path: Path, options: OpenOptions) -> None:
    root = tmp_path / "set"
    root.mkdir()
    folder.rename(root / "train")
    for name in ("cat", "dog"):
        picture(root / "val" / name / "a.jpg")
    data = open_folder(root, GRAPH, options)
    assert len(data.train_rows) == 16
    assert len(data.val_rows) == 2
    assert data.test is None
    for name in ("cat", "dog"):
        picture(root / "test" / name / "deeper" / "a.bmp")
    assert len(open_folder(root, GRAPH, options).test or ()) == 2


def test_pixels_are_those_that_inference_reads(folder: Path, options: OpenOptions) -> None:
    data = open_folder(folder, GRAPH, options)
    assert isinstance(data.train, Images)
    wanted = np.asarray(Image.open(folder / "cat" / "0.png"))
    assert (data.train.images[0].permute(1, 2, 0).numpy() == wanted).all()


def test_grey_and_colour_are_fitted_to_the_network(tmp_path: Path, options: OpenOptions) -> None:
    for name in ("a", "b"):
        for i in range(4):
            picture(tmp_path / "s" / name / f"{i}.png", size=(31 + i, 17), mode="L" if i % 2 else "RGB")
    data = open_folder(tmp_path / "s", GRAPH, options)
    assert isinstance(data.train, Images)
    assert data.train.images.shape == (8, 3, 10, 12)


@pytest.mark.parametrize("workers", [0, 2])
def test_streamed_images_are_the_resident_ones(folder: Path, tmp_path: Path, workers: int) -> None:
    resident = open_folder(folder, GRAPH, OpenOptions(folder=tmp_path)).train
    streamed = open_folder(folder, GRAPH, OpenOptions(folder=tmp_path, loading="streaming")).train
    assert isinstance(resident, Images)
    assert isinstance(streamed, Files)
    order = torch.randperm(16)
    processes = []
    with LoaderPool() as loaders:
        for _ in range(2):  # two epochs with the same workers
            found = list(batches(streamed, order, 5, CPU, start=5, workers=workers, loaders=loaders))
            processes.append({child.pid for child in multiprocessing.active_children()})
            wanted = list(batches(resident, order, 5, CPU, start=5))
            assert len(found) == len(wanted) == 3
            for (x, y), (a, b) in zip(found, wanted, strict=True):
                assert torch.equal(x, a)
                assert torch.equal(y, b)
    assert processes[0] == processes[1]
    assert len(processes[0]) == workers
    gc.collect()
    assert not multiprocessing.active_children()


def test_two_streams_of_one_source_at_a_time(folder: Path, tmp_path: Path) -> None:
    source = open_folder(folder, GRAPH, OpenOptions(folder=tmp_path, loading="streaming")).train
    orders = [torch.arange(16), torch.arange(15, -1, -1)]
    alone = [[labels.tolist() for _, labels in batches(source, order, 5, CPU, workers=1)] for order in orders]
    with LoaderPool() as loaders:
        both = zip(*(batches(source, order, 5, CPU, workers=1, loaders=loaders) for order in orders), strict=True)
        assert [[x[1].tolist(), y[1].tolist()] for x, y in both] == [list(pair) for pair in zip(*alone, strict=True)]


@pytest.fixture
def streamed(folder: Path, tmp_path: Path) -> tuple[Iterator[Any], list[int]]:
    """Batches of one image, of which the first two are read, and the processes that decode them."""
    source = open_folder(folder, GRAPH, OpenOptions(folder=tmp_path, loading="streaming")).train
    others = {child.pid for child in multiprocessing.active_children()}
    found = batches(source, torch.arange(16), 1, CPU, workers=1)
    next(found), next(found)
    return found, [child.pid for child in multiprocessing.active_children() if child.pid and child.pid not in others]


def test_a_signal_to_the_group_of_a_run_leaves_those_that_decode(streamed: tuple[Iterator[Any], list[int]]) -> None:
    assert [os.getpgid(process) for process in streamed[1]] == streamed[1]
    assert len(list(streamed[0])) == 14


def test_a_file_that_goes_while_it_is_wanted(streamed: tuple[Iterator[Any], list[int]], folder: Path) -> None:
    (folder / "dog" / "5.png").unlink()
    with pytest.raises(CnnspecError) as caught:
        list(streamed[0])
    assert caught.value.message == f"cannot read {folder / 'dog' / '5.png'}: No such file or directory"


def test_what_does_not_fit_into_memory_is_streamed(folder: Path, tmp_path: Path) -> None:
    data = open_folder(folder, GRAPH, OpenOptions(folder=tmp_path, memory=1000))
    assert isinstance(data.train, Files)
    assert "decoded while training: 0.0 GB do not fit into memory" in data.remark
    asked = open_folder(folder, GRAPH, OpenOptions(folder=tmp_path, loading="streaming"))
    assert asked.remark.endswith("decoded while training")


def test_the_cache_holds_the_same_pixels_and_is_made_anew_for_other_files(folder: Path, tmp_path: Path) -> None:
    options = OpenOptions(folder=tmp_path, loading="streaming", cache=tmp_path / "cache")
    resident = open_folder(folder, GRAPH, OpenOptions(folder=tmp_path)).train
    assert isinstance(resident, Images)
    for _ in range(2):
        cached = open_folder(folder, GRAPH, options).train
        assert isinstance(cached, Images)
        assert cached.mapped
        assert torch.equal(cached.images, resident.images)
    assert len(list((tmp_path / "cache").iterdir())) == 1
    picture(folder / "cat" / "0.png", seed=5)
    again = open_folder(folder, GRAPH, options).train
    assert isinstance(again, Images)
    assert not torch.equal(again.images, resident.images)


def test_parts_of_batches_are_together_the_batch(folder: Path, options: OpenOptions) -> None:
    train = open_folder(folder, GRAPH, options).train
    order = torch.randperm(16)
    whole = [labels for _, labels in batches(train, order, 6, CPU)]
    parts = [[labels for _, labels in batches(train, order, 6, CPU, rank=rank, ranks=2)] for rank in range(2)]
    for batch, even, odd in zip(whole, *parts, strict=True):
        assert torch.equal(batch[0::2], even)
        assert torch.equal(batch[1::2], odd)


def bomb(width: int, height: int) -> bytes:
    """A PNG of a few bytes that says it holds `width` by `height` pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + data


def flip(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 0xFF
    path.write_bytes(data)


BAD_FILES: dict[str, Callable[[Path], object]] = {  # what one file of the class cat is
    "empty": lambda path: path.write_bytes(b""),
    "text": lambda path: path.write_text("not an image"),
    "truncated": lambda path: path.write_bytes(path.read_bytes()[:200]),
    "header only": lambda path: path.write_bytes(path.read_bytes()[:33]),
    "flipped signature": lambda path: flip(path, 1),
    "flipped header": lambda path: flip(path, 18),
    "flipped pixels": lambda path: flip(path, 60),
    "bomb": lambda path: path.write_bytes(bomb(60_000, 60_000)),
    "oversized": lambda path: path.write_bytes(bomb(9001, 9900)),
    "no pixels": lambda path: path.write_bytes(bomb(0, 5)),
    "fewer pixels than said": lambda path: path.write_bytes(bomb(1000, 1000)),
    "svg": lambda path: path.write_text("<svg xmlns='http://www.w3.org/2000/svg'/>"),
    "script": lambda path: path.write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n"),
    "dangling link": lambda path: (path.unlink(), path.symlink_to("absent.png")),
    "link to itself": lambda path: (path.unlink(), path.symlink_to(path.name)),
    "zip": lambda path: path.write_bytes(b"PK\x03\x04" + bytes(100)),
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_bad_files_are_named_before_anything_is_trained(folder: Path, options: OpenOptions, name: str) -> None:
    BAD_FILES[name](folder / "cat" / "3.png")
    with pytest.raises(CnnspecError, match=r"^1 file cannot be read as images") as caught:
        open_folder(folder, GRAPH, options)
    assert "3.png" in caught.value.message
    said: list[str] = []
    data = open_folder(folder, GRAPH, OpenOptions(folder=folder, skip_bad=True, report=said.append))
    assert len(data.train) == 15
    assert "3.png" in said[0]
    for loading in ("streaming", "resident"):
        with pytest.raises(CnnspecError, match=r"3\.png"):
            open_folder(folder, GRAPH, OpenOptions(folder=folder, loading=loading))


def remove(folder: Path) -> None:
    for path in folder.iterdir():
        path.unlink()


BAD_FOLDERS: dict[str, Callable[[Path], object]] = {
    "an empty class": lambda folder: remove(folder / "cat"),
    "a class of one image": lambda folder: [p.unlink() for p in (folder / "cat").iterdir() if p.name != "0.png"],
    "one class": lambda folder: (remove(folder / "cat"), (folder / "cat").rmdir()),
    "a class too many": lambda folder: picture(folder / "cow" / "1.png"),
    "images without classes": lambda folder: [
        (remove(folder / name), (folder / name).rmdir(), picture(folder / f"{name}.png")) for name in ("cat", "dog")
    ],
    "only hidden files": lambda folder: (remove(folder / "cat"), (folder / "cat" / ".DS_Store").write_text("x")),
    "a loop of folders": lambda folder: (remove(folder / "cat"), (folder / "cat" / "loop").symlink_to(folder / "cat")),
    "val lacks a class": lambda folder: (
        (folder / "train").mkdir(),
        (folder / "cat").rename(folder / "train" / "cat"),
        (folder / "dog").rename(folder / "train" / "dog"),
        picture(folder / "val" / "cat" / "1.png"),
        picture(folder / "val" / "fish" / "1.png"),
    ),
    "val has an empty class": lambda folder: (
        (folder / "train").mkdir(),
        (folder / "cat").rename(folder / "train" / "cat"),
        (folder / "dog").rename(folder / "train" / "dog"),
        picture(folder / "val" / "cat" / "1.png"),
        (folder / "val" / "dog").mkdir(),
    ),
    "every image of a class is bad": lambda folder: [p.write_text("x") for p in (folder / "cat").iterdir()],
}


@pytest.mark.parametrize("name", BAD_FOLDERS)
def test_bad_folders(folder: Path, name: str) -> None:
    BAD_FOLDERS[name](folder)
    with pytest.raises(CnnspecError):
        open_data(str(folder), GRAPH, OpenOptions(folder=folder, skip_bad=True, report=lambda text: None))


def test_a_class_whose_name_is_no_text_is_told_before_an_image_is_read(folder: Path, options: OpenOptions) -> None:
    try:
        (folder / "cat").rename(os.fsdecode(os.fsencode(folder) + b"/caf\xe9"))
    except OSError:
        pytest.skip("this system has names in UTF-8 only")
    with pytest.raises(UsageError, match="is no UTF-8"):
        open_data(str(folder), GRAPH, options)


def test_images_whose_names_are_no_text_are_images(folder: Path, tmp_path: Path) -> None:
    try:
        next((folder / "cat").iterdir()).rename(os.fsdecode(os.fsencode(folder) + b"/cat/caf\xe9.png"))
    except OSError:
        pytest.skip("this system has names in UTF-8 only")
    options = OpenOptions(folder=tmp_path, loading="streaming", cache=tmp_path / "cache", report=lambda text: None)
    assert "decoded in" in open_data(str(folder), GRAPH, options).remark


def test_a_link_back_to_a_folder_above_is_not_followed_for_ever(folder: Path, options: OpenOptions) -> None:
    (folder / "cat" / "again").symlink_to(folder / "cat")
    assert len(open_folder(folder, GRAPH, options).train) == 16


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads every file")
def test_a_file_that_may_not_be_read(folder: Path, options: OpenOptions) -> None:
    (folder / "cat" / "3.png").chmod(0)
    with pytest.raises(CnnspecError, match=r"3\.png"):
        open_folder(folder, GRAPH, options)


def test_an_image_is_no_folder(folder: Path, options: OpenOptions) -> None:
    with pytest.raises(UsageError, match="is an image, not a folder of images"):
        open_data(str(folder / "cat" / "0.png"), GRAPH, options)
