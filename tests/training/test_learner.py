"""A learner trains alike whether its steps are plain or recorded. No GPU is needed: what records is handed to it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from run_states import plain
from small_runs import job
from torch import Tensor

from cnnspec.data.folder import LoaderPool
from cnnspec.training.checkpoint import load_checkpoint
from cnnspec.training.distributed import Ranks
from cnnspec.training.feed import RowBatch
from cnnspec.training.learner import Learner, Recorder
from cnnspec.training.loop import run
from cnnspec.training.plan import make_plan
from cnnspec.training.process import process_restored, seed_generators
from cnnspec.training.progress import Silent
from cnnspec.training.run_folder import open_run
from cnnspec.training.shared import Shared
from cnnspec.training.start import build_network, open_images

CPU = torch.device("cpu")
BATCH = 185  # 7 of them are the 1,295 images of an epoch


class Emulated:
    """A recorded step without a recording: it sees the tensors of the first batch, refilled, and never others."""

    def __init__(self, step: Any) -> None:
        self.step = step
        self.rate = torch.zeros((), dtype=torch.float64)
        self.rows: Tensor | None = None
        self.numbers: Tensor | None = None
        self.loss = torch.zeros(())
        self.replayed = 0

    def __call__(self, rows: Tensor, numbers: Tensor | None) -> Tensor:
        assert len(rows) == BATCH
        if self.rows is None:
            self.rows, self.numbers = torch.zeros_like(rows), None if numbers is None else torch.zeros_like(numbers)
        self.rows.copy_(rows)
        if self.numbers is not None:
            self.numbers.copy_(numbers)
        self.loss.copy_(self.step(self.rows, self.numbers))
        self.replayed += 1
        return self.loss


def make_learner(folder: Path, record: Recorder | None, **options: Any) -> Learner:
    asked = job(folder, batch_size=BATCH, **options)
    data = open_images(asked.network.graph, asked.config, CPU, Ranks(), Silent(), Shared())
    seed_generators(asked.config.seed, CPU)
    model = build_network(asked.network.graph, asked.config, CPU, weights=None)
    plan = make_plan(
        asked, data, model, CPU, ranks=Ranks(), resuming=False, progress=Silent(), shared=Shared()
    )  # fmt: skip
    return Learner(plan, model, LoaderPool(), record)


def end_of(folder: Path) -> Any:
    """What a run has come to, but for the form in which the optimizer holds its learning rate."""
    state: Any = load_checkpoint(folder / "checkpoints", print)
    state["optimizer"].pop("param_groups")
    published = [(folder / name).read_bytes() for name in ("best.safetensors", "last.safetensors")]
    return plain(state), plain([epoch.model_dump() for epoch in open_run(folder).metrics]), published


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"optimizer": "adam", "lr": 0.01, "schedule": "cosine", "rotate": 0.0, "shift": 0},
        {"clip": 1.0, "ema": None, "erase": 0.5, "loss": "squared-error", "momentum": 0.0},
        {"precision": "bf16", "freeze": ("bn",), "nesterov": True},
    ],
)
def test_recorded_steps_train_as_plain_ones_bit_for_bit(tmp_path: Path, options: dict[str, Any]) -> None:
    with process_restored(CPU):
        run(make_learner(tmp_path / "plain", None, **options), Silent())
        learner = make_learner(tmp_path / "recorded", Emulated, **options)
        run(learner, Silent())
    assert isinstance(learner.recorded, Emulated)
    assert learner.recorded.replayed == 3 * 7
    assert end_of(tmp_path / "recorded") == end_of(tmp_path / "plain")


def test_a_learner_goes_on_from_its_state(tmp_path: Path) -> None:
    """Another learner that takes it over does the same next, dropout's numbers included."""

    def losses(learner: Learner, steps: range) -> list[float]:
        learner.begin_epoch()
        return [float(learner.step(RowBatch(torch.arange(BATCH), None, BATCH), step)) for step in steps]

    with process_restored(CPU):
        first = make_learner(tmp_path / "a", Emulated)
        losses(first, range(5))
        torch.save(first.state(), tmp_path / "state.pt")
        wanted = losses(first, range(5, 9))
        second = make_learner(tmp_path / "b", Emulated, seed=1)
        second.load_state(torch.load(tmp_path / "state.pt", weights_only=True))
        assert losses(second, range(5, 9)) == wanted
