"""The accuracy on the training images is counted in the passes that train."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from small_runs import job, run
from test_learner import CPU, make_learner
from torch import Tensor

from cnnspec.training import loop
from cnnspec.training.checkpoint import load_checkpoint, save_checkpoint
from cnnspec.training.keeper import Keeper
from cnnspec.training.process import process_restored
from cnnspec.training.progress import Silent
from cnnspec.training.run_folder import open_run
from cnnspec.training.run_writer import RunFolder


@pytest.mark.parametrize(
    "options", [{}, {"accumulate": 2}, {"mixup": 0.2}]
)  # recorded steps give what plain ones do: `test_learner.py`
def test_it_is_what_the_loss_was_given(tmp_path: Path, options: dict[str, Any]) -> None:
    """Counted apart, from the outputs and labels that reach the loss while it trains."""
    seen: list[Tensor] = []
    with process_restored(CPU):
        learner = make_learner(tmp_path / "a", None, epochs=1, **options)
        criterion = learner.criterion

        def watched(outputs: Tensor, labels: Tensor) -> Tensor:
            if outputs.requires_grad:
                classes = labels if labels.ndim == 1 else labels.max(1).indices
                seen.append(outputs.detach().max(1).indices == classes)
            return criterion(outputs, labels)

        learner.criterion = watched
        loop.run(learner, Silent())
    recognised = torch.cat(seen)
    assert len(recognised) == 1295
    (epoch,) = open_run(tmp_path / "a").metrics
    assert epoch.train_accuracy == pytest.approx(float(recognised.double().mean()))
    assert 0 < epoch.train_accuracy < 1
    result = json.loads((tmp_path / "a" / "result.json").read_text())
    assert result["train_accuracy"] == epoch.train_accuracy
    assert "train_accuracy" in (tmp_path / "a" / "results.csv").read_text().splitlines()[0]


def test_a_network_that_learns_is_better_on_what_it_trains_on(tmp_path: Path) -> None:
    run(tmp_path / "a")
    accuracies = [epoch.train_accuracy for epoch in open_run(tmp_path / "a").metrics]
    assert accuracies == sorted(accuracies, key=float)
    assert float(accuracies[-1] or 0) > 2 * float(accuracies[0] or 1)


@pytest.mark.parametrize("position", [0, 128])
def test_a_checkpoint_from_before_it_was_counted_goes_on_without(
    tmp_path: Path, position: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The epoch that was cut off then has no figure, and the next one has."""
    folder = tmp_path / "a"
    if position:
        monkeypatch.setattr(Keeper, "interrupted", property(lambda keeper: True))  # in the first validation
        with pytest.raises(Exception, match="stopped after"):
            run(folder, epochs=2)
        monkeypatch.undo()
    else:
        run(folder, epochs=1)
    state: Any = load_checkpoint(folder / "checkpoints", print)
    assert (state["counters"]["position"] > 0) == (position > 0)
    del state["right"]
    with RunFolder(folder):
        save_checkpoint(folder / "checkpoints", state)
    loop.train(job(folder, resume=True, epochs=2))
    first, second = (epoch.train_accuracy for epoch in open_run(folder).metrics)
    assert (first is None) == (position > 0)
    assert second is not None
