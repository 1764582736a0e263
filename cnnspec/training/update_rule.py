"""What an optimizer's first step makes of a weight, a line of arithmetic after the other.

The operations are torch's, in torch's order, so that the last line is what `torch.optim` gives, to the last bit.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Final

import torch
from torch import Tensor

from cnnspec.training.config import TrainConfig

__all__ = ["Arithmetic", "arithmetic", "summary"]

BETA1: Final = 0.9
BETA2: Final = 0.999
EPSILON: Final = 1e-8  # all three as torch's Adam and AdamW have them unless told otherwise


@dataclass
class Arithmetic:
    """A weight after the step, and how it came to that: one line for each quantity, where the weight is one number."""

    weight: Tensor
    lines: list[str] = field(default_factory=list)

    def note(self, symbol: str, formula: str, numbers: str, value: Tensor) -> None:
        """Write a line down: `v = momentum·v + g = 0.9·0 + 0.12 = 0.12`."""
        if value.ndim == 0:
            self.lines.append(f"{symbol} = {formula} = {numbers} = {show(value)}")


def show(value: Tensor) -> str:
    """A number in six digits, with a real minus; nothing of a tensor of several, which has no lines."""
    return f"{float(value):.6g}".replace("-", "−") if value.ndim == 0 else ""


def summary(config: TrainConfig) -> str:
    """The rule and its constants, as a person names them."""
    decay = f", weight decay {config.weight_decay:g}" if config.weight_decay else ""
    if config.optimizer == "sgd":
        momentum = f", {'Nesterov ' * config.nesterov}momentum {config.momentum:g}" if config.momentum else ""
        return f"SGD, rate {config.lr:g}{momentum}{decay}"
    name = "Adam" if config.optimizer == "adam" else "AdamW"
    return f"{name}, rate {config.lr:g}, betas {BETA1:g} and {BETA2:g}{decay}"


@torch.no_grad()
def arithmetic(config: TrainConfig, weight: Tensor, gradient: Tensor, *, decays: bool = True) -> Arithmetic:
    """The first step of `config`'s optimizer for a weight or a whole tensor; `decays` where decay is not for all."""
    decay = config.weight_decay if decays or config.decay_norms else 0.0
    if config.optimizer == "sgd":
        return _sgd(config, weight, gradient, decay)
    return _adam(config, weight, gradient, decay)


def _sgd(config: TrainConfig, weight: Tensor, gradient: Tensor, decay: float) -> Arithmetic:
    """Sutskever et al. 2013, in torch's form: the rate multiplies the velocity."""
    told = Arithmetic(weight)
    step, name = _decayed(told, gradient, decay)
    if config.momentum:
        velocity = torch.zeros_like(step).mul_(config.momentum).add_(step)
        told.note("v", f"momentum·v + {name}", f"{config.momentum:g}·0 + {_bracketed(step)}", velocity)
        if config.nesterov:
            looked_ahead = step.add(velocity, alpha=config.momentum)
            told.note(
                "n", f"{name} + momentum·v", f"{show(step)} + {config.momentum:g}·{_bracketed(velocity)}", looked_ahead
            )
            step, name = looked_ahead, "n"
        else:
            step, name = velocity, "v"
    told.weight = weight.add(step, alpha=-config.lr)
    told.note("w′", f"w − rate·{name}", f"{show(weight)} − {config.lr:g}·{_bracketed(step)}", told.weight)
    return told


def _adam(config: TrainConfig, weight: Tensor, gradient: Tensor, decay: float) -> Arithmetic:
    """Kingma and Ba 2014; with decay apart from the gradient, Loshchilov and Hutter 2017."""
    told = Arithmetic(weight)
    if config.optimizer == "adam":
        step, name = _decayed(told, gradient, decay)
        kept, kept_name = weight, "w"
    else:
        step, name = gradient, "gradient"
        kept, kept_name = weight.mul(1 - config.lr * decay), "u"
        if decay:
            told.note("u", "(1 − rate·decay)·w", f"(1 − {config.lr:g}·{decay:g})·{_bracketed(weight)}", kept)
        else:
            kept_name = "w"
    mean = torch.zeros_like(step).lerp_(step, 1 - BETA1)
    told.note("m", f"β₁·m + (1 − β₁)·{name}", f"{BETA1:g}·0 + {1 - BETA1:g}·{_bracketed(step)}", mean)
    square = torch.zeros_like(step).mul_(BETA2).addcmul_(step, step, value=1 - BETA2)
    told.note("s", f"β₂·s + (1 − β₂)·{name}²", f"{BETA2:g}·0 + {1 - BETA2:g}·{_bracketed(step)}²", square)
    size = config.lr / (1 - BETA1)
    below = (square.sqrt() / math.sqrt(1 - BETA2)).add_(EPSILON)
    told.note("d", "√s / √(1 − β₂) + ε", f"√{show(square)} / √{1 - BETA2:g} + {EPSILON:g}", below)
    told.weight = kept.addcdiv(mean, below, value=-size)
    numbers = f"{show(kept)} − {config.lr:g} / {1 - BETA1:g} · {_bracketed(mean)} / {show(below)}"
    told.note("w′", f"{kept_name} − rate / (1 − β₁) · m / d", numbers, told.weight)
    return told


def _decayed(told: Arithmetic, gradient: Tensor, decay: float) -> tuple[Tensor, str]:
    """The gradient with decay added to it, and what it is called from there on."""
    if not decay:
        return gradient, "gradient"
    step = gradient.add(told.weight, alpha=decay)
    told.note("g", "gradient + decay·w", f"{show(gradient)} + {decay:g}·{_bracketed(told.weight)}", step)
    return step, "g"


def _bracketed(value: Tensor) -> str:
    """A number behind a sign of multiplication."""
    text = show(value)
    return f"({text})" if text.startswith("−") else text
