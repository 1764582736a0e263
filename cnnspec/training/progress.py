"""What a training run says while it runs, and who may end it early."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import Protocol, TextIO, runtime_checkable

from cnnspec.diagnostics import visible
from cnnspec.tasks import figures_line
from cnnspec.training.metrics import EpochMetrics

__all__ = ["Lines", "Live", "Progress", "Silent", "epoch_line", "listening", "speaks", "time_left"]


def speaks() -> bool:
    """Whether this is the one of the processes started by torchrun that says how the run went."""
    return os.environ.get("RANK", "0") == "0"


@runtime_checkable
class Progress(Protocol):
    """Listens to a run. `step` is called about once a second, whatever the speed."""

    def message(self, text: str) -> None:
        """Something that a person should know, in one line."""

    def step(self, epoch: int, epochs: int, seen: int, images: int, loss: float, images_per_second: float) -> None:
        """`seen` of `images` of epoch `epoch` of `epochs` are done; `loss` is the mean of this epoch so far."""

    def epoch(self, metrics: EpochMetrics) -> bool | None:
        """An epoch has been trained and evaluated. True ends the run here, as its last epoch would.

        That is not remembered: a run that is resumed goes on. The epoch is being saved meanwhile; a process that is
        killed before that trains it again, and tells it again, with the same figures.
        """


class Silent:
    """Says nothing to anybody."""

    def message(self, text: str) -> None:
        """Nothing."""

    def step(self, epoch: int, epochs: int, seen: int, images: int, loss: float, images_per_second: float) -> None:
        """Nothing."""

    def epoch(self, metrics: EpochMetrics) -> None:
        """Nothing."""


def epoch_line(metrics: EpochMetrics) -> str:
    """What is said of a finished epoch."""
    return (
        f"epoch {metrics.epoch:>3}  loss {metrics.train_loss:.4f}  validation loss {metrics.val_loss:.4f}"
        f"  {figures_line(metrics.figures)}  {metrics.images_per_second:,.0f} {metrics.inputs}/s"
    )


def time_left(epoch: int, epochs: int, seen: int, images: int, images_per_second: float) -> timedelta:
    """How long the rest of the run takes at this speed; the arguments are those of `step`."""
    left = ((epochs - epoch + 1) * images - seen) / max(1e-9, images_per_second)
    return timedelta(seconds=round(min(left, 1e9)))


class Lines:
    """One line per epoch. Where nobody can read them any more, the run goes on without."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream

    def message(self, text: str) -> None:
        """The text as a line."""
        with suppress(OSError):
            print(visible(text), file=self.stream, flush=True)

    def step(self, epoch: int, epochs: int, seen: int, images: int, loss: float, images_per_second: float) -> None:
        """Nothing."""

    def epoch(self, metrics: EpochMetrics) -> None:
        """A line of the figures."""
        self.message(epoch_line(metrics))


class Live(Lines):
    """The same, and below them a line for the running epoch that is written over."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__(stream)
        self.shown = 0  # letters of the line that will be written over

    def message(self, text: str) -> None:
        """The text as a line, in the place of the running epoch's."""
        self.clear()
        super().message(text)

    def step(self, epoch: int, epochs: int, seen: int, images: int, loss: float, images_per_second: float) -> None:
        """The running epoch's line."""
        left = time_left(epoch, epochs, seen, images, images_per_second)
        text = f"epoch {epoch}/{epochs}  {seen / images:4.0%}  loss {loss:.4f}"
        text = f"{text}  {images_per_second:,.0f}/s  {left} left"[: shutil.get_terminal_size().columns - 1]
        with suppress(OSError):
            print(f"\r{text.ljust(self.shown)}", end="", file=self.stream, flush=True)
        self.shown = len(text)

    def clear(self) -> None:
        """Take the running epoch's line away."""
        if self.shown:
            with suppress(OSError):
                print(f"\r{' ' * self.shown}\r", end="", file=self.stream, flush=True)
            self.shown = 0


@contextmanager
def listening(progress: Progress | bool | None) -> Iterator[Progress | None]:
    """Who listens to a run: `progress`, or nobody; for True, a person, where there is a notebook or a terminal."""
    if not isinstance(progress, bool):
        yield progress
        return
    stream = None
    if progress:
        shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
        notebook = hasattr(shell, "kernel")  # its stderr is red
        stream = sys.stdout if notebook else sys.stderr if sys.stderr is not None and sys.stderr.isatty() else None
    if stream is None:
        yield None
        return
    live = Live(stream)
    try:
        yield live
    finally:
        live.clear()
