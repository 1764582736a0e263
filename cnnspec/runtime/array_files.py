"""Samples in files of arrays, `.npy` and `.npz`, one by one. A `.npy` stays in its file until they are read."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from zipfile import ZIP_DEFLATED, ZIP_STORED, ZipFile

import numpy as np

from cnnspec.arrays import Array, as_values, map_array
from cnnspec.errors import CnnspecError, UsageError
from cnnspec.files import check_inflation, check_regular
from cnnspec.ops import Shape

__all__ = ["ARRAY_SUFFIXES", "FileSample", "array_samples"]

ARRAY_SUFFIXES: Final = (".npy", ".npz")
_SMALL: Final = 2**30  # bytes that an array may unpack to whatever the size of its file


@dataclass(frozen=True, slots=True, eq=False)
class FileSample:
    """One sample of a file of arrays; `name` is its file, and its place there: `x.npy[3]`."""

    name: str
    values: Array


def array_samples(
    sources: Iterable[object], shape: Shape, on_error: Callable[[CnnspecError], None] | None = None
) -> Iterator[object]:
    """The sources in their order, with the samples in place of every file of arrays.

    A file holds several, `(N, …)`, or one where its array is of the network's `shape`. What is wrong with a file goes
    to `on_error`; without it, it raises.
    """
    for source in sources:
        if not (isinstance(source, (str, os.PathLike)) and os.fsdecode(source).lower().endswith(ARRAY_SUFFIXES)):
            yield source
            continue
        path = Path(source)
        try:
            array = map_array(path) if path.suffix.lower() == ".npy" else _unpacked(path)
            as_values(array[..., :0] if array.ndim else array, str(path))  # whether it holds numbers
            if not array.ndim:
                raise UsageError(f"{path} is a single number, and no sample")
        except CnnspecError as error:
            if on_error is None:
                raise
            on_error(error)
            continue
        if array.shape == shape:
            yield FileSample(str(path), array)
        else:
            yield from (FileSample(f"{path}[{place}]", sample) for place, sample in enumerate(array))


def _unpacked(path: Path) -> Array:
    """The array `x` of an archive, or the only one that it holds."""
    try:
        check_regular(path)
        with ZipFile(path) as archive:
            members = {member.filename.removesuffix(".npy"): member for member in archive.infolist()}
            member = members.get("x") or (next(iter(members.values())) if len(members) == 1 else None)
            if member is None:
                listed = ", ".join(f"{name:.60}" for name in list(members)[:10]) or "none"
                raise UsageError(f"{path} has no array `x`; it has: {listed}")
            if member.compress_type not in (ZIP_STORED, ZIP_DEFLATED):
                raise CnnspecError(f"{path}: `{member.filename}` is packed in a way that numpy does not write")
            check_inflation(str(path), path.stat().st_size, member.file_size, small=_SMALL)
            with archive.open(member) as file:
                array = np.asarray(np.lib.format.read_array(file, allow_pickle=False))
    except CnnspecError:
        raise
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror or error}") from None
    except Exception as error:  # zipfile's, zlib's and numpy's have no common base
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise CnnspecError(f"{path} cannot be read as .npz: {reason:.200}") from None
    return array
