"""The digits as they come from different places: options of a run for each, which train it on the same images."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits

from cnnspec.data.given import IN_PYTHON, Given


def arrays() -> tuple[np.ndarray, np.ndarray]:
    digits = load_digits()
    return (digits.images[:, None] * 15.9).astype(np.uint8), digits.target


def given(data: object, **options: Any) -> dict[str, Any]:
    return {"given": Given.of(data), "data": IN_PYTHON, **options}


class Rows:
    """A data set with rows."""

    def __init__(self) -> None:
        self.x, self.y = arrays()

    def __len__(self) -> int:
        return len(self.y)

    def __getitem__(self, row: int) -> tuple[np.ndarray, int]:
        return self.x[row], int(self.y[row])


def stream() -> Iterator[tuple[np.ndarray, int]]:
    rows = Rows()
    return (rows[row] for row in range(len(rows)))


def as_floats(folder: Path) -> dict[str, Any]:
    x, y = arrays()
    return given((x.astype(np.float64) / 255, y))


def as_npz(folder: Path) -> dict[str, Any]:
    path = folder / "digits.npz"
    if not path.exists():
        x, y = arrays()
        np.savez(path, x=x.astype(np.float32) / 255, y=y)
    return {"data": str(path)}


def as_files(folder: Path) -> Path:
    """Two hundred of them as pictures, in folders."""
    top = folder / "pictures"
    if not top.exists():
        x, y = arrays()
        for row in range(200):
            (top / str(y[row])).mkdir(parents=True, exist_ok=True)
            Image.fromarray(x[row, 0]).save(top / str(y[row]) / f"{row}.png")
    return top


def as_zip(folder: Path) -> dict[str, Any]:
    path = folder / "pictures.zip"
    if not path.exists():
        with zipfile.ZipFile(path, "w") as archive:
            for each in sorted(as_files(folder).rglob("*.png")):
                archive.write(each, each.relative_to(folder))
    return {"data": str(path), "loading": "streaming", "workers": 0}


def as_photos(folder: Path) -> dict[str, Any]:
    return {"data": str(as_files(folder)), "augment": "photo", "policy": "trivialaugment", "workers": 0}


SOURCES: dict[str, Callable[[Path], dict[str, Any]]] = {
    "digits": lambda folder: {},
    "arrays": lambda folder: given(arrays()),
    "floats": as_floats,
    "rows": lambda folder: given(Rows()),
    "rows read anew": lambda folder: given(Rows(), loading="streaming", workers=0),
    "stream": lambda folder: given(stream()),
    "stream in a cache": lambda folder: given(stream(), loading="streaming", cache=str(folder / "cache")),
    "npz": as_npz,
    "files": lambda folder: {"data": str(as_files(folder)), "loading": "streaming", "workers": 0},
    "zip": as_zip,
    "photos": as_photos,
}
