"""What the rest of a run depends on: what a checkpoint holds, and how it is put back."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn

from cnnspec.training.counters import Counters

__all__ = ["RunState"]


@dataclass(frozen=True)
class RunState:
    """All that training changes, but for the counters."""

    model: nn.Module
    averaged: nn.Module | None
    optimizer: torch.optim.Optimizer
    scaler: torch.amp.GradScaler
    losses: Tensor  # of the running epoch's steps
    device: torch.device

    def collect(self, at: Counters, losses: Tensor, origin: dict[str, Any]) -> dict[str, Any]:
        """Everything as plain values and tensors; `losses` are those of all processes."""
        random = {"cpu": torch.get_rng_state()}
        if self.device.type == "cuda":
            random["cuda"] = torch.cuda.get_rng_state(self.device)
        return {
            "counters": asdict(at),
            "origin": origin,
            "model": self.model.state_dict(),
            "averaged": None if self.averaged is None else self.averaged.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.scaler.state_dict(),
            "losses": losses,
            "random": random,
        }

    def restore(self, state: dict[str, Any]) -> Counters:
        """Put back what was collected, and say how far the run had come."""
        self.model.load_state_dict(state["model"])
        if self.averaged is not None:
            self.averaged.load_state_dict(state["averaged"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.scaler.load_state_dict(state["scaler"])
        self.losses.copy_(state["losses"])
        torch.set_rng_state(state["random"]["cpu"])
        if self.device.type == "cuda" and "cuda" in state["random"]:
            torch.cuda.set_rng_state(state["random"]["cuda"], self.device)
        at = Counters(**state["counters"])
        if at.best is not None:
            at.best = at.history[at.best["epoch"] - 1]
        return at
