"""Masks that a network gives, as picture files: alone, and over their images."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from cnnspec.errors import CnnspecError, UsageError
from cnnspec.files import rewritten_path
from cnnspec.images import read_whole, size_of
from cnnspec.intake import Intake, inputs_word
from cnnspec.ops import Shape
from cnnspec.runtime.answers import Answer, MaskPrediction, overlaid
from cnnspec.runtime.array_files import ARRAY_SUFFIXES
from cnnspec.tasks import DEFAULT_IGNORE

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL import Image

    from cnnspec.runtime.predictor import Predictor

__all__ = ["spread", "with_pictures"]


def with_pictures(
    predictor: Predictor, predictions: Iterable[Answer], *, masks: str | None, overlays: str | None,
    size: str = "photo",
) -> Iterator[Answer]:  # fmt: skip
    """The same predictions, each with its mask written into the folder `masks`, and over its image into `overlays`.

    They are as large as an image in a file is, or, with `size="network"` and for all else, as the mask. A picture has
    the name of its image and ends in `.png`, a mask of a signal or a volume in `.npy`; where that is taken, `-2` and so
    on behind it. Raises UsageError for a network that gives no masks, or none of images where they are to lie over
    those, and CnnspecError where a folder cannot be written.
    """
    if predictor.answers.task != "segmentation":
        raise UsageError(
            f"--masks and --overlays are of segmentation, and {predictor.path} is for {predictor.answers.task}"
        )
    if overlays is not None and len(predictor.metadata.input_shape) != 3:
        what = inputs_word(predictor.metadata.input_shape)
        raise UsageError(f"--overlays are of images, and {predictor.path} reads {what}", hint="`--masks` writes arrays")
    folders = [Path(folder) for folder in (masks, overlays) if folder is not None]
    for folder in folders:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise CnnspecError(f"cannot make the folder {folder}: {error.strerror or error}") from None
    return _written(predictor, predictions, masks, overlays, size)


def _written(
    predictor: Predictor, predictions: Iterable[Answer], masks: str | None, overlays: str | None, size: str
) -> Iterator[Answer]:
    outside = DEFAULT_IGNORE if predictor.answers.ignore is None else predictor.answers.ignore
    taken: set[str] = set()
    for each in predictions:
        assert isinstance(each, MaskPrediction)
        flat = each.mask.ndim == 2
        name = _free_name(each.source, ".png" if flat else ".npy", taken)
        is_image = not each.source.lower().endswith(ARRAY_SUFFIXES) and os.path.isfile(each.source)
        whole = size == "photo" and is_image and flat
        if masks is not None and not flat:
            with rewritten_path(Path(masks) / name) as temporary, open(temporary, "wb") as file:
                np.save(file, each.mask)
        elif masks is not None:
            shown = replace(each, mask=_at_size_of_photo(predictor, each, outside)) if whole else each
            _write(shown.picture(), Path(masks) / name)
        if overlays is not None:
            if not is_image:
                raise UsageError("--overlays wants images in files, which are read again")
            if whole:
                pixels = read_whole(each.source, max_pixels=predictor.max_pixels)
                over = overlaid(_at_size_of_photo(predictor, each, 0), pixels)
            else:
                over = each.overlay(predictor.pixels(each.source))
            _write(over, Path(overlays) / name)
        yield each


def _at_size_of_photo(predictor: Predictor, answer: MaskPrediction, outside: int) -> NDArray[np.uint8]:
    about, size = predictor.metadata, size_of(answer.source, max_pixels=predictor.max_pixels)
    return spread(answer.mask, about.input_shape, about.intake, size, outside)


def spread(
    mask: NDArray[np.uint8], shape: Shape, intake: Intake, size: tuple[int, int], outside: int
) -> NDArray[np.uint8]:
    """A mask `(h, w)` over an image of this size, width and height, that was fitted to an input `(C, H, W)`.

    Each place has the class of the nearest of the mask; what the network did not see, or says nothing of, is `outside`.
    """
    (wide, high), (left, top, *_) = intake.place(size, (shape[2], shape[1]))
    rows = _nearest(size[1], high, top + (shape[1] - mask.shape[0]) // 2, mask.shape[0])
    columns = _nearest(size[0], wide, left + (shape[2] - mask.shape[1]) // 2, mask.shape[1])
    whole = np.full((size[1], size[0]), outside, np.uint8)
    whole[np.ix_(rows >= 0, columns >= 0)] = mask[np.ix_(rows[rows >= 0], columns[columns >= 0])]
    return whole


def _nearest(size: int, resized: int, start: int, count: int) -> NDArray[np.int64]:
    """For each of `size` places of an axis its nearest of `count` that begin at `start` of the resized one; or -1."""
    places = (2 * np.arange(size) + 1) * resized // (2 * size) - start
    return np.where((places >= 0) & (places < count), places, -1)


def _free_name(source: str, suffix: str, taken: set[str]) -> str:
    """A name for the picture of `source`: `a.png` of `photos/a.jpg`, `x-3.png` of sample 3 of a file, `x.npy[3]`."""
    path, _, place = source.partition("[") if source.endswith("]") else (source, "", "")
    stem = Path(path).stem + (f"-{place[:-1]}" if place else "") if source != "-" else "stdin"
    name, count = f"{stem}{suffix}", 1
    while name in taken:
        count += 1
        name = f"{stem}-{count}{suffix}"
    taken.add(name)
    return name


def _write(picture: Image.Image, path: Path) -> None:
    with rewritten_path(path) as temporary:
        picture.save(temporary, format="PNG")
