"""The work of one process on a search: claim a trial, train it, tell what came of it, until there are enough."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Final

from optuna.trial import FrozenTrial, Trial, TrialState

from cnnspec.errors import CnnspecError, UsageError
from cnnspec.language.search_section import measured
from cnnspec.search.folder import SearchFolder, SearchPlan
from cnnspec.search.journal import candidate_of, open_study, quiet
from cnnspec.search.latency import check_measurable, latency
from cnnspec.search.locks import held
from cnnspec.search.progress import SearchProgress
from cnnspec.search.propose import ExhaustedError, Proposer
from cnnspec.search.records import Standing
from cnnspec.search.screen import Screen, nothing_fits, screen
from cnnspec.search.space import Looked, look
from cnnspec.search.standing import record_of, standing_of
from cnnspec.search.trials import Claim, Machine, run_trial
from cnnspec.training.metrics import EpochMetrics
from cnnspec.training.shared import Shared
from cnnspec.training.signals import Interrupted

__all__ = ["Worker", "check_data", "check_space", "open_data", "time_left"]

LOOK_AGAIN: Final = 1.0  # seconds between two looks whether others have finished
FAILURES: Final = 3  # trials that fail one after the other, none before them having succeeded, end the search


@dataclass(frozen=True)
class Busy:
    """Nothing is left to begin; so many trials are in the hands of other processes."""

    others: int


def check_space(plan: SearchPlan) -> Screen:
    """A first look at the space. Raises UsageError where it is plain that nothing in it is within the limits."""
    if plan.network.graph.task is None:
        raise UsageError(
            f"a search is for the highest figure of a task, and {plan.network.name} does not say what it is for",
            hint="`task` in its spec says it",
        )
    if measured(plan.section):
        check_measurable()
    seen = screen(plan.network, plan.section)
    if not seen.valid or (seen.whole and not seen.fitting):
        raise nothing_fits(seen, len(seen.looked), plan.network.source.path)
    return seen


class _Opening:
    """Says what is opened, and nothing else of a run."""

    def __init__(self, progress: SearchProgress) -> None:
        self.message = progress.message

    def step(self, epoch: int, epochs: int, seen: int, images: int, loss: float, images_per_second: float) -> None:
        """Nothing."""

    def epoch(self, metrics: EpochMetrics) -> None:
        """Nothing."""


def open_data(plan: SearchPlan, machine: Machine, shared: Shared, progress: SearchProgress) -> str:
    """Open the images for all trials of this process, and give their digest. Raises UsageError and CnnspecError."""
    from cnnspec.training.device import pick_device
    from cnnspec.training.distributed import Ranks
    from cnnspec.training.job import Job
    from cnnspec.training.start import open_images

    job = Job(plan.network, machine.config(plan, {}), Path(), data=machine.data)
    return open_images(job, pick_device(job.config.device), Ranks(), _Opening(progress), shared).digest


def check_data(folder: SearchFolder, plan: SearchPlan, machine: Machine, digest: str) -> None:
    """Note which images a search is on. Raises UsageError where it is on others."""
    study = open_study(folder, plan)
    with held(folder.lock("study")):
        known = study.user_attrs.get("images")
        if known is None:
            study.set_user_attr("images", digest)
        elif known != digest:
            raise UsageError(
                f"{machine.data} has other images or labels than {folder.path} was begun with",
                hint="`--data` names the same images again, or `--name` another search",
            )


class Worker:
    """One process at work on a search."""

    def __init__(
        self, folder: SearchFolder, plan: SearchPlan, machine: Machine, seen: Screen, shared: Shared,
        progress: SearchProgress, *, parent: int | None = None,
    ) -> None:  # fmt: skip
        """`parent` is the process that this one is not to outlive."""
        self.folder, self.plan, self.machine = folder, plan, machine
        self.shared, self.progress, self.parent = shared, progress, parent
        self.study = open_study(folder, plan)
        self.proposer = Proposer(plan, seen, latency if measured(plan.section) else None)
        self.exhausted: str | None = None
        self.began = time.monotonic()
        self.done_before = self.standing().done

    def standing(self) -> Standing:
        """How far the search is, whoever has worked on it."""
        return standing_of(self.study, self.folder, self.plan)

    def work(self) -> None:
        """Train trials until there are as many as are wanted, and nobody else is at work on one.

        Raises Interrupted after a signal, CnnspecError where trial after trial fails, and UsageError where no trial
        could be trained so, or nothing is within the limits.
        """
        waiting = False
        with quiet():
            while True:
                self._follow_parent()
                claim = self.claim()
                if isinstance(claim, Claim):
                    waiting = False
                    self._train(claim)
                elif claim.others:
                    if not waiting:
                        several = "s" * (claim.others > 1)
                        self.progress.message(f"waiting for {claim.others} trial{several} of other processes")
                    waiting = True
                    time.sleep(LOOK_AGAIN)
                else:
                    return

    def claim(self) -> Claim | Busy:
        """A trial for this process: one that a process has left behind, or a new one.

        One process at a time looks for a trial, so that no two take up or propose the same.
        """
        with held(self.folder.lock("study")):
            trials = self.study.get_trials(deepcopy=False)
            others = 0
            for frozen in trials:
                if frozen.state == TrialState.RUNNING:
                    if (claim := self._take_up(frozen)) is not None:
                        return claim
                    others += 1
            waiting = [frozen for frozen in trials if frozen.state == TrialState.WAITING]
            if not waiting and not self._enqueue(trials):
                return Busy(others)
            trial = self.study.ask(self.proposer.space)
            lock = self.folder.trial_lock(trial.number)
            lock.acquire(wait=True)
            return Claim(trial, self._looked(trial), lock)

    def _take_up(self, frozen: FrozenTrial) -> Claim | None:
        """A running trial whose process has ended, under its number; None where somebody is at work on it."""
        lock = self.folder.trial_lock(frozen.number)
        if not lock.acquire(wait=False):
            return None
        if self.study.get_trials(deepcopy=False)[frozen.number].state != TrialState.RUNNING:
            lock.release()  # it has been told while we looked
            return None
        trial = Trial(self.study, frozen._trial_id)  # optuna has no other way to a trial that is running
        for domain in self.plan.section.space.values():  # a process may have been killed before all were noted
            if domain.name not in trial.params:
                trial._suggest(domain.name, self.proposer.space[domain.name])
        return Claim(trial, self._looked(trial), lock)

    def _enqueue(self, trials: list[FrozenTrial]) -> bool:
        """Put a new trial into the study, all that is known of it in one line of the journal."""
        if (
            self.exhausted is not None
            or sum(each.state != TrialState.FAIL for each in trials) >= self.plan.section.trials
        ):
            return False
        try:
            looked = self.proposer.next(trials)
        except ExhaustedError as error:
            if not trials:
                raise
            self.exhausted = error.message
            self.progress.message(f"{error.message}: the search ends with what it has")
            return False
        assert looked.verdict is not None
        attributes = {"figures": looked.verdict.figures.to_dict(), "architecture": looked.architecture}
        self.study.enqueue_trial(dict(looked.candidate.values), user_attrs=attributes)
        return True

    def _looked(self, trial: Trial) -> Looked:
        return look(self.plan.network, candidate_of(self.plan.section, trial.params), self.plan.section.limits)

    def _train(self, claim: Claim) -> None:
        name = self.folder.trial(claim.number).name

        def step(done: float) -> None:
            self._follow_parent()
            self.progress.step(name, done)

        try:
            run_trial(claim, self.folder, self.plan, self.machine, self.shared, step)
        except Interrupted as error:
            standing = self.standing()
            raise Interrupted(
                error.exit_code - 128,
                f"stopped after {standing.done} of {standing.wanted} trials; nothing is lost",
                "the same command continues",
            ) from None
        except OSError as error:
            raise CnnspecError(f"cannot write {self.folder.journal}: {error.strerror or error}") from error
        finally:
            claim.lock.release()
        self._tell(claim.number)

    def _tell(self, number: int) -> None:
        standing = self.standing()
        record = record_of(self.study.get_trials(deepcopy=False)[number], self.folder, self.plan)
        assert record is not None
        self.progress.trial(record, standing, self._left(standing))
        ended = [each for each in standing.records if each.status != "running"]
        if len(ended) >= FAILURES and all(each.status == "failed" for each in ended):
            raise CnnspecError(
                f"{len(ended)} trials have failed, and none has not: {record.failure}",
                hint=f"`cnnspec train --resume {record.run}` tries one of them by itself",
            )

    def _left(self, standing: Standing) -> timedelta | None:
        """How long the rest takes at the pace since this process began."""
        return time_left(standing, self.done_before, self.began)

    def _follow_parent(self) -> None:
        """End as by a signal, with everything saved, where the process that started this one has ended."""
        if self.parent is not None and os.getppid() != self.parent:
            os.kill(os.getpid(), signal.SIGTERM)


def time_left(standing: Standing, before: int, began: float) -> timedelta | None:
    """How long the rest of a search takes, by what has ended since `began` beyond the `before` trials."""
    ended = standing.done - before
    if ended <= 0:
        return None
    each = (time.monotonic() - began) / ended
    return timedelta(seconds=round(max(0, standing.wanted - standing.done) * each))
