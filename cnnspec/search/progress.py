"""What a search says while it runs."""

from __future__ import annotations

from datetime import timedelta
from typing import Protocol, TextIO, runtime_checkable

from cnnspec.search.records import Standing, TrialRecord
from cnnspec.search.space import show_value
from cnnspec.training.progress import Lines

__all__ = ["SearchLines", "SearchProgress", "SilentSearch", "trial_line"]


@runtime_checkable
class SearchProgress(Protocol):
    """Listens to a search."""

    def message(self, text: str) -> None:
        """Something that a person should know, in one line."""

    def step(self, trial: str, done: float) -> None:
        """A trial of this process has so large a part of its epochs behind it; about once a second."""

    def trial(self, record: TrialRecord, standing: Standing, left: timedelta | None) -> None:
        """A trial has ended; the rest of the search takes about so long."""


class SilentSearch:
    """Says nothing to anybody."""

    def message(self, text: str) -> None:
        """Nothing."""

    def step(self, trial: str, done: float) -> None:
        """Nothing."""

    def trial(self, record: TrialRecord, standing: Standing, left: timedelta | None) -> None:
        """Nothing."""


def trial_line(record: TrialRecord, standing: Standing) -> str:
    """What is said of a trial that has ended."""
    score = f"{record.figure.named(record.score):>7}"
    values = " ".join(f"{name}={show_value(value)}" for name, value in record.candidate.values.items())
    epochs = f"{record.epochs} epoch{'s' * (record.epochs != 1)}"
    status = {"complete": "", "failed": f", failed: {record.failure}"}.get(record.status, f", {record.status}")
    figures = f"{record.figures.params:>9,} params {record.figures.shown('macs'):>8} MACs"
    best = standing.best is not None and standing.best.number == record.number
    return f"{record.name} {score} {figures}  {values}  {epochs}{status}{'  best so far' * best}"


class SearchLines:
    """One line per trial."""

    def __init__(self, stream: TextIO) -> None:
        self.lines = Lines(stream)

    def message(self, text: str) -> None:
        """The text as a line."""
        self.lines.message(text)

    def step(self, trial: str, done: float) -> None:
        """Nothing."""

    def trial(self, record: TrialRecord, standing: Standing, left: timedelta | None) -> None:
        """A line of its figures, and how far the search is."""
        rest = "" if left is None else f", {left} left"
        self.lines.message(f"{trial_line(record, standing)}  ({standing.done} of {standing.wanted}{rest})")
