"""Progress of a training run: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TextIO

from cnnspec.api import EpochMetrics, Progress
from cnnspec.api.terms import Lines, epoch_line, time_left
from cnnspec.cli.render.foreign import visible

__all__ = ["watch"]


@contextmanager
def watch(stream: TextIO) -> Iterator[Progress]:
    """What shows a run's progress on `stream` while it runs."""
    if not stream.isatty():
        yield Lines(stream)
        return
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn
    from rich.progress import Progress as Bar

    bar = Bar(
        TextColumn("epoch {task.fields[epoch]}/{task.fields[epochs]}"),
        BarColumn(),
        TextColumn("loss {task.fields[loss]:.4f}{task.fields[figure]}  {task.fields[speed]:,.0f}/s"),
        TextColumn("{task.fields[left]} left"),
        console=Console(file=stream),
        transient=True,
    )
    with bar:
        yield _Bar(bar)


class _Bar:
    """A bar for the running epoch, and a line above it for each that is done."""

    def __init__(self, bar: Any) -> None:
        self.bar = bar
        self.task: Any = None
        self.figure = ""  # by which the best epoch is chosen, in the last validation

    def message(self, text: str) -> None:
        self.bar.console.print(visible(text), highlight=False, markup=False)

    def step(self, epoch: int, epochs: int, seen: int, images: int, loss: float, images_per_second: float) -> None:
        fields = {
            "epoch": epoch, "epochs": epochs, "loss": loss, "figure": self.figure, "speed": images_per_second,
            "left": time_left(epoch, epochs, seen, images, images_per_second),
        }  # fmt: skip
        if self.task is None:
            self.task = self.bar.add_task("", total=images, **fields)
        self.bar.update(self.task, completed=seen, total=images, **fields)

    def epoch(self, metrics: EpochMetrics) -> None:
        if self.task is not None:
            self.bar.remove_task(self.task)
            self.task = None
        figure, value = metrics.best
        self.figure = f"  {figure.title} {figure.show(value)}"
        self.message(epoch_line(metrics))
