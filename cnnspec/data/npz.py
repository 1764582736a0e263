"""The arrays of a `.npz` file, which may be anybody's: no more of it is unpacked than a data set comes to."""

from __future__ import annotations

import struct
from math import prod
from pathlib import Path
from typing import Final
from zipfile import ZIP_DEFLATED, ZIP_STORED, ZipFile, ZipInfo

import numpy as np

from cnnspec.arrays import NUMBERS, Array
from cnnspec.data.targets import taught_kind
from cnnspec.errors import CnnspecError, UsageError
from cnnspec.files import check_inflation
from cnnspec.tasks import Task

__all__ = ["read_npz"]

SMALL: Final = 2**30  # bytes that both arrays may come to whatever the file's size
LONGEST_HEADER: Final = 10_000  # bytes; numpy looks at the length of one only when it has read it
SHOWN: Final = 10  # names of members in a message


def read_npz(path: Path, task: Task) -> tuple[Array, Array]:
    """The arrays `x`, bytes, and `y`, as the task is taught. Raises UsageError where it has none, and CnnspecError."""
    try:
        with ZipFile(path) as archive:
            members = [_member(path, archive, key) for key in ("x", "y")]
            declared = sum(_declared(path, archive, member, task) for member in members)
            check_inflation(f"`x` and `y` of {path}", path.stat().st_size, declared, small=SMALL)
            x, y = (_read(archive, member) for member in members)
    except CnnspecError:
        raise
    except Exception as error:  # zipfile's, zlib's and numpy's have no common base
        text = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise CnnspecError(f"{path} cannot be read as .npz: {text:.200}") from error
    return x, y


def _member(path: Path, archive: ZipFile, key: str) -> ZipInfo:
    """The member that holds an array. Raises UsageError where there is none, and CnnspecError for another kind."""
    members = {member.filename: member for member in archive.infolist()}
    if f"{key}.npy" not in members:
        if key in members:
            raise CnnspecError(f"{path}: `{key}` is no array, but a file of another kind")
        names = [name.removesuffix(".npy") for name in members]
        few = ", ".join(f"{name:.60}" for name in names[:SHOWN]) + ", …" * (len(names) > SHOWN)
        raise UsageError(f"{path} has no arrays `x` and `y`; it has: {few or 'none'}")
    member = members[f"{key}.npy"]
    if member.compress_type not in (ZIP_STORED, ZIP_DEFLATED):  # another may take gigabytes to be unpacked
        raise CnnspecError(f"{path}: `{key}` is packed in a way that numpy does not write")
    return member


def _declared(path: Path, archive: ZipFile, member: ZipInfo, task: Task) -> int:
    """How many bytes an array has by its header. Raises CnnspecError for one that is no data set's."""
    name = member.filename.removesuffix(".npy")
    with archive.open(member) as file:
        start = file.read(12)
        long = start[:6] == np.lib.format.MAGIC_PREFIX and start[6:7] > b"\1"  # from version 2 on it may be
        if long and struct.unpack("<I", start[8:12].ljust(4, b"\0"))[0] > LONGEST_HEADER:
            raise CnnspecError(f"{path}: the header of `{name}` has more than {LONGEST_HEADER:,} bytes")
    with archive.open(member) as file:
        version = np.lib.format.read_magic(file)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, dtype = read(file)
    if name == "x" and dtype.kind not in NUMBERS:
        raise CnnspecError(f"{path}: `x` holds {dtype!s:.60}, and a network reads numbers")
    if name == "y":
        taught_kind(f"{path}: `y`", task, dtype, shape)
    declared: int = prod(shape) * dtype.itemsize
    if declared > member.file_size:
        raise CnnspecError(f"{path}: `{name}` is cut off: it declares {declared:,} bytes and has {member.file_size:,}")
    return declared


def _read(archive: ZipFile, member: ZipInfo) -> Array:
    with archive.open(member) as file:
        return np.asarray(np.lib.format.read_array(file, allow_pickle=False))
