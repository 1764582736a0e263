"""Starting a search, or continuing it, with one process or several."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cnnspec.cores import usable_cores
from cnnspec.errors import UsageError
from cnnspec.limits import MAX_THREADS
from cnnspec.search.crew import Crew, ProcessMember
from cnnspec.search.folder import SearchFolder, SearchPlan, find_search
from cnnspec.search.journal import open_study, quiet
from cnnspec.search.locks import held
from cnnspec.search.progress import SearchProgress
from cnnspec.search.propose import Proposer
from cnnspec.search.records import TrialRecord, best_of, front_of
from cnnspec.search.standing import standing_of
from cnnspec.search.trials import Machine
from cnnspec.search.work import Worker, check_data, check_space, open_data
from cnnspec.training.shared import Shared

__all__ = ["SearchResult", "open_search", "run_search"]


@dataclass(frozen=True)
class SearchResult:
    """What a search has come to, so far."""

    path: Path
    plan: SearchPlan
    trials: tuple[TrialRecord, ...]

    def __repr__(self) -> str:
        best = (
            "" if self.best is None else f", the best {self.best.name} with {self.best.figure.named(self.best.score)}"
        )
        return f"<SearchResult {self.path}: {self.done} of {self.plan.section.trials} trials{best}>"

    @property
    def done(self) -> int:
        """The trials that have ended."""
        return sum(record.status != "running" for record in self.trials)

    @property
    def best(self) -> TrialRecord | None:
        """The trial of the highest score in validation."""
        return best_of(self.trials)

    def front(self, cost: str | None = None) -> list[TrialRecord]:
        """The trials that none beats in both score and cost, the cheapest first."""
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
    folder: SearchFolder, plan: SearchPlan, data: str, *, workers: int, progress: SearchProgress, ray: str | None = None
) -> SearchResult:
    """Search, or continue a search, until it has as many trials as the plan wants; `ray` is the address of a cluster.

    Raises UsageError where the folder is of another search or the data are others, where nothing is within the limits
    or no trial could be trained so, CnnspecError where training fails again and again, and Interrupted after a signal.
    """
    if "WORLD_SIZE" in os.environ:
        raise UsageError("a search is no job for torchrun", hint="`--workers` trains several trials at a time")
    machine = Machine(data, threads=min(MAX_THREADS, max(1, usable_cores() // workers)), device=plan.config.device)
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
        if ray is not None:
            del shared
            from cnnspec.search.ray_crew import RayMember, cluster

            with cluster(ray):
                Crew(folder, plan, [RayMember(folder, machine) for _ in range(workers)], progress).work()
        elif workers == 1:
            Worker(folder, plan, machine, seen, shared, progress).work()
        else:
            del shared  # the workers have their own
            members = [ProcessMember(folder, machine) for _ in range(workers)]
            Crew(folder, plan, members, progress).work()
        return open_search(folder.path, folder.path.parent)
