"""Regression: numbers of each input, in their units."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from cnnspec.tasks import TASKS, Answers, TaskOptions
from cnnspec.training.config import TrainConfig
from cnnspec.training.objectives.base import Figures, Objective, loss_word

__all__ = ["NumbersObjective", "number_figures"]


class NumbersObjective(Objective):
    """Outputs `(B, numbers)` and numbers `(B, numbers)` in their units.

    The network learns `(number - mean) / std`, with the mean and the standard deviation of the training images.
    """

    task = TASKS["regression"]

    def __init__(self, config: TrainConfig, answers: Answers, device: torch.device) -> None:
        super().__init__(answers)
        self.word = loss_word(config, self.task)
        self.mean, self.std = (torch.tensor(scale, device=device) for scale in (answers.mean, answers.std))

    @staticmethod
    def measured(targets: Tensor, options: TaskOptions | None) -> Answers:
        """How outputs are read that are taught these numbers `(N, numbers)`, those of the training images."""
        exact = targets.double()
        spread = exact.std(0, correction=0)
        return Answers(
            "regression",
            numbers=options.numbers if options else (),
            units=options.units if options else (),
            mean=tuple(exact.mean(0).tolist()),
            std=tuple(torch.where(spread > 0, spread, 1.0).tolist()),
        )

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Half the squared error, the absolute one, or Huber's (1964) that is squared up to 1 and absolute beyond.

        Of the scaled numbers, and the mean over them.
        """
        wanted = (targets - self.mean) / self.std
        if self.word == "absolute-error":
            each = (outputs - wanted).abs()
        elif self.word == "huber":
            each = functional.huber_loss(outputs, wanted, reduction="none")
        else:
            each = (outputs - wanted).square() / 2
        return each.mean(1).sum()

    def note(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """What is predicted and what is true, in their units, float32 `(B, 2 * numbers)`."""
        return torch.cat([outputs * self.std + self.mean, targets], 1)

    def figures(self, noted: Tensor) -> Figures:
        """R² and the mean absolute error, each the mean over the numbers."""
        count = noted.shape[1] // 2
        return number_figures(noted[:, :count], noted[:, count:])


def number_figures(predicted: Tensor, true: Tensor) -> Figures:
    """`r2` and `mae` of `(N, numbers)`; R² is None where a number is the same in all images."""
    from torchmetrics.functional.regression import mean_absolute_error, r2_score

    if not len(true):
        return {"r2": None, "mae": None}
    error = float(mean_absolute_error(predicted.double().flatten(), true.double().flatten()))
    if len(true) < 2 or bool((true == true[0]).all(0).any()):
        return {"r2": None, "mae": error}
    return {"r2": float(r2_score(predicted.double(), true.double())), "mae": error}
