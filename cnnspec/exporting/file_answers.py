"""What a file says of its answers: how its outputs are read, and which figure it was exported with."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from cnnspec.onnx_backend.metadata import Metadata
from cnnspec.onnx_backend.verify import Check
from cnnspec.tasks import CLASSES, Answers

if TYPE_CHECKING:
    from cnnspec.exporting.subject import Subject

__all__ = ["answers_of", "check_answers", "recorded"]


def answers_of(metadata: Metadata | None, against: Subject | None) -> Answers | None:
    """How a file's outputs are read: as it says itself, or else as those of what it is compared with."""
    if metadata is not None:
        return metadata.answers
    return against.answers if against is not None else CLASSES


def check_answers(metadata: Metadata, against: Subject) -> Check:
    """Whether the file's outputs are read as those of the run that it is compared with."""
    own, wanted = metadata.answers, against.answers
    if own == wanted:
        return Check("answers", True, f"read as the run does, for {own.task}" if own else "of no known task")
    told, kept = (asdict(each) if each else {"task": "none"} for each in (own, wanted))
    other = [key for key in kept if told.get(key) != kept[key]]
    return Check("answers", False, f"{', '.join(other)} of the file are not those of the run")


def recorded(metadata: Metadata, figure: str, data: str) -> float | None:
    """The figure on the test images of a data set that the file was exported with."""
    if metadata.precision == "int8":
        figures, key, images = metadata.analysis, f"{figure}_int8", "calibrated_with"
    else:
        figures, key, images = metadata.training, f"test_{figure}", "data"
    value = figures.get(key) if figures.get(images) == data else None
    return float(value) if isinstance(value, int | float) else None
