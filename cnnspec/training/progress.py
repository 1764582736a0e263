"""What a training run says while it runs, and who may end it early."""

from __future__ import annotations

import os
from typing import Protocol

from cnnspec.training.metrics import EpochMetrics

__all__ = ["Progress", "Silent", "speaks"]


def speaks() -> bool:
    """Whether this is the one of the processes started by torchrun that says how the run went."""
    return os.environ.get("RANK", "0") == "0"


class Progress(Protocol):
    """Listens to a run. `step` is called about once a second, whatever the speed."""

    def message(self, text: str) -> None:
        """Something that a person should know, in one line."""

    def step(self, epoch: int, epochs: int, seen: int, images: int, loss: float, images_per_second: float) -> None:
        """`seen` of `images` of epoch `epoch` of `epochs` are done; `loss` is the mean of this epoch so far."""

    def epoch(self, metrics: EpochMetrics) -> bool | None:
        """An epoch has been trained, evaluated and saved. True ends the run here, as its last epoch would.

        That is not remembered: a run that is resumed goes on.
        """


class Silent:
    """Says nothing to anybody."""

    def message(self, text: str) -> None:
        """Nothing."""

    def step(self, epoch: int, epochs: int, seen: int, images: int, loss: float, images_per_second: float) -> None:
        """Nothing."""

    def epoch(self, metrics: EpochMetrics) -> None:
        """Nothing."""
