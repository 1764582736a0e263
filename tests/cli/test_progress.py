"""On a terminal a bar says how far the whole run is; elsewhere there is a line per epoch."""

from __future__ import annotations

import io
import re

import pytest

from cnnspec.cli.render.progress import watch
from cnnspec.training.metrics import EpochMetrics

METRICS = EpochMetrics(
    epoch=1, step=10, lr=0.1, train_loss=0.5, val_loss=0.4, val_accuracy=0.875, seconds=1.0, images_per_second=1000.0
)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_the_bar_tells_epoch_loss_accuracy_speed_and_time_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    monkeypatch.setenv("TERM", "xterm")
    stream = Terminal()
    with watch(stream) as progress:
        progress.step(1, 3, 400, 1000, 0.75, 100.0)
        progress.epoch(METRICS)
        progress.step(2, 3, 500, 1000, 0.25, 100.0)
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", stream.getvalue())
    assert "epoch 2/3" in text
    assert "loss 0.2500  accuracy 87.50%  100/s 0:00:15 left" in text


def test_lines_where_there_is_no_terminal() -> None:
    stream = io.StringIO()
    with watch(stream) as progress:
        progress.step(1, 3, 400, 1000, 0.75, 100.0)
        progress.epoch(METRICS)
    assert stream.getvalue() == "epoch   1  loss 0.5000  validation loss 0.4000  accuracy  87.50%  1,000 images/s\n"


def test_signals_are_called_so() -> None:
    stream = io.StringIO()
    with watch(stream) as progress:
        progress.epoch(METRICS.model_copy(update={"inputs": "signals"}))
    assert stream.getvalue().endswith("  1,000 signals/s\n")
    assert "inputs" not in METRICS.model_dump()
