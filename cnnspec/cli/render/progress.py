"""Progress of a training run: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import Any, TextIO

from cnnspec.api import EpochMetrics, Progress
from cnnspec.cli.render.foreign import say, visible

__all__ = ["watch"]


@contextmanager
def watch(stream: TextIO) -> Iterator[Progress]:
    """What shows a run's progress on `stream` while it runs."""
    if not stream.isatty():
        yield _Lines(stream)
        return
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn
    from rich.progress import Progress as Bar

    bar = Bar(
        TextColumn("epoch {task.fields[epoch]}/{task.fields[epochs]}"),
        BarColumn(),
        TextColumn("loss {task.fields[loss]:.4f}{task.fields[accuracy]}  {task.fields[speed]:,.0f} images/s"),
        TextColumn("{task.fields[left]} left"),
        console=Console(file=stream),
        transient=True,
    )
    with bar:
        yield _Bar(bar)


def _line(metrics: EpochMetrics) -> str:
    return (
        f"epoch {metrics.epoch:>3}  loss {metrics.train_loss:.4f}  validation loss {metrics.val_loss:.4f}"
        f"  accuracy {metrics.val_accuracy:7.2%}  {metrics.images_per_second:,.0f} images/s"
    )


class _Lines:
    """One line per epoch. Where nobody can read them any more, the run goes on without."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream

    def message(self, text: str) -> None:
        with suppress(OSError):
            say(visible(text), self.stream)

    def step(self, epoch: int, epochs: int, seen: int, images: int, loss: float, images_per_second: float) -> None:
        pass

    def epoch(self, metrics: EpochMetrics) -> None:
        self.message(_line(metrics))


class _Bar:
    """A bar for the running epoch, and a line above it for each that is done."""

    def __init__(self, bar: Any) -> None:
        self.bar = bar
        self.task: Any = None
        self.accuracy = ""  # in the last validation

    def message(self, text: str) -> None:
        self.bar.console.print(visible(text), highlight=False, markup=False)

    def step(self, epoch: int, epochs: int, seen: int, images: int, loss: float, images_per_second: float) -> None:
        left = ((epochs - epoch + 1) * images - seen) / max(1e-9, images_per_second)  # of the run
        fields = {
            "epoch": epoch, "epochs": epochs, "loss": loss, "accuracy": self.accuracy, "speed": images_per_second,
            "left": timedelta(seconds=round(min(left, 1e9))),
        }  # fmt: skip
        if self.task is None:
            self.task = self.bar.add_task("", total=images, **fields)
        self.bar.update(self.task, completed=seen, total=images, **fields)

    def epoch(self, metrics: EpochMetrics) -> None:
        if self.task is not None:
            self.bar.remove_task(self.task)
            self.task = None
        self.accuracy = f"  accuracy {metrics.val_accuracy:.2%}"
        self.message(_line(metrics))
