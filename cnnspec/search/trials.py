"""One trial: an ordinary run, whose epochs are reported to the study and which the study may end early."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from optuna.trial import Trial, TrialState

from cnnspec.errors import CnnspecError, SpecError, UsageError
from cnnspec.search.folder import SearchFolder, SearchPlan
from cnnspec.search.locks import FileLock
from cnnspec.search.space import Looked
from cnnspec.training.config import TrainConfig
from cnnspec.training.job import Job
from cnnspec.training.metrics import EpochMetrics
from cnnspec.training.run_folder import has_checkpoint, is_run, open_run
from cnnspec.training.shared import Shared
from cnnspec.training.signals import Interrupted

__all__ = ["Claim", "Machine", "run_trial"]


@dataclass(frozen=True)
class Machine:
    """What is this process's own: where the images lie here, and what a trial may take of the machine."""

    data: str
    threads: int | None = None  # of a trial on the CPU; None: as the options say
    device: str | None = None  # None: as the options say

    def config(self, plan: SearchPlan, options: dict[str, Any]) -> TrainConfig:
        """The options of a trial on this machine."""
        config = plan.config_of(options)
        device = config.device if self.device is None else self.device
        threads = config.threads if config.threads is not None else self.threads
        layout = config.channels_last
        if layout is None and self.threads is not None:
            layout = False  # to measure it would take as long as an epoch, for every network anew
        return config.model_copy(update={"device": device, "threads": threads, "channels_last": layout})


@dataclass(frozen=True)
class Claim:
    """A trial that is this process's to train, and the lock that says so."""

    trial: Trial
    looked: Looked
    lock: FileLock

    @property
    def number(self) -> int:
        """The trial's number."""
        return self.trial.number


class _Listener:
    """Reports a run's epochs to the study, and ends it where the study says so."""

    def __init__(self, claim: Claim, epochs: int, known: Iterable[EpochMetrics], step: Callable[[float], None]) -> None:
        self.claim, self.epochs, self.step_ = claim, epochs, step
        self.pruned = False
        self.catch_up(known)

    @property
    def _reports(self) -> bool:
        return len(self.claim.trial.study.directions) == 1

    def catch_up(self, known: Iterable[EpochMetrics]) -> None:
        """Report the epochs that have not been: a process may have been killed between saving and reporting."""
        if not self._reports:
            return
        frozen = self.claim.trial.study.get_trials(deepcopy=False)[self.claim.number]
        for metrics in known:
            if metrics.epoch not in frozen.intermediate_values:
                _, value = metrics.best
                if value is not None:
                    self.claim.trial.report(value, metrics.epoch)

    def message(self, text: str) -> None:
        """Nothing: a search says one line for a trial."""

    def step(self, epoch: int, epochs: int, seen: int, images: int, loss: float, images_per_second: float) -> None:
        """How far the trial is."""
        self.step_((epoch - 1 + seen / images) / epochs)

    def epoch(self, metrics: EpochMetrics) -> bool:
        """Report an epoch. True where the trial has fallen behind; behind the last one there is nothing to save."""
        if not self._reports:
            return False
        self.catch_up([metrics])
        self.pruned = metrics.epoch < self.epochs and self.claim.trial.should_prune()
        if self.pruned:
            self.claim.trial.set_user_attr("pruned", metrics.epoch)
        return self.pruned


def run_trial(
    claim: Claim,
    folder: SearchFolder,
    plan: SearchPlan,
    machine: Machine,
    shared: Shared,
    step: Callable[[float], None],
) -> None:
    """Train a claimed trial, from wherever it was left, and tell the study what came of it.

    Raises Interrupted after a signal, UsageError and SpecError where no trial could be trained so; a trial whose
    training fails is told as a bad one.
    """
    trial, path = claim.trial, folder.trial(claim.number)
    known: tuple[EpochMetrics, ...] = ()
    begun = open_run(path) if is_run(path) else None
    if begun is not None:
        known = begun.metrics
    listener = _Listener(claim, plan.config.epochs, known, step)
    if "pruned" in trial.user_attrs:  # before the process was killed that had been told
        trial.study.tell(trial, state=TrialState.PRUNED)
        return
    if begun is not None and begun.result is not None:
        _finish(claim, plan, begun.result)
        return
    if begun is not None and has_checkpoint(path):
        job = Job(begun.network, begun.config, path, "resume", machine.data)
    else:
        assert claim.looked.network is not None
        config = machine.config(plan, dict(claim.looked.candidate.options))
        job = Job(claim.looked.network, config, path, "overwrite", machine.data)
    from cnnspec.training.loop import train

    try:
        result = train(job, listener, shared)
    except (Interrupted, UsageError, SpecError):
        raise
    except CnnspecError as error:
        trial.set_user_attr("failed", error.message)
        trial.study.tell(trial, state=TrialState.PRUNED)
        return
    with suppress(CnnspecError):
        listener.catch_up(open_run(path).metrics)
    outcome = result.to_dict()
    if listener.pruned:
        trial.set_user_attr("outcome", _kept(outcome, plan))
        trial.study.tell(trial, state=TrialState.PRUNED)
    else:
        _finish(claim, plan, outcome)


def _kept(outcome: dict[str, Any], plan: SearchPlan) -> dict[str, Any]:
    key = plan.figure.key
    names = ("epochs", "best_epoch", f"val_{key}", f"test_{key}", "seconds")
    return {name: outcome.get(name) for name in names}


def _finish(claim: Claim, plan: SearchPlan, outcome: dict[str, Any]) -> None:
    """Tell the study what a trained trial has come to."""
    trial = claim.trial
    trial.set_user_attr("outcome", _kept(outcome, plan))
    score = outcome[f"val_{plan.figure.key}"]
    if score is None:
        trial.set_user_attr("failed", f"its {plan.figure.title} is not defined: too few inputs, or all alike")
        trial.study.tell(trial, state=TrialState.PRUNED)
        return
    if plan.pareto:
        figures = trial.user_attrs["figures"]
        trial.study.tell(trial, [score, float(figures[plan.section.cost] or 0)])
    else:
        trial.study.tell(trial, score)
