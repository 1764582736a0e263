"""How far a run has come, and what is judged by its losses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypedDict

import torch
from torch import Tensor, nn

from cnnspec.errors import CnnspecError
from cnnspec.training.metrics import EpochMetrics

__all__ = ["Counters", "CountersRecord", "check_finite", "mean_loss"]


class CountersRecord(TypedDict):
    """The counters as plain values, as a checkpoint holds them."""

    epoch: int
    position: int
    step: int
    first_step: int
    seconds: float
    best: Mapping[str, object] | None
    history: list[Mapping[str, object]]


@dataclass
class Counters:
    """How far a run has come, saved in every checkpoint."""

    epoch: int = 0  # finished epochs
    position: int = 0  # images of the running epoch that are done
    step: int = 0  # updates so far
    first_step: int = 0  # updates before the running epoch
    seconds: float = 0.0
    best: EpochMetrics | None = None
    history: list[EpochMetrics] = field(default_factory=list)  # one per finished epoch

    def record(self) -> CountersRecord:
        """The counters as plain values."""
        return {
            "epoch": self.epoch,
            "position": self.position,
            "step": self.step,
            "first_step": self.first_step,
            "seconds": self.seconds,
            "best": None if self.best is None else self.best.model_dump(),
            "history": [metrics.model_dump() for metrics in self.history],
        }

    @staticmethod
    def from_record(record: CountersRecord) -> Counters:
        """The counters that `record` gave. `best` is one of `history` again."""
        history = [EpochMetrics.model_validate(metrics) for metrics in record["history"]]
        best = None
        if record["best"] is not None:
            best = history[EpochMetrics.model_validate(record["best"]).epoch - 1]
        return Counters(
            record["epoch"], record["position"], record["step"], record["first_step"], record["seconds"], best, history
        )


def check_finite(model: nn.Module | None, losses: Tensor, counters: Counters) -> None:
    """Raise CnnspecError that names the first step of this epoch whose loss is not finite; `losses` are `(steps,)`."""
    bad = (~losses.isfinite()).nonzero()
    if len(bad):
        step = counters.first_step + int(bad[0])
        raise CnnspecError(
            f"the loss is {float(losses[bad[0]])} at step {step + 1} (epoch {counters.epoch + 1})"
            + ("; the best weights are those from before" if counters.best else ""),
            hint="a lower `--lr`, or `--clip 1`",
        )
    if model is not None and not all(bool(tensor.isfinite().all()) for tensor in model.parameters()):
        raise CnnspecError(
            f"the weights are no longer finite after step {counters.step} (epoch {counters.epoch + 1})",
            hint="a lower `--lr`, or `--clip 1`",
        )


def mean_loss(losses: Tensor, count: int, size: int) -> float:
    """The mean over images of the losses of steps, of which the last may have fewer images."""
    weights = torch.full_like(losses, size, dtype=torch.float64, device="cpu")
    weights[-1] = count - size * (len(losses) - 1)
    return float((losses.cpu() * weights).sum() / count)
