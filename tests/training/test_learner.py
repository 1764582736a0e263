"""A learner trains alike whether its steps are plain or recorded. No GPU is needed: what records is handed to it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from emulated_graph import WARM_UP, EmulatedSteps
from run_states import plain
from small_runs import TEXT, job

from cnnspec.data.loaders import LoaderPool
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
BATCH = 200  # 6 of them and a part of one are the 1,295 images of an epoch


def make_learner(folder: Path, record: Recorder | None, **options: Any) -> Learner:
    asked = job(folder, batch_size=BATCH, **options)
    data = open_images(asked, CPU, Ranks(), Silent(), Shared())
    seed_generators(asked.config.seed, CPU)
    model = build_network(asked.network.graph, asked.config, CPU, weights=None)
    plan = make_plan(
        asked, data, model, CPU, ranks=Ranks(), resuming=False, progress=Silent(), shared=Shared()
    )  # fmt: skip
    return Learner(plan, model, LoaderPool(), record)


def same_batch(learner: Learner, step: int) -> RowBatch:
    """The first images, without augmentation."""
    rate = learner.plan.learning_rate(step)
    return RowBatch(torch.arange(BATCH).view(1, -1), None, torch.tensor([rate], dtype=torch.float64), BATCH)


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
        learner = make_learner(tmp_path / "recorded", EmulatedSteps, **options)
        run(learner, Silent())
    assert isinstance(learner.recorded, EmulatedSteps)
    assert learner.recorded.replayed == 3 * 6 - WARM_UP
    assert end_of(tmp_path / "recorded") == end_of(tmp_path / "plain")


def test_a_learner_goes_on_from_its_state(tmp_path: Path) -> None:
    """Another learner that takes it over does the same next, dropout's numbers included."""

    def losses(learner: Learner, steps: range) -> list[float]:
        learner.begin_epoch()
        return [float(learner.step(same_batch(learner, step), step)) for step in steps]

    with process_restored(CPU):
        first = make_learner(tmp_path / "a", EmulatedSteps)
        losses(first, range(5))
        torch.save(first.state(), tmp_path / "state.pt")
        rate = float(first.optimizer.param_groups[0]["lr"])
        wanted = losses(first, range(5, 9))
        second = make_learner(tmp_path / "b", EmulatedSteps, seed=1)
        second.load_state(torch.load(tmp_path / "state.pt", weights_only=True))
        second.go_on_after(5)
        assert float(second.optimizer.param_groups[0]["lr"]) == rate  # as a save before the next step holds it
        assert losses(second, range(5, 9)) == wanted


DEEPER = TEXT.replace("  bn:", "  conv2: Conv2d(8, 3)\n  bn:")  # a layout is seen from two channels on


@pytest.mark.parametrize("channels_last", [True, False])
@pytest.mark.parametrize("options", [{}, {"optimizer": "adam", "lr": 0.01}, {"nesterov": True, "ema": None}])
def test_a_run_goes_on_in_another_memory_layout(tmp_path: Path, options: dict[str, Any], channels_last: bool) -> None:
    def losses(learner: Learner, steps: range) -> list[float]:
        learner.begin_epoch()
        return [float(learner.step(same_batch(learner, step), step)) for step in steps]

    text = DEEPER.replace("  drop: Dropout(0.1)\n", "")
    with process_restored(CPU):
        first = make_learner(tmp_path / "a", None, text=text, channels_last=not channels_last, **options)
        losses(first, range(3))
        torch.save(first.state(), tmp_path / "state.pt")
        wanted = losses(first, range(3, 8))
        second = make_learner(tmp_path / "b", None, text=text, channels_last=channels_last, **options)
        second.load_state(torch.load(tmp_path / "state.pt", weights_only=True))
        assert losses(second, range(3, 8)) == pytest.approx(wanted, rel=1e-4)


def test_a_restored_learner_fills_the_tensors_that_a_recording_reads(tmp_path: Path) -> None:
    with process_restored(CPU):
        learner = make_learner(tmp_path / "a", EmulatedSteps)
        learner.begin_epoch()
        torch.save(learner.state(), tmp_path / "state.pt")
        losses = [float(learner.step(same_batch(learner, step), step)) for step in range(6)]
        learner.load_state(torch.load(tmp_path / "state.pt", weights_only=True))
        assert [float(learner.step(same_batch(learner, step), step)) for step in range(6)] == losses
