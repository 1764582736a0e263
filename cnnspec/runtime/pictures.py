"""Masks that a network gives, as picture files: alone, and over their images."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from cnnspec.errors import CnnspecError, UsageError
from cnnspec.files import rewritten_path
from cnnspec.runtime.answers import Answer, MaskPrediction

if TYPE_CHECKING:
    from PIL import Image

    from cnnspec.runtime.predictor import Predictor

__all__ = ["with_pictures"]


def with_pictures(
    predictor: Predictor, predictions: Iterable[Answer], *, masks: str | None, overlays: str | None
) -> Iterator[Answer]:
    """The same predictions, each with its mask written into the folder `masks`, and over its image into `overlays`.

    A picture has the name of its image and ends in `.png`; where that is taken, `-2` and so on behind it. Raises
    UsageError for a network that gives no masks of images, and CnnspecError where a folder cannot be written.
    """
    if predictor.answers.task != "segmentation":
        raise UsageError(
            f"--masks and --overlays are of segmentation, and {predictor.path} is for {predictor.answers.task}"
        )
    folders = [Path(folder) for folder in (masks, overlays) if folder is not None]
    for folder in folders:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise CnnspecError(f"cannot make the folder {folder}: {error.strerror or error}") from None
    return _written(predictor, predictions, masks, overlays)


def _written(
    predictor: Predictor, predictions: Iterable[Answer], masks: str | None, overlays: str | None
) -> Iterator[Answer]:
    taken: set[str] = set()
    for each in predictions:
        assert isinstance(each, MaskPrediction)
        name = _free_name(each.source, taken)
        if masks is not None:
            _write(each.picture(), Path(masks) / name)
        if overlays is not None:
            if not os.path.isfile(each.source):
                raise UsageError("--overlays wants images in files, which are read again")
            _write(each.overlay(predictor.pixels(each.source)), Path(overlays) / name)
        yield each


def _free_name(source: str, taken: set[str]) -> str:
    stem = Path(source).stem if source != "-" else "stdin"
    name, count = f"{stem}.png", 1
    while name in taken:
        count += 1
        name = f"{stem}-{count}.png"
    taken.add(name)
    return name


def _write(picture: Image.Image, path: Path) -> None:
    with rewritten_path(path) as temporary:
        picture.save(temporary, format="PNG")
