"""The digits as they come from different places, for every task: options of a run for each, on the same samples."""

from __future__ import annotations

import csv
import io
import json
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
from PIL import Image
from pyarrow import parquet
from sklearn.datasets import load_digits
from small_runs import TEXT

from cnnspec.data.given import IN_PYTHON, Given

FEW = 200  # of them are written as pictures
MAP = """
  conv: Conv2d(4, 3, padding=1)
  bn: BatchNorm2d
  relu: ReLU
  drop: Dropout(0.1)
  head: Conv2d(2, 1)
"""
TEXTS = {
    "classification": TEXT,
    "multi-label": TEXT.replace("layers:", "task: multi-label\nlayers:"),
    "regression": TEXT.replace("layers:", "task: regression\nlayers:").replace("Linear(10)", "Linear(2)"),
    "segmentation": TEXT.partition("layers:")[0] + "task: segmentation\nlayers:" + MAP,
}


def arrays(task: str = "classification") -> tuple[np.ndarray, np.ndarray]:
    """The digits, and of each its class; two classes; the sum and the middle of its ink; or where the ink is."""
    digits = load_digits()
    x, label = (digits.images[:, None] * 15.9).astype(np.uint8), digits.target
    match task:
        case "classification":
            return x, label
        case "multi-label":
            return x, np.eye(10, dtype=np.int64)[label] | np.eye(10, dtype=np.int64)[(label + 3) % 10]
        case "regression":
            ink = digits.images
            return x, np.stack([ink.sum((1, 2)), (ink * np.arange(8)).sum((1, 2)) / ink.sum((1, 2))], 1)
        case _:
            return x, (x[:, 0] > 100).astype(np.uint8)


def given(data: object, **options: Any) -> dict[str, Any]:
    return {"given": Given.of(data), "data": IN_PYTHON, **options}


class Rows:
    """A data set with rows."""

    def __init__(self, task: str) -> None:
        self.x, self.y = arrays(task)

    def __len__(self) -> int:
        return len(self.y)

    def __getitem__(self, row: int) -> tuple[np.ndarray, Any]:
        return self.x[row], self.y[row]


def stream(task: str) -> Iterator[tuple[np.ndarray, Any]]:
    rows = Rows(task)
    return (rows[row] for row in range(len(rows)))


def as_floats(folder: Path, task: str) -> dict[str, Any]:
    x, y = arrays(task)
    return given((x.astype(np.float64) / 255, y))


def as_npz(folder: Path, task: str) -> dict[str, Any]:
    path = folder / "digits.npz"
    if not path.exists():
        x, y = arrays(task)
        np.savez(path, x=x.astype(np.float32) / 255, y=y)
    return {"data": str(path)}


def as_npy(folder: Path, task: str) -> dict[str, Any]:
    top = folder / "mapped"
    if not top.exists():
        top.mkdir()
        for name, array in zip(("x", "y"), arrays(task), strict=True):
            np.save(top / f"{name}.npy", array)
    return {"data": str(top)}


def pictures(folder: Path, task: str) -> Path:
    """Some as pictures: in folders of classes, beside their masks, or with a table of what they are taught."""
    top = folder / "pictures"
    if top.exists():
        return top / "table.csv" if task in ("multi-label", "regression") else top
    x, y = arrays(task)
    for row in range(FEW):
        own = {"classification": str(y[row]), "segmentation": "images"}.get(task, ".")
        (top / own).mkdir(parents=True, exist_ok=True)
        Image.fromarray(x[row, 0]).save(top / own / f"{row}.png")
        if task == "segmentation":
            (top / "masks").mkdir(exist_ok=True)
            Image.fromarray(y[row]).save(top / "masks" / f"{row}.png")
    if task in ("multi-label", "regression"):
        with open(top / "table.csv", "w", newline="") as file:
            for row in range(FEW):
                taught = [f"d{k}" for k in np.flatnonzero(y[row])] if task == "multi-label" else y[row].tolist()
                csv.writer(file).writerow([f"{row}.png", *taught])
    return pictures(folder, task)


def as_files(folder: Path, task: str) -> dict[str, Any]:
    return {"data": str(pictures(folder, task)), "loading": "streaming", "workers": 0}


def as_zip(folder: Path, task: str) -> dict[str, Any]:
    path = folder / "pictures.zip"
    if not path.exists():
        with zipfile.ZipFile(path, "w") as archive:
            for each in sorted(pictures(folder, task).rglob("*.png")):
                archive.write(each, each.relative_to(folder))
    return {"data": str(path), "loading": "streaming", "workers": 0}


def as_photos(folder: Path, task: str) -> dict[str, Any]:
    varied = {"crop": 1.0} if task == "segmentation" else {"policy": "trivialaugment"}
    return {"data": str(pictures(folder, task)), "augment": "photo", "workers": 0, **varied}


def png(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, format="PNG")
    return file.getvalue()


def as_tar(folder: Path, task: str) -> dict[str, Any]:
    x, y = arrays(task)
    if not (folder / "shard-0.tar").exists():
        for shard in range(2):
            with tarfile.open(folder / f"shard-{shard}.tar", "w") as archive:
                for row in range(shard, FEW, 2):
                    for end, data in ("png", png(x[row, 0])), ("json", json.dumps(y[row].tolist()).encode()):
                        info = tarfile.TarInfo(f"{row:05}.{end}")
                        info.size = len(data)
                        archive.addfile(info, io.BytesIO(data))
    return {"data": f"{folder}/shard-{{0..1}}.tar", "loading": "streaming", "workers": 0}


def as_parquet(folder: Path, task: str) -> dict[str, Any]:
    path = folder / "digits.parquet"
    if not path.exists():
        x, y = arrays(task)
        images = [{"bytes": png(x[row, 0]), "path": None} for row in range(FEW)]
        parquet.write_table(pyarrow.table({"image": images, "label": y[:FEW].tolist()}), path, row_group_size=30)
    return {"data": str(path), "loading": "streaming", "workers": 0}


SOURCES: dict[str, Callable[[Path, str], dict[str, Any]]] = {
    "digits": lambda folder, task: {},
    "arrays": lambda folder, task: given(arrays(task)),
    "floats": as_floats,
    "rows": lambda folder, task: given(Rows(task)),
    "rows read anew": lambda folder, task: given(Rows(task), loading="streaming", workers=0),
    "stream": lambda folder, task: given(stream(task)),
    "stream in a cache": lambda folder, task: given(
        stream(task), loading="streaming", cache=str(folder / "cache")
    ),
    "npz": as_npz,
    "npy": as_npy,
    "files": as_files,
    "zip": as_zip,
    "photos": as_photos,
    "tar": as_tar,
    "parquet": as_parquet,
}  # fmt: skip
OF_CLASSES = ("digits", "zip")  # which teach one class of each image
PAIRS = [(task, source) for task in TEXTS for source in SOURCES if task == "classification" or source not in OF_CLASSES]
