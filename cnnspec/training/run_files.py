"""The files of a run, to which others may have written: read, and checked before anything is made of them.

Importing this module imports no torch.
"""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import Annotated, Any, Final, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from cnnspec.errors import CnnspecError
from cnnspec.tasks import CLASSES, FIGURES, TASKS, Answers, TaskName
from cnnspec.training.metrics import figures_in

__all__ = ["ANSWERS", "CHECKPOINTS", "Natural", "check_links", "checked", "read_answers", "read_json", "read_result"]

T = TypeVar("T")

ANSWERS: Final = "answers.json"
CHECKPOINTS: Final = "checkpoints"
Natural = Annotated[int, Field(strict=True, ge=0)]


Real = Annotated[float, Field(allow_inf_nan=False)]
Name = Annotated[str, Field(max_length=10_000)]


class _Figures(BaseModel):
    """What is read of result.json, as it is there; beside it the figures of the task."""

    task: TaskName = "classification"
    test_images: Natural | None = None
    epochs: Natural | None = None
    best_epoch: Natural | None = None


class _Answers(BaseModel):
    """answers.json."""

    model_config = ConfigDict(extra="forbid")

    task: TaskName
    numbers: tuple[Name, ...] = ()
    units: tuple[Name, ...] = ()
    mean: tuple[Real, ...] = ()
    std: tuple[Annotated[Real, Field(gt=0)], ...] = ()
    thresholds: tuple[Annotated[Real, Field(ge=0, le=1)], ...] = ()
    ignore: Annotated[int, Field(ge=0, le=255)] | None = None


M = TypeVar("M", bound=BaseModel)


def check_links(folder: Path) -> None:
    """Raise CnnspecError where a run's folder holds anything but files and folders of its own.

    A link may lead to the files of somebody else, and a pipe or a device has no end.
    """
    for place in (folder, folder / CHECKPOINTS):
        try:
            entries = list(os.scandir(place))
        except FileNotFoundError:
            continue
        except OSError as error:
            raise CnnspecError(f"{place} cannot be read: {error.strerror or error}") from None
        for entry in entries:
            if not (entry.is_file(follow_symlinks=False) or entry.is_dir(follow_symlinks=False)):
                what = "a link" if entry.is_symlink() else "no regular file"
                raise CnnspecError(
                    f"{entry.path} is {what}, and a run has only files of its own",
                    hint="take it away, or copy what it is",
                )


def checked(model: type[M], content: object, path: Path) -> M:
    """Content of a file as `model`. Raises CnnspecError where it is something else."""
    try:
        return model.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise CnnspecError(f"{path} is damaged: {where + ': ' if where else ''}{first['msg']}") from None


def read_answers(path: Path) -> Answers:
    """How a run's outputs are read, from its file; without one as scores of classes. Raises CnnspecError."""
    if not path.exists():
        return CLASSES
    return Answers(**checked(_Answers, read_json(path, dict), path).model_dump())


def read_result(path: Path) -> dict[str, Any] | None:
    """The figures of a finished run; None where there are none. Raises CnnspecError where one is what none can be."""
    if not path.exists():
        return None
    result = read_json(path, dict)
    _check_result(result, path)
    return result


def _check_result(result: dict[str, Any], path: Path) -> None:
    """Raise CnnspecError unless the figures that are read of result.json are what such figures can be."""
    task = TASKS[checked(_Figures, result, path).task]
    for split in ("val", "test"):
        found = figures_in(split, result)
        if split == "test" and task.best.key not in found:
            raise CnnspecError(f"{path} is damaged: it has no `test_{task.best.key}`")
        for key, value in found.items():
            share = FIGURES[key].share
            if value is not None and not (type(value) in (int, float) and math.isfinite(value)):
                raise CnnspecError(f"{path} is damaged: `{split}_{key}` is no number")
            if value is not None and share and not 0 <= value <= 1:
                raise CnnspecError(f"{path} is damaged: `{split}_{key}` is no share")


def read_json(path: Path, kind: type[T]) -> T:
    """What a JSON file holds. Raises CnnspecError where it cannot be read or holds something else than a `kind`."""
    try:
        content = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise CnnspecError(f"{path} cannot be read: {error}") from None
    if not isinstance(content, kind):
        raise CnnspecError(f"{path} is damaged: it holds no {kind.__name__}")
    return content
