"""Multi-label: of each input, which of the classes it has."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import torch
from torch import Tensor
from torch.nn import functional

from cnnspec.tasks import TASKS, Answers
from cnnspec.training.config import TrainConfig
from cnnspec.training.objectives.base import Figures, Objective, class_weights, loss_word

__all__ = ["LabelsObjective", "best_thresholds", "label_figures"]

HALF: Final = 0.5  # the threshold of every class until one is chosen


class LabelsObjective(Objective):
    """Scores `(B, classes)`, each of its own, and targets 0 or 1 `(B, classes)`."""

    task = TASKS["multi-label"]
    mixes = settles = True

    def __init__(
        self, config: TrainConfig, counts: Tensor, images: int, answers: Answers, device: torch.device
    ) -> None:
        """`counts` says how many of the `images` in training have each class."""
        super().__init__(answers)
        loss_word(config, self.task)
        balanced = config.class_weights == "balanced"
        self.weights = None if balanced else class_weights(config, counts, device)
        self.present = ((images - counts) / counts.clamp(min=1)).to(device, torch.float32) if balanced else None

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Cross-entropy of each class's sigmoid, the mean over the classes.

        Class weights multiply a class's term; balanced ones that of its presence, by the images without it for each
        with it.
        """
        each = functional.binary_cross_entropy_with_logits(
            outputs, targets.to(outputs.dtype), weight=self.weights, pos_weight=self.present, reduction="none"
        )
        return each.mean(1).sum()

    def note(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """The probabilities and the targets, float32 `(B, 2 * classes)`."""
        return torch.cat([outputs.sigmoid(), targets.to(outputs.dtype)], 1)

    def figures(self, noted: Tensor) -> Figures:
        """mAP and mean F1, at the thresholds that were chosen or one half."""
        return label_figures(*_halves(noted), self.answers.thresholds)

    def settle(self, noted: Tensor) -> None:
        """Choose each class's threshold: that of the highest F1."""
        self.answers = replace(self.answers, thresholds=best_thresholds(*_halves(noted)))


def _halves(noted: Tensor) -> tuple[Tensor, Tensor]:
    count = noted.shape[1] // 2
    return noted[:, :count], noted[:, count:].to(torch.int64)


def label_figures(probabilities: Tensor, targets: Tensor, thresholds: tuple[float, ...] = ()) -> Figures:
    """`map` and `f1`, each the mean over the classes that any image has; None where no image has any."""
    from torchmetrics.functional.classification import multilabel_average_precision, multilabel_f1_score

    there = targets.any(0)
    if not there.any():
        return {"map": None, "f1": None}
    scores, truth = probabilities[:, there], targets[:, there]
    limits = torch.tensor(thresholds or [HALF] * targets.shape[1])[there]
    given = (scores >= limits).to(torch.int64)
    count = int(there.sum())
    if count == 1:  # torchmetrics has no multi-label of one
        from torchmetrics.functional.classification import binary_average_precision, binary_f1_score

        found = binary_average_precision(scores[:, 0], truth[:, 0]), binary_f1_score(given[:, 0], truth[:, 0])
    else:
        found = (
            multilabel_average_precision(scores, truth, count, average="macro"),
            multilabel_f1_score(given, truth, count, average="macro"),
        )
    return {"map": float(found[0]), "f1": float(found[1])}


def best_thresholds(probabilities: Tensor, targets: Tensor) -> tuple[float, ...]:
    """For each class the threshold of the highest F1, midway between two probabilities; one half where none has it."""
    chosen = []
    for scores, truth in zip(probabilities.double().T, targets.T, strict=True):
        positives = int(truth.sum())
        if not positives:
            chosen.append(HALF)
            continue
        ordered, order = scores.sort(descending=True)
        hits = truth[order].cumsum(0).double()
        given = torch.arange(1, len(ordered) + 1, dtype=torch.float64)
        f1 = 2 * hits / (given + positives)
        last = torch.ones(len(ordered), dtype=torch.bool)
        last[:-1] = ordered[:-1] > ordered[1:]  # equal probabilities are given together
        place = int(torch.where(last, f1, -1.0).argmax())
        below = float(ordered[place + 1]) if place + 1 < len(ordered) else 0.0
        chosen.append(round((float(ordered[place]) + below) / 2, 6))
    return tuple(chosen)
