"""An assessment as text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from cnnspec.cli.render.columns import aligned
from cnnspec.cli.render.foreign import visible

if TYPE_CHECKING:
    from cnnspec.api import Assessment

__all__ = ["render"]

SHOWN: Final = 5  # mistakes
WIDEST_MATRIX: Final = 20  # classes


def render(assessment: Assessment, sheet: str | None) -> str:
    """The figures, the classes, the confusion matrix where it is small, and the worst mistakes."""
    target, data = visible(assessment.target), visible(assessment.data)
    figures = [
        ("accuracy", f"{assessment.accuracy:.2%}", ""),
        *([("top-5 accuracy", f"{assessment.top5:.2%}", "")] if assessment.top5 is not None else []),
        ("cross-entropy", f"{assessment.loss:.4f}", ""),
        ("calibration error", f"{assessment.calibration_error:.2%}", "(expected, 15 bins)"),
    ]
    lines = [
        f"{target} on {assessment.images:,} {assessment.split} images of {data}",
        *(f"  {line}" for line in aligned(figures, (0, 2))),
        "",
    ]
    names = [visible(each.name) for each in assessment.classes]
    rows = [["class", "images", "precision", "recall", "F1"]]
    for name, each in zip(names, assessment.classes, strict=True):
        rows.append([name, f"{each.images:,}", *(f"{share:.2%}" for share in (each.precision, each.recall, each.f1))])
    lines += aligned(rows, (0,))
    if len(assessment.classes) <= WIDEST_MATRIX:
        widest = max(3, *(len(str(value)) for row in assessment.confusion for value in row))
        matrix = [["", *(name[:widest] for name in names)]]
        for name, counts in zip(names, assessment.confusion, strict=True):
            matrix.append([name, *(str(value or ".") for value in counts)])
        lines += ["", "true below, predicted to the right", *aligned(matrix, (0,))]
    if assessment.mistakes:
        lines += ["", f"worst of {assessment.images - round(assessment.accuracy * assessment.images):,} mistakes"]
        for mistake in assessment.mistakes[:SHOWN]:
            mixed_up = f"{visible(mistake.true)} taken for {visible(mistake.predicted)}"
            file = f": {visible(mistake.path)}" if mistake.path else ""
            lines.append(f"  {mixed_up}, {mistake.probability:.1%} sure{file}")
        if sheet is not None:
            lines.append(f"  drawn in {visible(sheet)}")
    return "\n".join(lines)
