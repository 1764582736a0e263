"""An assessment as text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from cnnspec.scoring.assess import Assessment

__all__ = ["render"]

SHOWN: Final = 5  # mistakes
WIDEST_MATRIX: Final = 20  # classes


def render(found: Assessment, sheet: str | None) -> str:
    """The figures, the classes, the confusion matrix where it is small, and the worst mistakes."""
    lines = [
        f"{found.target} on {found.images:,} {found.split} images of {found.data}",
        f"  accuracy           {found.accuracy:8.2%}",
        *([f"  top-5 accuracy     {found.top5:8.2%}"] if found.top5 is not None else []),
        f"  cross-entropy      {found.loss:8.4f}",
        f"  calibration error  {found.calibration_error:8.2%}  (expected, 15 bins)",
        "",
    ]
    width = max(5, *(len(each.name) for each in found.classes))
    lines.append(f"{'class':{width}}  images  precision  recall      F1")
    for each in found.classes:
        lines.append(f"{each.name:{width}}  {each.images:6,}  {each.precision:9.2%} {each.recall:7.2%} {each.f1:7.2%}")
    if len(found.classes) <= WIDEST_MATRIX:
        cells = max(4, *(len(str(value)) + 1 for row in found.confusion for value in row))
        lines += ["", "true below, predicted to the right"]
        lines.append(" " * width + "".join(f"{each.name[: cells - 1]:>{cells}}" for each in found.classes))
        for each, row in zip(found.classes, found.confusion, strict=True):
            lines.append(f"{each.name:{width}}" + "".join(f"{value or '.':>{cells}}" for value in row))
    if found.mistakes:
        lines += ["", f"worst of {found.images - round(found.accuracy * found.images):,} mistakes"]
        for mistake in found.mistakes[:SHOWN]:
            lines.append(f"  {mistake.true} taken for {mistake.predicted}, {mistake.probability:.1%} sure")
        if sheet is not None:
            lines.append(f"  drawn in {sheet}")
    return "\n".join(lines)
