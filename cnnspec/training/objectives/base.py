"""What training asks of a task: a loss, what is noted of every batch that is scored, and the figures of all that."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import ClassVar, TypeAlias

import torch
from torch import Tensor

from cnnspec.errors import UsageError
from cnnspec.tasks import Answers, Task
from cnnspec.training.config import TrainConfig

__all__ = ["Figures", "Objective", "class_weights", "loss_word"]

Figures: TypeAlias = Mapping[str, float | None]  # by their keys; None where there is none, as of a single class


class Objective(ABC):
    """A task as training has it. Outputs are float32 `(B, …)` on the device, and targets as `TargetKind` has them."""

    task: ClassVar[Task]
    adds: ClassVar[bool] = False  # what is noted is added up; else it has a row for each image
    settles: ClassVar[bool] = False  # whether something is chosen after training
    mixes: ClassVar[bool] = False  # whether mixtures of two targets are targets too

    def __init__(self, answers: Answers) -> None:
        self.answers = answers

    @abstractmethod
    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """The loss, summed over the batch, `()`."""

    @abstractmethod
    def note(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """All that the figures need of a batch, on the device and without waiting for it."""

    @abstractmethod
    def figures(self, noted: Tensor) -> Figures:
        """The task's figures, from what was noted of all images, on the CPU."""

    def recognised(self, outputs: Tensor, targets: Tensor) -> Tensor | None:
        """Which images are recognised, bool `(B,)`; None where nothing of the kind is counted in training."""
        return None

    def settle(self, noted: Tensor) -> None:
        """Choose what is chosen after training, from what was noted of the validation images; where it `settles`."""
        raise AssertionError(f"{self.task.name} has nothing to settle")


def loss_word(config: TrainConfig, task: Task) -> str:
    """The loss that is meant. Raises UsageError for one that is of another task, and for what goes with another."""
    word = config.loss or task.losses[0]
    if word not in task.losses:
        raise UsageError(f"--loss {word} is not for {task.name}", hint=f"there are: {', '.join(task.losses)}")
    if config.label_smoothing and (task.target, word) != ("class", "cross-entropy"):
        of = "cross-entropy" if task.target == "class" else "classification"
        raise UsageError(f"--label-smoothing is for {of}", hint="`--label-smoothing 0`")
    if config.class_weights is not None and not task.has_classes:
        raise UsageError(f"--class-weights are for classes, and {task.name} has none")
    return word


def class_weights(config: TrainConfig, counts: Tensor, device: torch.device) -> Tensor | None:
    """The weight of each class, `(classes,)`, where classes have weights. Raises UsageError."""
    weights: Tensor | None = None
    if config.class_weights == "balanced":
        weights = counts.sum() / (len(counts) * counts.clamp(min=1))
    elif config.class_weights is not None:
        weights = torch.tensor(config.class_weights)
        if len(weights) != len(counts):
            raise UsageError(f"class_weights has {len(weights)} numbers, and there are {len(counts)} classes")
    return None if weights is None else weights.to(device, torch.float32)
