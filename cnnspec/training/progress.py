"""What a training run tells while it runs."""

from __future__ import annotations

import os
from typing import Any, Protocol

__all__ = ["Progress", "Silent", "speaks"]


def speaks() -> bool:
    """Whether this is the one of the processes started by torchrun that tells how the run went."""
    return os.environ.get("RANK", "0") == "0"


class Progress(Protocol):
    """Listens to a run. `step` is called a few times a second, whatever the speed."""

    def message(self, text: str) -> None:
        """Something that a person should know, in one line."""

    def step(self, epoch: int, epochs: int, seen: int, images: int, loss: float, images_per_second: float) -> None:
        """`seen` of `images` of epoch `epoch` of `epochs` are done; `loss` is the mean of this epoch so far."""

    def epoch(self, metrics: dict[str, Any]) -> None:
        """An epoch has been trained and evaluated."""


class Silent:
    """Tells nobody."""

    def message(self, text: str) -> None:
        """Nothing."""

    def step(self, epoch: int, epochs: int, seen: int, images: int, loss: float, images_per_second: float) -> None:
        """Nothing."""

    def epoch(self, metrics: dict[str, Any]) -> None:
        """Nothing."""
