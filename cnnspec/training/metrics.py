"""The figures of one epoch, as `metrics.jsonl` and every checkpoint hold them. Importing this imports no torch."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

__all__ = ["EpochMetrics", "merit"]


class EpochMetrics(BaseModel):
    """One finished epoch. The fields are the keys on disk, in their order there."""

    model_config = ConfigDict(frozen=True)

    epoch: int  # from 1
    step: int  # updates since the start of the run
    lr: float  # of the last step
    train_loss: float  # mean over the images, in training mode
    train_accuracy: float | None = None  # of the same passes: augmented, with dropout, while the weights change
    val_loss: float
    val_accuracy: float  # from 0 to 1
    seconds: float  # since the start of the run
    images_per_second: float  # in training


def merit(metrics: EpochMetrics) -> tuple[float, float]:
    """By which the best epoch is chosen: the higher the better."""
    return metrics.val_accuracy, -metrics.val_loss
