"""The learning rate against torch's schedulers."""

from __future__ import annotations

import pytest
import torch
from torch.optim import lr_scheduler

from cnnspec.training.config import TrainConfig
from cnnspec.training.schedule import learning_rate

STEPS = 300


def rates(scheduler: lr_scheduler.LRScheduler, optimizer: torch.optim.Optimizer) -> list[float]:
    found = []
    for _ in range(STEPS):
        found.append(float(optimizer.param_groups[0]["lr"]))
        optimizer.step()
        scheduler.step()
    return found


def sgd(lr: float) -> torch.optim.Optimizer:
    return torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr)


@pytest.mark.parametrize("warmup", [None, 0.1])
def test_one_cycle_is_torchs(warmup: float | None) -> None:
    config = TrainConfig(schedule="one-cycle", lr=0.4, warmup=warmup)
    optimizer = sgd(0.4)
    scheduler = lr_scheduler.OneCycleLR(optimizer, 0.4, total_steps=STEPS, pct_start=warmup or 0.3)
    wanted = rates_of_one_cycle(scheduler, optimizer)
    assert [learning_rate(config, step, STEPS, 10) for step in range(STEPS)] == pytest.approx(wanted, abs=1e-12)


def rates_of_one_cycle(scheduler: lr_scheduler.LRScheduler, optimizer: torch.optim.Optimizer) -> list[float]:
    found = [float(optimizer.param_groups[0]["lr"])]
    for _ in range(STEPS - 1):  # torch refuses one step more
        optimizer.step()
        scheduler.step()
        found.append(float(optimizer.param_groups[0]["lr"]))
    return found


def test_cosine_is_torchs() -> None:
    config = TrainConfig(schedule="cosine", lr=0.4)
    optimizer = sgd(0.4)
    wanted = rates(lr_scheduler.CosineAnnealingLR(optimizer, STEPS), optimizer)
    assert [learning_rate(config, step, STEPS, 10) for step in range(STEPS)] == pytest.approx(wanted, abs=1e-9)


def test_cosine_rises_in_a_line() -> None:
    config = TrainConfig(schedule="cosine", lr=0.4, warmup=0.1)
    assert [learning_rate(config, step, STEPS, 10) for step in (0, 14, 29)] == pytest.approx([0.4 / 30, 0.2, 0.4])
    assert learning_rate(config, 30, STEPS, 10) == pytest.approx(0.4)


def test_step_is_torchs() -> None:
    config = TrainConfig(schedule="step", lr=0.4, step_epochs=7, step_factor=0.5)
    optimizer = sgd(0.4)
    wanted = rates(lr_scheduler.StepLR(optimizer, 70, 0.5), optimizer)
    assert [learning_rate(config, step, STEPS, 10) for step in range(STEPS)] == pytest.approx(wanted)


def test_constant() -> None:
    assert {learning_rate(TrainConfig(schedule="constant", lr=0.3), s, STEPS, 10) for s in range(STEPS)} == {0.3}


def test_a_run_of_one_step_has_a_rate() -> None:
    for schedule in ("constant", "step", "cosine", "one-cycle"):
        assert learning_rate(TrainConfig(schedule=schedule), 0, 1, 1) > 0  # type: ignore[arg-type]
