"""What came of the trials of a search: one record for each, the front, and the best. Importing it imports no optuna."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

from cnnspec.language.document import Choice
from cnnspec.search.judge import Figures
from cnnspec.search.space import Candidate
from cnnspec.tasks import TASKS, Figure

__all__ = ["Standing", "TrialRecord", "TrialStatus", "best_of", "front_of"]

TrialStatus: TypeAlias = Literal["complete", "pruned", "failed", "running"]


@dataclass(frozen=True)
class TrialRecord:
    """One trial. `score` is the best of its task's `figure` in validation, of as many epochs as it has had."""

    number: int
    status: TrialStatus
    candidate: Candidate
    figures: Figures
    score: float | None  # None before its first epoch
    epochs: int
    seconds: float | None  # of training; None while it runs
    test_score: float | None  # on inputs that decide nothing
    run: Path
    failure: str | None = None  # why training failed
    figure: Figure = TASKS["classification"].best

    @property
    def accuracy(self) -> float | None:
        """The score of a classifier. Raises AttributeError for another task."""
        return self._of_classes(self.score)

    @property
    def test_accuracy(self) -> float | None:
        """The same of the test. Raises AttributeError for another task."""
        return self._of_classes(self.test_score)

    def _of_classes(self, value: float | None) -> float | None:
        if self.figure.key != "accuracy":
            raise AttributeError(f"there is no accuracy, but {self.figure.title}: `score`")
        return value

    @property
    def name(self) -> str:
        """The name of its run: `t0007`."""
        return self.run.name

    def cost(self, figure: str) -> float:
        """A figure that the front is over."""
        value = self.figures.value(figure)
        return float("inf") if value is None else value

    def to_dict(self) -> dict[str, Any]:
        """The record as plain data."""
        values: Mapping[str, Choice] = self.candidate.values
        return {
            "trial": self.name,
            "status": self.status,
            "values": dict(values),
            "figures": self.figures.to_dict(),
            self.figure.key: self.score,
            f"test_{self.figure.key}": self.test_score,
            "epochs": self.epochs,
            "seconds": self.seconds,
            "run": str(self.run),
            "failure": self.failure,
        }


@dataclass(frozen=True)
class Standing:
    """How far a search is."""

    wanted: int
    records: tuple[TrialRecord, ...]

    @property
    def done(self) -> int:
        """The trials that have ended."""
        return sum(record.status != "running" for record in self.records)

    @property
    def best(self) -> TrialRecord | None:
        """The best so far."""
        return best_of(self.records)


def _score(record: TrialRecord) -> float:
    return float("-inf") if record.score is None else record.score


def best_of(records: Iterable[TrialRecord]) -> TrialRecord | None:
    """The trained trial of the highest score in validation; of equal ones the one with fewer operations."""
    trained = [record for record in records if record.status == "complete" and record.score is not None]
    return max(trained, key=lambda each: (_score(each), -each.figures.macs, -each.number), default=None)


def front_of(records: Iterable[TrialRecord], cost: str) -> list[TrialRecord]:
    """The trained trials that no other beats in both score and cost, the cheapest first."""
    trained = [record for record in records if record.status == "complete" and record.score is not None]
    front: list[TrialRecord] = []
    for record in sorted(trained, key=lambda each: (each.cost(cost), -_score(each), each.number)):
        if not front or _score(record) > _score(front[-1]):
            front.append(record)
    return front
