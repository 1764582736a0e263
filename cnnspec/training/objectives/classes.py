"""Classification: one class of each input."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import torch
from torch import Tensor
from torch.nn import functional

from cnnspec.data.prepare import one_hot
from cnnspec.tasks import TASKS, Answers
from cnnspec.training.config import TrainConfig
from cnnspec.training.objectives.base import Figures, Objective, class_weights, loss_word

__all__ = ["ClassObjective", "make_loss"]

TOP: Final = 5


class ClassObjective(Objective):
    """Scores `(B, classes)` and labels `(B,)`; in training also probabilities `(B, classes)`, of mixtures."""

    task = TASKS["classification"]
    mixes = True

    def __init__(self, config: TrainConfig, counts: Tensor, device: torch.device) -> None:
        super().__init__(Answers())
        self.classes = len(counts)
        self._loss = make_loss(config, counts, device)

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """As `make_loss`."""
        return self._loss(outputs, targets)

    def note(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """The true class, the predicted one, and how many classes come before the true one, int64 `(B, 3)`."""
        true = outputs.gather(1, targets[:, None])
        before = (outputs > true).sum(1)
        return torch.stack([targets, outputs.argmax(1), before], 1)

    def figures(self, noted: Tensor) -> Figures:
        """The share that is recognised, and above five classes that where it is among the first five."""
        true, predicted, before = noted.unbind(1)
        found: dict[str, float | None] = {"accuracy": _share(true == predicted)}
        if self.classes > TOP:
            found["top5"] = _share(before < TOP)
        return found

    def matrix(self, noted: Tensor) -> Tensor:
        """Images by true and predicted class, int64 `(classes, classes)`."""
        codes = noted[:, 0] * self.classes + noted[:, 1]
        return torch.bincount(codes, minlength=self.classes**2).view(self.classes, self.classes)

    def recognised(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Which are recognised; of mixtures the image with the larger share counts."""
        return outputs.argmax(1) == (targets.argmax(1) if targets.ndim > 1 else targets)


def _share(right: Tensor) -> float:
    return int(right.sum()) / max(1, len(right))


def make_loss(config: TrainConfig, counts: Tensor, device: torch.device) -> Callable[[Tensor, Tensor], Tensor]:
    """The loss of outputs `(B, classes)` and labels `(B,)` or probabilities `(B, classes)`, summed over the batch.

    Cross-entropy of the softmax, or half the sum over classes of `(target - probability)²`, as introductory texts
    use it (Rumelhart, Hinton and Williams 1986). Class weights multiply each image's loss.
    """
    word = loss_word(config, ClassObjective.task)
    weights = class_weights(config, counts, device)

    def cross_entropy(outputs: Tensor, labels: Tensor) -> Tensor:
        return functional.cross_entropy(
            outputs, labels, weight=weights, reduction="sum", label_smoothing=config.label_smoothing
        )

    def squared_error(outputs: Tensor, labels: Tensor) -> Tensor:
        target = one_hot(labels, outputs.shape[1], outputs.dtype) if labels.ndim == 1 else labels
        each = (target - outputs.softmax(1)).square().sum(1) / 2
        return (each if weights is None else each * (target @ weights)).sum()

    return cross_entropy if word == "cross-entropy" else squared_error
