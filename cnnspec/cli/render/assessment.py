"""An assessment as text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from typing import TYPE_CHECKING, Final

from cnnspec.api.terms import figure_texts
from cnnspec.cli.render.columns import aligned
from cnnspec.cli.render.foreign import visible

if TYPE_CHECKING:
    from cnnspec.api import Assessment, TaskAssessment

__all__ = ["render"]

SHOWN: Final = 5  # mistakes
WIDEST_MATRIX: Final = 20  # classes


def render(assessment: Assessment | TaskAssessment, sheet: str | None) -> str:
    """The figures, the classes or numbers, the confusion matrix where it is small, and the worst mistakes."""
    from cnnspec.api import TaskAssessment

    return _of_task(assessment, sheet) if isinstance(assessment, TaskAssessment) else _of_classes(assessment, sheet)


def _of_task(assessment: TaskAssessment, sheet: str | None) -> str:
    figures = [(name, text, "") for name, text in figure_texts(assessment.figures)]
    target, data = visible(assessment.target), visible(assessment.data)
    lines = [
        f"{target} on {assessment.images:,} {assessment.split} {assessment.inputs} of {data}",
        *(f"  {line}" for line in aligned([*figures, ("loss", f"{assessment.loss:.4f}", "")], (0, 2))),
        "",
    ]
    columns = [field.name for field in fields(assessment.scores[0])]
    heads = _HEADS | {"images": assessment.inputs}
    rows = [[heads.get(column, column) for column in columns]]
    rows += [[_cell(column, getattr(score, column)) for column in columns] for score in assessment.scores]
    lines += aligned(rows, (0, 1) if "unit" in columns else (0,))
    if assessment.confusion and len(assessment.scores) <= WIDEST_MATRIX:
        names = [visible(score.name) for score in assessment.scores]
        lines += ["", *_matrix(names, assessment.confusion)]
    if sheet is not None:
        lines += ["", f"drawn in {visible(sheet)}"]
    return "\n".join(lines)


_HEADS: Final = {"average_precision": "AP", "f1": "F1", "mae": "MAE", "rmse": "RMSE", "r2": "R²", "iou": "IoU"}
_IN_UNITS: Final = ("mae", "rmse", "r2", "threshold")


def _cell(column: str, value: str | float | None) -> str:
    if value is None:
        return "-"
    if isinstance(value, str):
        return visible(value)
    if column == "images":
        return f"{value:,}"
    return f"{value:.4g}" if column in _IN_UNITS else f"{value:.2%}"


def _of_classes(assessment: Assessment, sheet: str | None) -> str:
    target, data = visible(assessment.target), visible(assessment.data)
    figures = [
        ("accuracy", f"{assessment.accuracy:.2%}", ""),
        *([("top-5 accuracy", f"{assessment.top5:.2%}", "")] if assessment.top5 is not None else []),
        ("cross-entropy", f"{assessment.loss:.4f}", ""),
        ("calibration error", f"{assessment.calibration_error:.2%}", "(expected, 15 bins)"),
    ]
    lines = [
        f"{target} on {assessment.images:,} {assessment.split} {assessment.inputs} of {data}",
        *(f"  {line}" for line in aligned(figures, (0, 2))),
        "",
    ]
    names = [visible(each.name) for each in assessment.classes]
    rows = [["class", assessment.inputs, "precision", "recall", "F1"]]
    for name, each in zip(names, assessment.classes, strict=True):
        rows.append([name, f"{each.images:,}", *(f"{share:.2%}" for share in (each.precision, each.recall, each.f1))])
    lines += aligned(rows, (0,))
    if len(assessment.classes) <= WIDEST_MATRIX:
        lines += ["", *_matrix(names, assessment.confusion)]
    if assessment.mistakes:
        lines += ["", f"worst of {assessment.images - round(assessment.accuracy * assessment.images):,} mistakes"]
        for mistake in assessment.mistakes[:SHOWN]:
            mixed_up = f"{visible(mistake.true)} taken for {visible(mistake.predicted)}"
            file = f": {visible(mistake.path)}" if mistake.path else ""
            lines.append(f"  {mixed_up}, {mistake.probability:.1%} sure{file}")
        if sheet is not None:
            lines.append(f"  drawn in {visible(sheet)}")
    return "\n".join(lines)


def _matrix(names: Sequence[str], confusion: Sequence[Sequence[int]]) -> list[str]:
    widest = max(3, *(len(str(value)) for row in confusion for value in row))
    matrix = [["", *(name[:widest] for name in names)]]
    for name, counts in zip(names, confusion, strict=True):
        matrix.append([name, *(str(value or ".") for value in counts)])
    return ["true below, predicted to the right", *aligned(matrix, (0,))]
