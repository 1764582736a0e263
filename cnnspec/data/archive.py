"""Files inside a `.zip` or `.tar`, read where they lie: nothing is unpacked to the disk.

An archive may be anybody's. It is gone through once, for the place of each file in it, and refused as a whole where it
holds a link, a name that leads out of it, or files that take up more than there is. A file is unpacked when it is its
turn, alone, and no further than it declares, which is no more than what is packed comes to in earnest.
"""

from __future__ import annotations

import os
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import total_ordering
from pathlib import Path, PurePosixPath
from typing import Final, NoReturn

from cnnspec.errors import CnnspecError, UsageError
from cnnspec.files import check_inflation, check_regular

__all__ = ["ARCHIVES", "PACKED", "Inside", "Place", "content", "file_size", "open_archive", "relative"]

ARCHIVES: Final = (".zip", ".tar")
PACKED: Final = (".gz", ".tgz", ".bz2", ".xz", ".zst", ".7z", ".rar")
_HEAD: Final = 30  # bytes before the name in the header of a file in a .zip
_LARGEST: Final = 2**31  # bytes of one file


@dataclass(frozen=True, slots=True)
class _Entry:
    """Where the bytes of a file lie."""

    start: int  # of its own header in a .zip, of the content in a .tar
    packed: int
    size: int
    crc: int | None = None  # of a .zip
    deflated: bool = False


@dataclass(frozen=True)
class _Archive:
    """An archive, gone through."""

    path: Path
    entries: dict[str, _Entry]
    folders: dict[str, list[str]] = field(default_factory=dict)  # the names in each, by its own


@total_ordering
@dataclass(frozen=True, eq=False)
class Inside:
    """A file or folder inside an archive, with what is asked of a `Path`. Its text is `ARCHIVE/its/name`."""

    archive: _Archive
    at: str = ""

    def __str__(self) -> str:
        return f"{self.archive.path}/{self.at}" if self.at else str(self.archive.path)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Inside) and str(self) == str(other)

    def __lt__(self, other: Inside) -> bool:
        return PurePosixPath(str(self)) < PurePosixPath(str(other))

    def __hash__(self) -> int:
        return hash(str(self))

    def __truediv__(self, name: str) -> Inside:
        return Inside(self.archive, f"{self.at}/{name}" if self.at else name)

    @property
    def name(self) -> str:
        """Its own name."""
        return self.at.rpartition("/")[2] or self.archive.path.name

    @property
    def suffix(self) -> str:
        """The end of its name."""
        return PurePosixPath(self.name).suffix

    def is_dir(self) -> bool:
        """Whether it is a folder."""
        return self.at in self.archive.folders

    def is_file(self) -> bool:
        """Whether it is a file."""
        return self.at in self.archive.entries

    def iterdir(self) -> Iterator[Inside]:
        """What is in a folder."""
        return (self / name for name in self.archive.folders[self.at])

    def resolve(self) -> Inside:
        """Itself: there are no links."""
        return self

    def relative_to(self, folder: Inside) -> PurePosixPath:
        """Its place below a folder."""
        return PurePosixPath(self.at).relative_to(folder.at)

    @property
    def size(self) -> int:
        """Its bytes, unpacked."""
        return self.archive.entries[self.at].size

    @property
    def stamp(self) -> str:
        """What tells it from another file, without reading it."""
        entry = self.archive.entries[self.at]
        return f"{self}\0{self.archive.path.stat().st_mtime_ns} {entry.start} {entry.size} {entry.crc}"

    def read_bytes(self) -> bytes:
        """Its content. Raises CnnspecError where it is not what the archive declares."""
        entry = self.archive.entries[self.at]
        try:
            with open(self.archive.path, "rb") as file:
                start = entry.start
                if entry.crc is not None:
                    file.seek(start)
                    head = file.read(_HEAD)
                    if head[:4] != b"PK\3\4":
                        raise CnnspecError(f"{self} is damaged: there is no file at its place")
                    start += _HEAD + sum(int.from_bytes(head[at : at + 2], "little") for at in (26, 28))
                file.seek(start)
                data = file.read(entry.packed)
        except OSError as error:
            raise CnnspecError(f"cannot read {self.archive.path}: {error.strerror or error}") from None
        if entry.deflated:
            try:
                data = zlib.decompressobj(-zlib.MAX_WBITS).decompress(data, entry.size + 1)
            except zlib.error as error:
                raise CnnspecError(f"{self} is damaged: {error}") from None
        if len(data) != entry.size or (entry.crc is not None and zlib.crc32(data) != entry.crc):
            raise CnnspecError(f"{self} is damaged: its content is not what the archive declares")
        return data


Place = Path | Inside


def open_archive(path: Path) -> Inside:
    """The top of an archive; where all of it lies in one folder, that one.

    Raises UsageError for a kind that cannot be read where it lies, and CnnspecError for a hostile or damaged one.
    """
    if path.suffix.lower() in PACKED:
        raise UsageError(
            f"{path} is packed as a whole, so that no file in it can be read by itself",
            hint="unpack it once (`gunzip`, `unzstd`, …): a .tar of images is no larger; or make a .zip",
        )
    check_regular(path)
    read = _zip_entries if path.suffix.lower() == ".zip" else _tar_entries
    entries: dict[str, _Entry] = {}
    total = path.stat().st_size
    taken = 0
    try:
        for name, entry in read(path):
            parts = _parts(path, name)
            if not parts:
                continue
            if "/".join(parts) in entries:
                _refuse(path, name, "is there twice")
            if entry.start + entry.packed > total or entry.size > _LARGEST:
                _refuse(path, name, "is larger than the archive" if entry.size <= _LARGEST else "is too large")
            check_inflation(f"`{name:.100}` of {path}", entry.packed, entry.size)
            taken += entry.packed
            entries["/".join(parts)] = entry
    except CnnspecError:
        raise
    except Exception as error:  # zipfile's, tarfile's and zlib's have no common base
        reason = " ".join(str(error).split()) or type(error).__name__
        raise CnnspecError(f"{path} cannot be read as an archive: {reason:.200}") from error
    if taken > total:
        raise CnnspecError(f"{path} holds files over each other: together they are larger than it is")
    top = Inside(_Archive(path, entries, _folders(path, entries)))
    inner = [each for each in top.iterdir() if not each.name.startswith((".", "__MACOSX"))]
    while len(inner) == 1 and inner[0].is_dir() and inner[0].name not in ("train", "val", "test"):
        top, inner = inner[0], list(inner[0].iterdir())
    return top


def _parts(path: Path, name: str) -> list[str]:
    """The folders and the name of an entry. Raises CnnspecError for one that leads out of the archive."""
    if name.startswith("/") or "\0" in name or "\\" in name or name[1:2] == ":":
        _refuse(path, name, "leads out of the archive")
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if ".." in parts:
        _refuse(path, name, "leads out of the archive")
    return parts


def _refuse(path: Path, name: str, why: str) -> NoReturn:
    raise CnnspecError(
        f"{path} is refused: `{name.encode(errors='replace').decode():.100}` {why}",
        hint="pack it anew from a folder of your own",
    )


def _folders(path: Path, entries: dict[str, _Entry]) -> dict[str, list[str]]:
    folders: dict[str, dict[str, None]] = {"": {}}
    for name in entries:
        below = ""
        for part in name.split("/"):
            if below in entries:
                _refuse(path, name, f"lies below the file `{below}`")
            folders.setdefault(below, {})[part] = None
            below = f"{below}/{part}" if below else part
    return {name: sorted(found) for name, found in folders.items()}


def _zip_entries(path: Path) -> Iterator[tuple[str, _Entry]]:
    with zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            kind = stat.S_IFMT(info.external_attr >> 16)
            if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
                _refuse(path, info.filename, "is a link or no regular file")
            if info.flag_bits & 1:
                _refuse(path, info.filename, "is encrypted")
            if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                _refuse(path, info.filename, "is packed in another way than `zip` does by default")
            deflated = info.compress_type == zipfile.ZIP_DEFLATED
            if not deflated and info.compress_size != info.file_size:
                _refuse(path, info.filename, "has two sizes")
            if not info.is_dir():
                yield info.filename, _Entry(info.header_offset, info.compress_size, info.file_size, info.CRC, deflated)
            else:
                _parts(path, info.filename)


def _tar_entries(path: Path) -> Iterator[tuple[str, _Entry]]:
    with tarfile.open(path, "r:") as archive:
        for info in archive:
            archive.members = []  # type: ignore[attr-defined]  # which it would keep all of
            if info.isdir():
                _parts(path, info.name)
                continue
            if not info.isreg() or info.issparse():
                _refuse(path, info.name, "is a link or no regular file")
            yield info.name, _Entry(info.offset_data, info.size, info.size)


def content(place: Place) -> bytes | str:
    """What is read of a file: its path, or its bytes where it lies in an archive."""
    return place.read_bytes() if isinstance(place, Inside) else os.fspath(place)


def file_size(place: Place) -> int:
    """Its bytes. Raises OSError where there is no such file."""
    return place.size if isinstance(place, Inside) else place.stat().st_size


def relative(place: Place, folder: Place) -> str:
    """Its place below a folder, with `/` on every system."""
    if isinstance(place, Inside):
        assert isinstance(folder, Inside)  # a folder in an archive holds what is in it
        return place.relative_to(folder).as_posix()
    return place.relative_to(str(folder)).as_posix()
