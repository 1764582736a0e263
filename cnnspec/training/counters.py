"""How far a run has come, and what is judged by its figures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from cnnspec.errors import CnnspecError
from cnnspec.training.config import TrainConfig

__all__ = ["Counters", "check_finite", "farewell", "mean_loss", "merit", "patience_is_over"]


@dataclass
class Counters:
    """How far a run has come. Plain values, saved in every checkpoint."""

    epoch: int = 0  # finished epochs
    position: int = 0  # images of the running epoch that are done
    step: int = 0  # updates so far
    first_step: int = 0  # updates before the running epoch
    seconds: float = 0.0
    best: dict[str, Any] | None = None  # the metrics of the best epoch
    history: list[dict[str, Any]] = field(default_factory=list)  # the metrics of every epoch


def check_finite(model: nn.Module | None, losses: Tensor, at: Counters) -> None:
    """Raise CnnspecError that names the first step of this epoch whose loss is not finite."""
    bad = (~losses.isfinite()).nonzero()
    if len(bad):
        step = at.first_step + int(bad[0])
        raise CnnspecError(
            f"the loss is {float(losses[bad[0]])} at step {step + 1} (epoch {at.epoch + 1})"
            + ("; the best weights are those from before" if at.best else ""),
            hint="a lower `--lr`, or `--clip 1`",
        )
    if model is not None and not all(bool(tensor.isfinite().all()) for tensor in model.parameters()):
        raise CnnspecError(
            f"the weights are no longer finite after step {at.step} (epoch {at.epoch + 1})",
            hint="a lower `--lr`, or `--clip 1`",
        )


def mean_loss(losses: Tensor, count: int, size: int) -> float:
    """The mean over images of the losses of steps, of which the last may have fewer images."""
    weights = torch.full_like(losses, size, dtype=torch.float64, device="cpu")
    weights[-1] = count - size * (len(losses) - 1)
    return float((losses.cpu() * weights).sum() / count)


def merit(metrics: Mapping[str, Any]) -> tuple[float, float]:
    """By which the best epoch is chosen."""
    return metrics["val_accuracy"], -metrics["val_loss"]


def patience_is_over(config: TrainConfig, at: Counters) -> bool:
    """Whether too many epochs have gone by without a better one."""
    return config.patience is not None and at.best is not None and at.epoch - at.best["epoch"] >= config.patience


def farewell(at: Counters, steps: int, folder: Path) -> tuple[str, str]:
    """What to say when a signal ends the run, and the way to continue."""
    return f"stopped after {at.step} of {steps} steps; nothing is lost", f"`cnnspec train --resume {folder}` continues"
