"""Scoring what is no classifier: every batch is noted by the objective of the task, as in training."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from cnnspec.data.batches import batches
from cnnspec.data.sets import DataSet, ImageSet
from cnnspec.errors import UsageError
from cnnspec.scoring.figures import TaskAssessment, assess_noted
from cnnspec.tasks import Answers
from cnnspec.training.objectives.choose import scoring_objective
from cnnspec.training.objectives.masks import MaskObjective, cropped

if TYPE_CHECKING:
    from cnnspec.training.objectives.base import Objective

__all__ = ["assess_outputs", "split_of"]

BATCH = 64
WORST = 25  # images that are drawn

Outputs = Callable[[Tensor], Tensor]  # of a batch of images as the data set has them, float32 on the CPU


def split_of(data: DataSet, split: str) -> tuple[ImageSet, Tensor]:
    """The images of a split, and which rows. Raises UsageError where there are no test images."""
    if split == "val":
        return data.val, data.val_rows
    if data.test is None:
        raise UsageError(f"{data.name} has no test images", hint="`--split val`")
    return data.test, torch.arange(len(data.test))


def assess_outputs(
    outputs: Outputs, answers: Answers, data: DataSet, split: str, *, target: str, workers: int, sheet: Path | None
) -> TaskAssessment:
    """Score what gives these outputs, and draw it on `sheet`: the residuals, or the worst masks over their images.

    Raises UsageError where the data are of another task.
    """
    source, rows = split_of(data, split)
    objective = scoring_objective(data, answers)
    loss, noted, each = 0.0, list[Tensor](), list[Tensor]()
    for images, targets in batches(source, rows, BATCH, torch.device("cpu"), workers=workers):
        given = outputs(images)
        loss += float(objective.loss(given, targets))
        noted.append(objective.note(given, targets))
        if isinstance(objective, MaskObjective) and sheet is not None:
            each.append(_shares(objective, given, targets))
    whole = torch.stack(noted).sum(0) if objective.adds else torch.cat(noted)
    found = assess_noted(objective, whole, loss / max(1, len(rows)), len(rows), data, target=target, split=split)
    if sheet is not None and found.task == "regression":
        from cnnspec.training.plots import plot_residuals

        count = whole.shape[1] // 2
        plot_residuals(whole[:, :count].tolist(), whole[:, count:].tolist(), answers, sheet)
    elif sheet is not None and found.task == "segmentation" and len(source.targets.shape) == 3:
        _draw_masks(outputs, objective, source, rows, torch.cat(each), sheet)
    return found


def _shares(objective: MaskObjective, given: Tensor, targets: Tensor) -> Tensor:
    """Of each image, the share of its places that are recognised, `(B,)`."""
    masks = cropped(targets, given).long()
    known = (masks != objective.ignore).flatten(1)
    right = (given.argmax(1) == masks).flatten(1) & known
    return right.sum(1) / known.sum(1).clamp(min=1)


def _draw_masks(
    outputs: Outputs, objective: Objective, source: ImageSet, rows: Tensor, shares: Tensor, sheet: Path
) -> None:
    """The worst images with the true mask over them, and beside it the one that is given."""
    import numpy as np

    from cnnspec.runtime.answers import overlaid
    from cnnspec.scoring.pictured import as_pixels
    from cnnspec.training.plots import plot_overlays

    worst = shares.argsort(stable=True)[:WORST]
    drawn = []
    for place in worst.tolist():
        ((images, targets),) = batches(source, rows[place : place + 1], 1, torch.device("cpu"))
        given = outputs(images)
        pixels = as_pixels(images[0].numpy())
        true = cropped(targets, given)[0].numpy().astype(np.uint8)
        ignored = true == objective.answers.ignore
        found = given.argmax(1)[0].numpy().astype(np.uint8)
        path = source.paths[int(rows[place])].name if source.paths else None
        over, own = overlaid(np.where(ignored, 0, true), pixels), overlaid(found, pixels)
        drawn.append((over, own, f"{shares[place]:.1%}", path))
    plot_overlays(drawn, sheet)
