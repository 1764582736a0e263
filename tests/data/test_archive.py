"""Archives of folders: the same data as the folder that was packed, and those of somebody who wants to see us fall."""

from __future__ import annotations

import io
import pickle
import stat
import tarfile
import tracemalloc
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import cnnspec
from cnnspec.data.archive import open_archive
from cnnspec.data.batches import batches
from cnnspec.data.loaders import LoaderPool
from cnnspec.data.open import OpenOptions, open_data
from cnnspec.data.sets import DataSet, Files
from cnnspec.errors import CnnspecError, UsageError

GRAPH = cnnspec.loads("cnnspec: 1\nname: a\ninput: [3, 8, 8]\nlayers:\n  - Flatten\n  - Linear(2)\n").graph
MOST = 8 * 2**20


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    for part, count in (("train", 9), ("val", 3), ("test", 2)):
        for name in ("cat", "dog"):
            (tmp_path / "pets" / part / name).mkdir(parents=True)
            for number in range(count):
                image = Image.fromarray(rng.integers(0, 256, (12, 10, 3), np.uint8))
                image.save(tmp_path / "pets" / part / name / f"{number}.{'png' if number % 2 else 'jpg'}")
    return tmp_path / "pets"


def as_zip(folder: Path, kind: int = zipfile.ZIP_DEFLATED) -> Path:
    path = folder.with_suffix(".zip")
    with zipfile.ZipFile(path, "w", kind) as archive:
        for each in sorted(folder.rglob("*")):
            archive.write(each, each.relative_to(folder.parent))
    return path


def as_stored(folder: Path) -> Path:
    return as_zip(folder, zipfile.ZIP_STORED)


def as_tar(folder: Path) -> Path:
    path = folder.with_suffix(".tar")
    with tarfile.open(path, "w") as archive:
        for name in ("train", "val", "test"):
            archive.add(folder / name, name)
    return path


def opened(path: Path, **options: Any) -> DataSet:
    return open_data(str(path), GRAPH, replace(OpenOptions(path, report=lambda text: None), **options))


def pixels(data: DataSet, workers: int = 0) -> tuple[torch.Tensor, list[int]]:
    with LoaderPool() as loaders:
        found = list(
            batches(data.train, torch.arange(len(data.train)), 4, torch.device("cpu"), workers=workers, loaders=loaders)
        )
    return torch.cat([images for images, _ in found]), [int(label) for _, labels in found for label in labels]


@pytest.mark.parametrize("pack", [as_zip, as_stored, as_tar])
@pytest.mark.parametrize("loading", ["resident", "streaming"])
def test_an_archive_is_the_folder_that_it_was_made_of(
    folder: Path, pack: Callable[[Path], Path], loading: str, tmp_path: Path
) -> None:
    plain, packed = opened(folder, loading=loading), opened(pack(folder), loading=loading)
    assert packed.classes == plain.classes
    assert packed.digest == plain.digest
    assert [len(part) for part in (packed.train, packed.val, packed.test or ())] == [18, 6, 4]
    assert torch.equal(pixels(packed)[0], pixels(plain)[0])
    assert pixels(packed)[1] == pixels(plain)[1]
    assert str(packed.train.paths[0]).endswith("train/cat/0.jpg")
    cached = opened(pack(folder), loading="streaming", cache=tmp_path / "cache")
    assert torch.equal(pixels(cached)[0], pixels(plain)[0])


def test_other_processes_read_it_too(folder: Path) -> None:
    data = opened(as_zip(folder), loading="streaming")
    assert isinstance(data.train, Files)
    again = pickle.loads(pickle.dumps(data.train))
    assert torch.equal(again.read(3), data.train.read(3))
    assert torch.equal(pixels(data, workers=1)[0], pixels(data)[0])


def zipped(*members: tuple[str | zipfile.ZipInfo, bytes], kind: int = zipfile.ZIP_DEFLATED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", kind) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return file.getvalue()


def tarred(*members: tuple[str, bytes, bytes]) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        for name, kind, content in members:
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, "elsewhere"
            info.size = len(content) if kind == tarfile.REGTYPE else 0
            archive.addfile(info, io.BytesIO(content))
    return file.getvalue()


def link() -> zipfile.ZipInfo:
    info = zipfile.ZipInfo("a/link.png")
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    return info


def huge() -> bytes:
    """One that says of a file that it is far larger than it is."""
    content = bytearray(zipped(("a/1.png", bytes(1000))))
    place = content.rindex(b"PK\1\2") + 24
    content[place : place + 4] = (2**31 - 1).to_bytes(4, "little")
    return bytes(content)


def encrypted() -> bytes:
    content = bytearray(zipped(("a/1.png", b"1")))
    content[content.rindex(b"PK\1\2") + 8] |= 1
    return bytes(content)


def long_tar() -> bytes:
    content = bytearray(tarred(("a/1.png", tarfile.REGTYPE, b"x" * 600)))
    return bytes(content[:900])


ZIPS: dict[str, tuple[Callable[[], bytes], str]] = {
    "no archive": (lambda: b"cat", "cannot be read as an archive"),
    "cut off": (lambda: zipped(("a/1.png", b"1"))[:-10], "cannot be read as an archive"),
    "a name that leads out": (lambda: zipped(("../1.png", b"1")), "`../1.png` leads out of the archive"),
    "and further in": (lambda: zipped(("a/../../1.png", b"1")), "leads out of the archive"),
    "a name from the root": (lambda: zipped(("/etc/1.png", b"1")), "leads out of the archive"),
    "a drive": (lambda: zipped(("C:/1.png", b"1")), "leads out of the archive"),
    "a link": (lambda: zipped((link(), b"/etc/passwd")), "`a/link.png` is a link"),
    "a bomb": (lambda: zipped(("a/1.png", bytes(2**28))), "would unpack"),
    "a size that is none": (huge, "would unpack"),
    "encrypted": (encrypted, "`a/1.png` is encrypted"),
    "LZMA": (lambda: zipped(("a/1.png", b"1"), kind=zipfile.ZIP_LZMA), "packed in another way"),
    "a file below a file": (lambda: zipped(("a", b"1"), ("a/1.png", b"1")), "lies below the file `a`"),
}
TARS: dict[str, tuple[Callable[[], bytes], str]] = {
    "no archive": (lambda: b"cat" * 1000, "cannot be read as an archive"),
    "a name that leads out": (lambda: tarred(("../1.png", tarfile.REGTYPE, b"1")), "leads out of the archive"),
    "a link": (lambda: tarred(("a/1.png", tarfile.SYMTYPE, b"")), "is a link or no regular file"),
    "a hard link": (lambda: tarred(("a/1.png", tarfile.LNKTYPE, b"")), "is a link or no regular file"),
    "a device": (lambda: tarred(("a/1.png", tarfile.CHRTYPE, b"")), "is a link or no regular file"),
    "a pipe": (lambda: tarred(("a/1.png", tarfile.FIFOTYPE, b"")), "is a link or no regular file"),
    "cut off": (long_tar, "a.tar"),
    "two of a name": (lambda: tarred(*[("a/1.png", tarfile.REGTYPE, b"1")] * 2), "is there twice"),
}
CASES = [("a.zip", *case) for case in ZIPS.values()] + [("a.tar", *case) for case in TARS.values()]


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize(("name", "make", "message"), CASES, ids=[*ZIPS, *(f"tar, {key}" for key in TARS)])
def test_a_hostile_archive_is_one_error(name: str, make: Callable[[], bytes], message: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(make())
    tracemalloc.start()
    try:
        with pytest.raises(CnnspecError) as caught:
            open_archive(path)
        assert tracemalloc.get_traced_memory()[1] < MOST
    finally:
        tracemalloc.stop()
    assert message in caught.value.message
    assert "\n" not in caught.value.message


def test_what_is_packed_as_a_whole_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.tar.gz").write_bytes(b"1")
    with pytest.raises(UsageError, match="packed as a whole"):
        opened(tmp_path / "a.tar.gz")


def test_damage_inside_is_named_with_the_file(folder: Path) -> None:
    path = as_stored(folder)
    content = bytearray(path.read_bytes())
    place = content.index(b"train/cat/1.png") + 400
    content[place] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(
        CnnspecError, match=r"train/cat/1\.png is damaged: its content is not what the archive declares"
    ):
        opened(path)
    assert len(opened(path, skip_bad=True).train) == 17


def test_changed_bytes_are_an_error_or_the_same_data(folder: Path) -> None:
    rng, told = np.random.default_rng(1), []
    for pack in (as_zip, as_tar):
        path = pack(folder)
        whole = path.read_bytes()
        for _ in range(40):
            content = bytearray(whole)
            for place in rng.integers(0, len(content), 3):
                content[place] = rng.integers(0, 256)
            path.write_bytes(content[: rng.choice((len(content), rng.integers(1, len(content))))])
            try:
                opened(path, skip_bad=True)
            except CnnspecError as error:
                told.append(error.message)
    assert len(told) > 20
    assert not any("\n" in message for message in told)
