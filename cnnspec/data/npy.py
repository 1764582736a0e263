"""Folders with `x.npy` and `y.npy`: arrays that the system maps, so that they may be larger than the memory."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np

from cnnspec.arrays import Array, map_array
from cnnspec.data.classes import VAL_FOLDERS
from cnnspec.data.given import Given
from cnnspec.errors import UsageError

__all__ = ["npy_parts"]

_NAMES: Final = ("x.npy", "y.npy")


def npy_parts(folder: Path) -> Given | None:
    """The arrays in a folder, or in its folders `train`, `val` and `test`; None where it holds none.

    Raises UsageError where one is missing, and CnnspecError for a file that is no array.
    """
    split = any((folder / "train" / name).exists() for name in _NAMES)
    if not split and not any((folder / name).exists() for name in _NAMES):
        return None
    if not split:
        return Given(_pair(folder))
    val = next((folder / name for name in VAL_FOLDERS if (folder / name).is_dir()), None)
    test = folder / "test"
    return Given(
        _pair(folder / "train"),
        None if val is None else _pair(val),
        _pair(test) if test.is_dir() else None,
    )


def _pair(folder: Path) -> tuple[Array, Array]:
    x, y = (_mapped(folder / name) for name in _NAMES)
    return x, np.array(y)


def _mapped(path: Path) -> Array:
    """The array in a file, where it lies. Nothing that is written to it comes to the file."""
    if not path.exists():
        raise UsageError(f"there is no {path}", hint="a folder of arrays holds `x.npy` and `y.npy`")
    return map_array(path)
