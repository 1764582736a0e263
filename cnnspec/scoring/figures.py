"""What is said of a network whose answers are labels, numbers or masks: every figure, from what its objective noted."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, TypeAlias

from cnnspec.tasks import FIGURES, TaskName

if TYPE_CHECKING:
    from torch import Tensor

    from cnnspec.data.sets import DataSet
    from cnnspec.training.objectives.base import Objective

__all__ = ["LabelScore", "MaskScore", "NumberScore", "TaskAssessment", "assess_noted"]


@dataclass(frozen=True)
class LabelScore:
    """One class of several: how many images have it, from which probability on it is given, and how well."""

    name: str
    images: int
    threshold: float
    average_precision: float | None  # None where no image has it
    precision: float
    recall: float
    f1: float


@dataclass(frozen=True)
class NumberScore:
    """One number, in its unit: the mean absolute error, the root of the mean squared one, and R²."""

    name: str
    unit: str
    mae: float
    rmse: float
    r2: float | None  # None where the number is the same in all images


@dataclass(frozen=True)
class MaskScore:
    """One class of masks: its share of all places, how much of it is found, and its intersection over union."""

    name: str
    share: float
    precision: float
    recall: float
    iou: float | None  # None of one that is neither there nor given


Score: TypeAlias = LabelScore | NumberScore | MaskScore


@dataclass(frozen=True)
class TaskAssessment:
    """The figures of a network on a set of images; `loss` is the default one of its task.

    `figures` has them by their keys, and `scores` those of each class or number. `confusion[true][predicted]` counts
    places of masks, and is empty elsewhere.
    """

    target: str
    data: str
    split: str
    task: TaskName
    images: int
    loss: float
    figures: dict[str, float | None]
    scores: tuple[Score, ...]
    confusion: tuple[tuple[int, ...], ...] = ()
    inputs: str = "images"  # what they are called: images, signals or volumes

    def __repr__(self) -> str:
        key, value = next(iter(self.figures.items()))
        shown = FIGURES[key].named(value)
        return (
            f"<TaskAssessment of {self.target}: {shown} on {self.images:,} {self.split} {self.inputs} of {self.data}>"
        )

    def to_dict(self) -> dict[str, object]:
        """Plain data, as `--format json` prints it."""
        return {"cnnspec": 1, **asdict(self)}


def assess_noted(
    objective: Objective, noted: Tensor, loss: float, images: int, data: DataSet, *, target: str, split: str
) -> TaskAssessment:
    """Everything that follows from what was noted of `images` images, whose mean loss is `loss`."""
    task = objective.task
    found = TaskAssessment(
        target=target,
        data=data.name,
        split=split,
        task=task.name,
        images=images,
        loss=loss,
        figures=dict(objective.figures(noted)),
        scores=(),
        inputs=data.inputs,
    )
    if task.target == "mask":
        confusion = tuple(tuple(row) for row in noted.tolist())
        return replace(found, scores=tuple(_of_masks(noted, data.classes)), confusion=confusion)
    count = noted.shape[1] // 2
    given, true = noted[:, :count], noted[:, count:]
    if task.target == "labels":
        thresholds = objective.answers.thresholds or (0.5,) * count
        return replace(found, scores=tuple(_of_labels(given, true.long(), data.classes, thresholds)))
    names, units = objective.answers.names(count), objective.answers.units or ("",) * count
    return replace(found, scores=tuple(_of_numbers(given.double(), true.double(), names, units)))


def _of_labels(
    probabilities: Tensor, true: Tensor, names: tuple[str, ...], thresholds: tuple[float, ...]
) -> list[LabelScore]:
    from torchmetrics.functional.classification import binary_average_precision

    scores = []
    for name, share, truth, threshold in zip(names, probabilities.T, true.T, thresholds, strict=True):
        given, count = share >= threshold, int(truth.sum())
        hits = int((given & (truth > 0)).sum())
        precise = float(binary_average_precision(share, truth)) if count else None
        scores.append(
            LabelScore(
                name=name,
                images=count,
                threshold=threshold,
                average_precision=precise,
                precision=hits / max(1, int(given.sum())),
                recall=hits / max(1, count),
                f1=2 * hits / max(1, int(given.sum()) + count),
            )
        )
    return scores


def _of_numbers(given: Tensor, true: Tensor, names: tuple[str, ...], units: tuple[str, ...]) -> list[NumberScore]:
    from torchmetrics.functional.regression import mean_absolute_error, mean_squared_error, r2_score

    scores = []
    for name, unit, ours, truth in zip(names, units, given.T, true.T, strict=True):
        varied = len(truth) > 1 and bool((truth != truth[0]).any())
        scores.append(
            NumberScore(
                name=name,
                unit=unit,
                mae=float(mean_absolute_error(ours, truth)),
                rmse=float(mean_squared_error(ours, truth, squared=False)),
                r2=float(r2_score(ours, truth)) if varied else None,
            )
        )
    return scores


def _of_masks(matrix: Tensor, names: tuple[str, ...]) -> list[MaskScore]:
    from cnnspec.training.objectives.masks import mask_ious

    hits, actual, given = matrix.diagonal(), matrix.sum(1), matrix.sum(0)
    total = max(1, int(matrix.sum()))
    return [
        MaskScore(
            name=name,
            share=int(actual[number]) / total,
            precision=int(hits[number]) / max(1, int(given[number])),
            recall=int(hits[number]) / max(1, int(actual[number])),
            iou=iou,
        )
        for number, (name, iou) in enumerate(zip(names, mask_ious(matrix), strict=True))
    ]
