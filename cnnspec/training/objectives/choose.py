"""The objective of a data set's task."""

from __future__ import annotations

import torch

from cnnspec.data.sets import DataSet
from cnnspec.errors import UsageError
from cnnspec.tasks import Answers, TaskOptions
from cnnspec.training.config import TrainConfig
from cnnspec.training.objectives.base import Objective
from cnnspec.training.objectives.classes import ClassObjective
from cnnspec.training.objectives.labels import LabelsObjective
from cnnspec.training.objectives.masks import MaskObjective
from cnnspec.training.objectives.numbers import NumbersObjective

__all__ = ["make_objective", "scoring_objective"]


def make_objective(
    config: TrainConfig,
    data: DataSet,
    options: TaskOptions | None,
    device: torch.device,
    answers: Answers | None = None,
) -> Objective:
    """What a network is taught by this data set, with what a spec says of its task.

    `answers` are how the outputs of one that is trained are read; without them they are settled here.
    Raises UsageError for options of training that are not of this task.
    """
    objective: Objective
    match data.task.target:
        case "class":
            objective = ClassObjective(config, data.counts, device)
        case "labels":
            answers = answers or Answers("multi-label")
            objective = LabelsObjective(config, data.counts, len(data.train_rows), answers, device)
        case "numbers":
            answers = answers or NumbersObjective.measured(data.train.targets[data.train_rows], options)
            objective = NumbersObjective(config, answers, device)
        case "mask":
            objective = MaskObjective(config, data.counts, data.ignore, device)
    if config.mixup and not objective.mixes:
        raise UsageError(
            f"--mixup mixes classes, and {data.task.name} is taught {data.task.taught}", hint="`--mixup 0`"
        )
    return objective


def scoring_objective(data: DataSet, answers: Answers) -> Objective:
    """What scores a trained network, whose outputs are read so, on the CPU. Raises UsageError for another task."""
    if data.task.name != answers.task:
        raise UsageError(f"{data.name} is for {data.task.name}, and the network was trained for {answers.task}")
    return make_objective(TrainConfig(), data, None, torch.device("cpu"), answers)
