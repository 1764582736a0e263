"""An assessment as text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from cnnspec.cli.render.foreign import visible

if TYPE_CHECKING:
    from cnnspec.scoring.assess import Assessment

__all__ = ["render"]

SHOWN: Final = 5  # mistakes
WIDEST_MATRIX: Final = 20  # classes


def render(assessment: Assessment, sheet: str | None) -> str:
    """The figures, the classes, the confusion matrix where it is small, and the worst mistakes."""
    target, data = visible(assessment.target), visible(assessment.data)
    lines = [
        f"{target} on {assessment.images:,} {assessment.split} images of {data}",
        f"  accuracy           {assessment.accuracy:8.2%}",
        *([f"  top-5 accuracy     {assessment.top5:8.2%}"] if assessment.top5 is not None else []),
        f"  cross-entropy      {assessment.loss:8.4f}",
        f"  calibration error  {assessment.calibration_error:8.2%}  (expected, 15 bins)",
        "",
    ]
    names = [visible(each.name) for each in assessment.classes]
    width = max(5, *map(len, names))
    lines.append(f"{'class':{width}}  images  precision  recall      F1")
    for name, each in zip(names, assessment.classes, strict=True):
        lines.append(f"{name:{width}}  {each.images:6,}  {each.precision:9.2%} {each.recall:7.2%} {each.f1:7.2%}")
    if len(assessment.classes) <= WIDEST_MATRIX:
        cells = max(4, *(len(str(value)) + 1 for row in assessment.confusion for value in row))
        lines += ["", "true below, predicted to the right"]
        lines.append(" " * width + "".join(f"{name[: cells - 1]:>{cells}}" for name in names))
        for name, row in zip(names, assessment.confusion, strict=True):
            lines.append(f"{name:{width}}" + "".join(f"{value or '.':>{cells}}" for value in row))
    if assessment.mistakes:
        lines += ["", f"worst of {assessment.images - round(assessment.accuracy * assessment.images):,} mistakes"]
        for mistake in assessment.mistakes[:SHOWN]:
            mixed_up = f"{visible(mistake.true)} taken for {visible(mistake.predicted)}"
            file = f": {visible(mistake.path)}" if mistake.path else ""
            lines.append(f"  {mixed_up}, {mistake.probability:.1%} sure{file}")
        if sheet is not None:
            lines.append(f"  drawn in {visible(sheet)}")
    return "\n".join(lines)
