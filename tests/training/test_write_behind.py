"""What is saved is written beside training: in order, from copies, and never behind a failure."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from run_states import final_state
from small_runs import job, run

from cnnspec.errors import CnnspecError
from cnnspec.training import keeper
from cnnspec.training.checkpoint import load_checkpoint
from cnnspec.training.loop import train
from cnnspec.training.progress import Silent
from cnnspec.training.run_folder import open_run
from cnnspec.training.write_behind import WriteBehind


def fail_beside(write: Callable[[], None]) -> None:
    with WriteBehind() as writer:
        writer.give(write)
        raise ValueError("first")


def test_what_is_given_is_done_in_order_and_a_failure_stops_it_and_is_told_once() -> None:
    done: list[str] = []

    def fail() -> None:
        raise CnnspecError("full")

    with WriteBehind() as writer:
        writer.give(lambda: done.append("a"), lambda: done.append("b"))
        writer.give(lambda: done.append("c"), fail, lambda: done.append("never"))
        with pytest.raises(CnnspecError, match="full"):
            writer.wait()
        writer.wait()
        writer.give(lambda: done.append("d"))
    assert done == ["a", "b", "c", "d"]
    with pytest.raises(CnnspecError, match="full"), WriteBehind() as writer:
        writer.give(fail)
    with pytest.raises(ValueError, match="first"):  # what goes wrong first is told
        fail_beside(fail)


def test_training_goes_on_while_a_checkpoint_is_written_and_does_not_change_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first save is held until the run has gone on for four steps: what it wrote is the first step all the same."""
    save, snapshot, went_on = keeper.save_checkpoint, keeper.snapshot, threading.Event()
    written: list[Any] = []

    def held(folder: Path, state: Any) -> Path:
        if not written:
            assert went_on.wait(60)
        path = save(folder, state)
        written.append(load_checkpoint(folder, print))
        return path

    plain = run(tmp_path / "plain", epochs=1)
    monkeypatch.setattr(keeper, "save_checkpoint", held)
    step = keeper.Keeper.after_step
    taken: list[Any] = []

    def counting(self: keeper.Keeper, losses: torch.Tensor, size: int) -> None:
        if not taken:
            self.last_save = -1e9
        if self.counters.step == 4:
            went_on.set()
        step(self, losses, size)

    def taking(state: Any) -> Any:
        taken.append(snapshot(state))
        return snapshot(state)

    monkeypatch.setattr(keeper.Keeper, "after_step", counting)
    monkeypatch.setattr(keeper, "snapshot", taking)
    assert run(tmp_path / "run", epochs=1).val_loss == plain.val_loss
    assert final_state(tmp_path / "run") == final_state(tmp_path / "plain")
    assert written[0]["counters"]["step"] == taken[0]["counters"]["step"] == 1
    for name, tensor in taken[0]["model"].items():
        assert torch.equal(written[0]["model"][name], tensor)


def test_figures_are_published_only_with_their_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*arguments: Any) -> Path:
        raise CnnspecError("cannot write: No space left on device")

    class Heard(Silent):
        epochs = 0

        def epoch(self, metrics: Any) -> None:
            self.epochs += 1

    monkeypatch.setattr(keeper, "save_checkpoint", full)
    heard = Heard()
    with pytest.raises(CnnspecError, match="No space left"):
        train(job(tmp_path / "run"), heard)
    assert heard.epochs == 1
    assert not (tmp_path / "run" / "last.safetensors").exists()
    assert open_run(tmp_path / "run").metrics == ()


def test_no_thread_outlives_a_run(tmp_path: Path) -> None:
    run(tmp_path / "run", epochs=1)
    assert [thread.name for thread in threading.enumerate() if thread.name.startswith("cnnspec-writer")] == []
