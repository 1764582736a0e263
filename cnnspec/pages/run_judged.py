"""What a run's best weights say of its images: confusion matrix with images, worst mistakes, calibration."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from PIL import Image

from cnnspec.pages.packed import Packed
from cnnspec.scoring.assess import Judged
from cnnspec.scoring.class_figures import calibration_bins

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["judged_data"]

SIDE: Final = 32  # pixels along each axis of a small picture, at most
IN_CELL: Final = 8  # pictures of one cell of the matrix
PICTURES: Final = 400  # of all cells
MOST_CLASSES: Final = 100  # of a matrix that is shown


def judged_data(judged: Judged) -> dict[str, Any]:
    """The figures of `Assessment`, bins of confidence, and small pictures: of mistakes first, then of what is right."""
    found = judged.measured()
    predicted = judged.probabilities.argmax(1)
    surest = judged.probabilities[np.arange(len(predicted)), predicted]
    counts, hits, sure = calibration_bins(surest, predicted == judged.labels)
    places = _shown(judged, predicted, surest, [mistake.row for mistake in found.mistakes])
    pack = Packed()
    pictures = []
    for place, image in zip(places, judged.pictures(places), strict=True):
        pixels = _small(image)
        pack.add(pixels)
        pictures.append(
            {
                "row": place,
                "true": int(judged.labels[place]),
                "predicted": int(predicted[place]),
                "probability": round(float(surest[place]), 4),
                "shape": list(pixels.shape),
            }
        )
    is_shown = len(judged.data.classes) <= MOST_CLASSES
    return {
        "data": found.data,
        "split": found.split,
        "images": found.images,
        "inputs": judged.data.inputs,
        "loss": found.loss,
        "accuracy": found.accuracy,
        "top5": found.top5,
        "calibrationError": found.calibration_error,
        "classes": [[each.name, each.images, each.precision, each.recall, each.f1] for each in found.classes],
        "confusion": [list(row) for row in found.confusion] if is_shown else None,
        "worst": [mistake.row for mistake in found.mistakes],
        "bins": [
            [int(count), float(right) / int(count), float(total) / int(count)] if count else None
            for count, right, total in zip(counts, hits, sure, strict=True)
        ],
        "pictures": pictures,
        "pixels": pack.text(),
    }


def _shown(
    judged: Judged, predicted: NDArray[np.int64], surest: NDArray[np.float32], worst: Sequence[int]
) -> list[int]:
    """Places of the images that are kept: the worst mistakes, then by turns of each cell those that are surest."""
    cells: dict[tuple[int, int], list[int]] = {}
    for place in np.argsort(-surest, kind="stable").tolist():
        cell = cells.setdefault((int(judged.labels[place]), int(predicted[place])), [])
        if len(cell) < IN_CELL:
            cell.append(place)
    by_need = sorted(cells.items(), key=lambda item: item[0][0] == item[0][1])  # what is wrong comes first
    turns = [places[turn] for turn in range(IN_CELL) for _, places in by_need if turn < len(places)]
    return list(dict.fromkeys([*worst, *turns]))[:PICTURES]


def _small(image: Image.Image) -> NDArray[np.uint8]:
    """`(C, H, W)`, at most 32 by 32."""
    image.thumbnail((SIDE, SIDE))
    pixels = np.asarray(image, np.uint8)
    return np.ascontiguousarray(pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1))
