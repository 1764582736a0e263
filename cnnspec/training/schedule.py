"""The learning rate as a function of the step: no state, so nothing to save."""

from __future__ import annotations

import math

from cnnspec.training.config import TrainConfig

__all__ = ["learning_rate"]

_START = 25.0  # one-cycle begins at lr / 25 and ends at a ten-thousandth of that, as torch's OneCycleLR does
_END = 1e4
_RISE = 0.3  # its share of the steps, as there


def learning_rate(config: TrainConfig, step: int, steps: int, steps_per_epoch: int) -> float:
    """The learning rate of step `step` (from 0) of `steps`.

    `one-cycle` is Smith and Topin 2018 with cosine annealing, as torch.optim.lr_scheduler.OneCycleLR works it out;
    `cosine` is Loshchilov and Hutter 2016, after a linear rise where `warmup` was asked for; `step` multiplies the
    rate by `step_factor` every `step_epochs` epochs.
    """
    top = config.lr
    match config.schedule:
        case "constant":
            return top
        case "step":
            return top * config.step_factor ** (step // (config.step_epochs * steps_per_epoch))
        case "cosine":
            rise = round((config.warmup or 0.0) * steps)
            if step < rise:
                return top * (step + 1) / rise
            return _anneal(top, 0.0, (step - rise) / max(1, steps - rise))
        case "one-cycle":
            peak = (_RISE if config.warmup is None else config.warmup) * steps - 1
            if step <= peak:
                return _anneal(top / _START, top, step / peak if peak > 0 else 1.0)
            return _anneal(top, top / _START / _END, (step - peak) / max(1e-9, steps - 1 - peak))


def _anneal(start: float, end: float, share: float) -> float:
    return end + (start - end) / 2 * (1 + math.cos(math.pi * min(1.0, share)))
