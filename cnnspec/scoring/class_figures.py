"""The figures of a classifier: everything that can be said from its probabilities and the labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

__all__ = ["BINS", "Assessment", "ClassScore", "Mistake", "calibration_bins", "measure"]

BINS: Final = 15  # of the calibration error
WORST: Final = 25  # mistakes that are kept


@dataclass(frozen=True)
class ClassScore:
    """One class: of the images called so, how many are (precision), and of those that are, how many are found."""

    name: str
    images: int
    precision: float
    recall: float
    f1: float


@dataclass(frozen=True)
class Mistake:
    """An image that was taken for something else, with the probability of that. `row` counts within the split.

    `path` is its file, where every image has one.
    """

    row: int
    path: str | None
    true: str
    predicted: str
    probability: float


@dataclass(frozen=True)
class Assessment:
    """The figures of a network on a set of images.

    `loss` is the mean cross-entropy, `top5` None below six classes, `calibration_error` the expected one over 15 bins
    of confidence (Guo et al. 2017), `confusion[true][predicted]` a number of images.
    """

    target: str
    data: str
    split: str
    images: int
    loss: float
    accuracy: float
    top5: float | None
    calibration_error: float
    classes: tuple[ClassScore, ...]
    confusion: tuple[tuple[int, ...], ...]
    mistakes: tuple[Mistake, ...]
    inputs: str = "images"  # what they are called: images, signals or volumes

    def __repr__(self) -> str:
        judged = f"{self.images:,} {self.split} {self.inputs} of {self.data}"
        return f"<Assessment of {self.target}: {self.accuracy:.2%} of {judged}>"

    def to_dict(self) -> dict[str, object]:
        """Plain data, as `--format json` prints it."""
        return {"cnnspec": 1, **asdict(self)}


def measure(
    probabilities: Tensor | NDArray[np.float32],
    labels: Tensor | NDArray[np.int64],
    classes: tuple[str, ...],
    *,
    target: str = "",
    data: str = "",
    split: str = "",
    paths: Sequence[str] | None = None,
) -> Assessment:
    """Every figure, from probabilities `(N, classes)` and labels `(N,)`: arrays, or tensors on the CPU.

    `paths` are the files of the images, where they have some.
    """
    scores, truth = np.asarray(probabilities, np.float32), np.asarray(labels, np.int64)
    count, rows = len(classes), np.arange(len(truth))
    predicted = scores.argmax(1)
    right = predicted == truth
    matrix = np.bincount(truth * count + predicted, minlength=count * count).reshape(count, count)
    hits, actual, given = matrix.diagonal(), matrix.sum(1), matrix.sum(0)
    precision, recall = hits / np.maximum(given, 1), hits / np.maximum(actual, 1)
    f1 = 2 * hits / np.maximum(actual + given, 1)
    best = np.argsort(-scores, axis=1, kind="stable")[:, :5]
    surest = scores[rows, predicted]
    wrong = np.flatnonzero(~right)
    wrong = wrong[np.argsort(-surest[wrong], kind="stable")][:WORST]
    return Assessment(
        target=target,
        data=data,
        split=split,
        images=len(labels),
        loss=float(-np.log(np.maximum(scores[rows, truth], 1e-30, dtype=np.float64)).mean()),
        accuracy=float(right.mean()),
        top5=float((best == truth[:, None]).any(1).mean()) if count > 5 else None,
        calibration_error=_calibration_error(surest, right),
        classes=tuple(
            ClassScore(name, int(actual[i]), float(precision[i]), float(recall[i]), float(f1[i]))
            for i, name in enumerate(classes)
        ),
        confusion=tuple(tuple(row) for row in matrix.tolist()),
        mistakes=tuple(
            Mistake(
                row=row,
                path=paths[row] if paths else None,
                true=classes[truth[row]],
                predicted=classes[predicted[row]],
                probability=float(surest[row]),
            )
            for row in wrong.tolist()
        ),
    )


def calibration_bins(
    confidences: NDArray[np.float32], right: NDArray[np.bool_]
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
    """Of bins of confidence of equal width: how many images are in each, how many right, and their confidences' sum."""
    edges = np.linspace(0, 1, BINS + 1, dtype=np.float32)
    bins = np.clip(np.searchsorted(edges, confidences, side="right") - 1, 0, BINS)
    count, hits, sure = (np.bincount(bins, weights, BINS + 1) for weights in (None, right, confidences))
    return count.astype(np.int64), hits.astype(np.float64), sure.astype(np.float64)


def _calibration_error(confidences: NDArray[np.float32], right: NDArray[np.bool_]) -> float:
    """The mean distance of accuracy and confidence in bins of confidence, each by its share of the images."""
    _, hits, sure = calibration_bins(confidences, right)
    return float(np.abs(hits - sure).sum() / len(right))
