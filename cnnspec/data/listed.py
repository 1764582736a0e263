"""Images that a table lists with what is taught of each, and images beside their masks."""

from __future__ import annotations

import csv
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from PIL import Image, UnidentifiedImageError

from cnnspec.cores import usable_cores
from cnnspec.data.classes import VAL_FOLDERS, some
from cnnspec.data.folder import contents_of
from cnnspec.data.labels import read_targets
from cnnspec.data.load import load_parts
from cnnspec.data.sets import DataSet, Files, OpenOptions
from cnnspec.data.splits import split_parts
from cnnspec.data.targets import ignored
from cnnspec.errors import CnnspecError, UsageError
from cnnspec.graph import Graph
from cnnspec.images import FORMATS, SUFFIXES, check_shape
from cnnspec.jpegs import read_start
from cnnspec.ops import show_shape
from cnnspec.tasks import Task

__all__ = ["has_masks", "open_masks", "open_table"]

MAX_BYTES: Final = 2**28  # of a table
Array = np.ndarray[Any, np.dtype[Any]]


def open_table(path: Path, graph: Graph, task: Task, options: OpenOptions) -> DataSet:
    """A CSV file: in each row the path of an image, from the table's folder, and behind it what is taught of it.

    That is the name or number of its class, those of all its classes, its numbers, or the path of its mask. A first row
    whose first cell is no file has the names of the columns. Raises UsageError and CnnspecError.
    """
    rows = _rows(path)
    paths = [path.parent / row[0] for row in rows]
    absent = [each.name for each in paths if not each.is_file()]
    if absent:
        raise CnnspecError(f"{path} lists {len(absent):,} files that are not there: {some(absent)}")
    names: tuple[str, ...] = options.classes or graph.classes
    if task.target == "mask":
        taught: Array = _read_masks(paths, [path.parent / row[1] for row in rows], graph, options)
    elif task.target == "numbers":
        taught = _numbers(path, rows)
    elif task.target == "labels":
        names = names or tuple(sorted({label for row in rows for label in row[1:] if label}))
        taught = _several(path, rows, names)
    else:
        taught = np.array([row[1] for row in rows])
        if all(label.isdigit() for label in taught) and not names:
            taught = taught.astype(np.int64)
    return _opened(path, {"train": (paths, taught)}, names, graph, task, options)


def has_masks(path: Path) -> bool:
    """Whether a folder has images beside their masks, or a part `train` that has."""
    return any((place / "images").is_dir() and (place / "masks").is_dir() for place in (path, path / "train"))


def open_masks(path: Path, graph: Graph, task: Task, options: OpenOptions) -> DataSet:
    """`DIR/images/*` and `DIR/masks/*`, each mask of the name of its image; or the same in `DIR/train`, `val`, `test`.

    A mask is an image of one channel or of a palette, whose values are the numbers of the classes. Raises UsageError
    for another task, and CnnspecError for an image without a mask or one of another size.
    """
    if task.target != "mask":
        raise UsageError(f"{path} has masks, and {graph.name} is for {task.name}, which is taught {task.taught}")
    parts = {"train": path if (path / "images").is_dir() else path / "train"}
    if parts["train"] != path:
        val = next((path / name for name in VAL_FOLDERS if (path / name / "images").is_dir()), None)
        parts |= {"val": val} if val is not None else {}
        parts |= {"test": path / "test"} if (path / "test" / "images").is_dir() else {}
    listed: dict[str, tuple[list[Path], Array]] = {}
    for part, folder in parts.items():
        images = sorted(each for each in (folder / "images").iterdir() if each.suffix.lower() in SUFFIXES)
        masks = {each.stem: each for each in (folder / "masks").iterdir() if each.suffix.lower() in SUFFIXES}
        lonely = [each.name for each in images if each.stem not in masks]
        if lonely or not images:
            what = f"no mask of {some(lonely)}" if images else "no images"
            raise CnnspecError(f"{folder} has {what}", hint="`images/a.jpg` has its mask in `masks/a.png`")
        listed[part] = images, _read_masks(images, [masks[each.stem] for each in images], graph, options)
    return _opened(path, listed, options.classes or graph.classes, graph, task, options)


def _opened(
    path: Path, listed: dict[str, tuple[list[Path], Array]], names: tuple[str, ...], graph: Graph, task: Task,
    options: OpenOptions,
) -> DataSet:  # fmt: skip
    shape = graph.input_shape if len(graph.input_shape) == 2 else check_shape(graph.input_shape)
    shown = {part: str(path) if part == "train" else f"{path / part}" for part in listed}
    given = {part: taught for part, (_, taught) in listed.items()}
    taught = read_targets(given, shown, names, graph, task, options.classes)
    files = {
        part: Files(tuple(paths), taught.targets[part], shape, options.max_pixels, graph.intake)
        for part, (paths, _) in listed.items()
    }
    sources = load_parts(files, options, "image")
    data = split_parts(path.resolve().name, taught.classes, sources, options, task, ignored(graph))
    contents = contents_of(path.parent, listed["train"][0])
    return replace(data, place=Path(os.path.abspath(path)), contents=contents)


def _rows(path: Path) -> list[list[str]]:
    """The rows of a table that list images. Raises CnnspecError where it cannot be read or has none."""
    if path.stat().st_size > MAX_BYTES:
        raise CnnspecError(f"{path} has more than {MAX_BYTES:,} bytes")
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            rows = [[cell.strip() for cell in row] for row in csv.reader(file) if any(row)]
    except (OSError, ValueError, csv.Error) as error:
        raise CnnspecError(f"{path} cannot be read as CSV: {error!s:.200}") from None
    if rows and not (path.parent / rows[0][0]).is_file():
        rows = rows[1:]
    short = next((number for number, row in enumerate(rows, 1) if len(row) < 2), None)
    if not rows or short is not None:
        what = f"row {short} has no more than one cell" if short is not None else "it lists no image"
        raise CnnspecError(f"{path}: {what}", hint="a row is `cats/1.png,cat`, or a path and numbers")
    return rows


def _numbers(path: Path, rows: Sequence[Sequence[str]]) -> Array:
    count = len(rows[0]) - 1
    numbers = np.empty((len(rows), count))
    for place, row in enumerate(rows):
        try:
            numbers[place] = [float(cell) for cell in row[1:]]
        except ValueError:
            raise CnnspecError(f"{path}: behind {row[0]} stand {', '.join(row[1:])}, and not {count} numbers") from None
    return numbers


def _several(path: Path, rows: Sequence[Sequence[str]], names: tuple[str, ...]) -> Array:
    """Which of the classes each row names, 0 or 1 of each."""
    places = {name: place for place, name in enumerate(names)}
    taught = np.zeros((len(rows), len(names)), np.uint8)
    for number, row in enumerate(rows):
        for label in filter(None, row[1:]):
            if label not in places:
                raise CnnspecError(f"{path}: {row[0]} has the class `{label:.60}`; there are {some(names)}")
            taught[number, places[label]] = 1
    return taught


def _read_masks(images: Sequence[Path], masks: Sequence[Path], graph: Graph, options: OpenOptions) -> Array:
    """The masks at the network's size, by the nearest place. Raises CnnspecError for one of another size."""
    if graph.intake.fit != "stretch":
        raise UsageError(f"images with masks are stretched to the network's size, and {graph.name} has another `fit`")
    height, width = check_shape(graph.input_shape)[1:]

    def read(image: Path, mask: Path) -> Array:
        values = _read_mask(mask, options.max_pixels)
        size = _size(image)
        if size is not None and size != values.shape:
            raise CnnspecError(f"{mask} is {show_shape(values.shape)}, and its image {show_shape(size)}")
        rows = (np.arange(height) * 2 + 1) * values.shape[0] // (2 * height)
        columns = (np.arange(width) * 2 + 1) * values.shape[1] // (2 * width)
        fitted: Array = values[rows][:, columns]
        return fitted

    taught = np.empty((len(masks), height, width), np.uint8)
    with ThreadPoolExecutor(min(8, usable_cores())) as pool:
        for number, fitted in enumerate(pool.map(read, images, masks)):
            taught[number] = fitted
    return taught


def _size(path: Path) -> tuple[int, int] | None:
    """Height and width of an image as it is shown; None of one that cannot be read, which is told of later."""
    try:
        with open(path, "rb", buffering=0) as file:
            head = read_start(file)
        if head is not None and not head.described:  # in a fifth of the time
            return head.height, head.width
        with Image.open(path, formats=FORMATS) as image:
            turned = image.getexif().get(0x0112, 1) > 4
            return (image.width, image.height) if turned else (image.height, image.width)
    except Exception:  # decoders raise anything
        return None


def _read_mask(path: Path, max_pixels: int) -> Array:
    """The values of a mask. Raises CnnspecError."""
    try:
        with Image.open(path, formats=FORMATS) as mask:
            if mask.width * mask.height > max_pixels:
                raise CnnspecError(f"{path} has too many pixels: at most {max_pixels:,}, unless `--max-pixels` is more")
            if mask.mode not in ("1", "L", "P"):
                raise CnnspecError(
                    f"{path} is an image of mode {mask.mode}, and a mask has the number of a class at each place",
                    hint="save it with one channel of 8 bits, or with a palette",
                )
            return np.asarray(mask).astype(np.uint8, copy=False)
    except CnnspecError:
        raise
    except UnidentifiedImageError:
        raise CnnspecError(f"{path} is not an image that can be read") from None
    except Exception as error:  # decoders raise anything
        raise CnnspecError(f"{path} is broken: {' '.join(str(error).split()):.200}") from None
