"""Starting a search, or continuing it, with one process or several."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from cnnspec.errors import CnnspecError, UsageError
from cnnspec.limits import MAX_THREADS
from cnnspec.search.folder import SearchFolder, SearchPlan, find_search
from cnnspec.search.journal import open_study, quiet
from cnnspec.search.locks import held
from cnnspec.search.progress import SearchProgress
from cnnspec.search.propose import Proposer
from cnnspec.search.records import TrialRecord, best_of, front_of
from cnnspec.search.standing import standing_of
from cnnspec.search.trials import Machine
from cnnspec.search.work import Worker, check_data, check_space, open_data, time_left
from cnnspec.training.shared import Shared
from cnnspec.training.signals import Interrupted

__all__ = ["SearchResult", "open_search", "run_search"]

POLL: Final = 0.5  # seconds between two looks at what the workers have done
PATIENCE: Final = 60.0  # seconds that workers have for saving when they are stopped


@dataclass(frozen=True)
class SearchResult:
    """What a search has come to, so far."""

    path: Path
    plan: SearchPlan
    trials: tuple[TrialRecord, ...]

    def __repr__(self) -> str:
        best = "" if self.best is None else f", the best {self.best.name} with {self.best.accuracy:.2%}"
        return f"<SearchResult {self.path}: {self.done} of {self.plan.section.trials} trials{best}>"

    @property
    def done(self) -> int:
        """The trials that have ended."""
        return sum(record.status != "running" for record in self.trials)

    @property
    def best(self) -> TrialRecord | None:
        """The trial of the highest accuracy in validation."""
        return best_of(self.trials)

    def front(self, cost: str | None = None) -> list[TrialRecord]:
        """The trials that none beats in both accuracy and cost, the cheapest first."""
        return front_of(self.trials, cost or self.plan.section.cost)

    def to_dict(self, cost: str | None = None) -> dict[str, Any]:
        """The result as `--format json` prints it."""
        return {
            "cnnspec": 1,
            "search": str(self.path),
            "network": self.plan.network.name,
            "wanted": self.plan.section.trials,
            "done": self.done,
            "best": None if self.best is None else self.best.name,
            "cost": cost or self.plan.section.cost,
            "front": [record.name for record in self.front(cost)],
            "trials": [record.to_dict() for record in self.trials],
        }


def open_search(name: str | Path, searches: Path) -> SearchResult:
    """What a search has come to, by its name or its folder. Raises UsageError where there is none."""
    folder = find_search(name, searches)
    plan = folder.read()
    with quiet():
        study = open_study(folder, plan, write=False)
        return SearchResult(folder.path, plan, standing_of(study, folder, plan).records)


def run_search(
    folder: SearchFolder, plan: SearchPlan, data: str, *, workers: int, progress: SearchProgress
) -> SearchResult:
    """Search, or continue a search, until it has as many trials as the plan wants.

    Raises UsageError where the folder is of another search or the data are others, where nothing is within the limits
    or no trial could be trained so, CnnspecError where training fails again and again, and Interrupted after a signal.
    """
    if "WORLD_SIZE" in os.environ:
        raise UsageError("a search is no job for torchrun", hint="`--workers` trains several trials at a time")
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    machine = Machine(data, threads=min(MAX_THREADS, max(1, cores // workers)), device=plan.config.device)
    with quiet():
        if folder.begun:
            folder.check_same(plan)
        seen, shared = check_space(plan), Shared()
        if not seen.fitting and not folder.journal.exists():
            Proposer(plan, seen).next([])  # raises where nothing is found, before there is a folder
        digest = open_data(plan, machine, shared, progress)
        with held(folder.lock("study")):
            if folder.begun:  # by another process, meanwhile
                folder.check_same(plan)
            folder.write(plan)
        check_data(folder, plan, machine, digest)
        if workers == 1:
            Worker(folder, plan, machine, seen, shared, progress).work()
        else:
            del shared  # the workers have their own
            _Crew(folder, plan, machine, workers, progress).work()
        return open_search(folder.path, folder.path.parent)


class _Crew:
    """Several processes at work, and what they have done as it becomes known."""

    def __init__(
        self, folder: SearchFolder, plan: SearchPlan, machine: Machine, workers: int, progress: SearchProgress
    ) -> None:
        self.folder, self.plan, self.machine, self.workers, self.progress = folder, plan, machine, workers, progress
        self.study = open_study(folder, plan)
        self.told = {record.number for record in self._ended()}
        self.before, self.began = len(self.told), time.monotonic()

    def _ended(self) -> list[TrialRecord]:
        records = standing_of(self.study, self.folder, self.plan).records
        return [record for record in records if record.status != "running"]

    def work(self) -> None:
        command = [
            sys.executable,
            "-m",
            "cnnspec.search.worker",
            str(self.folder.path),
            json.dumps(asdict(self.machine)),
        ]
        with ExitStack() as stack:
            crew = [
                stack.enter_context(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
                for _ in range(self.workers)
            ]
            try:
                while any(process.poll() is None for process in crew):
                    time.sleep(POLL)
                    self._tell()
                    if any(process.poll() not in (None, 0) for process in crew):
                        self._look(crew)
            except KeyboardInterrupt as stopped:
                _stop(crew)
                self._tell()
                number = getattr(stopped, "exit_code", 130) - 128
                message = f"stopped after {len(self.told)} of {self.plan.section.trials} trials; nothing is lost"
                raise Interrupted(number, message, "the same command continues") from None
            except BaseException:
                _stop(crew)
                raise
            self._tell()
            self._look(crew)

    def _tell(self) -> None:
        """Say which trials have ended since."""
        standing = standing_of(self.study, self.folder, self.plan)
        for record in standing.records:
            if record.status != "running" and record.number not in self.told:
                self.told.add(record.number)
                self.progress.trial(record, standing, time_left(standing, self.before, self.began))

    def _look(self, crew: list[subprocess.Popen[str]]) -> None:
        """Raise the error of a worker that has failed. One that was killed is told of, unless all are."""
        for process in list(crew):
            if process.poll() in (None, 0):
                continue
            crew.remove(process)
            said = process.stdout.read() if process.stdout is not None else ""
            with suppress(ValueError, KeyError, TypeError):
                error = json.loads(said)
                kind = UsageError if error["exit_code"] == UsageError.exit_code else CnnspecError
                _stop(crew)
                raise kind(error["message"], hint=error["hint"])
            self.progress.message(f"a worker has ended with {process.returncode}; what it left, the others take up")
        if not crew:
            raise CnnspecError("every worker has ended before the search was done", hint="the same command continues")


def _stop(crew: list[subprocess.Popen[str]]) -> None:
    """End the workers, with everything saved; those that take too long, without."""
    for process in crew:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
    end = time.monotonic() + PATIENCE
    for process in crew:
        try:
            process.wait(max(0.1, end - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()
