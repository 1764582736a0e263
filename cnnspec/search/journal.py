"""The study of a search in its journal, which any number of processes read and write together.

A process that is killed leaves three things behind, and each is put right by whoever comes next: half a line at the end
of the journal, which would make it unreadable with the next line behind it; the journal's lock; and a trial that says
that it is running.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.pruners import BasePruner, NopPruner, SuccessiveHalvingPruner
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock
from optuna.study import StudyDirection

from cnnspec.errors import CnnspecError, UsageError
from cnnspec.language.document import Choice, Domain, SearchSection
from cnnspec.search.folder import SearchFolder, SearchPlan
from cnnspec.search.locks import FileLock
from cnnspec.search.space import Candidate

__all__ = ["candidate_of", "directions", "distributions", "mend", "open_study", "quiet"]

KEPT: Final = 3  # of the trials at a rung, one in so many goes on
FIRST_RUNG: Final = 3  # the first rung is at this part of the epochs, behind the rise of the learning rate
_BLOCK: Final = 2**16


@contextmanager
def quiet() -> Iterator[None]:
    """While entered, optuna says nothing by itself."""
    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module="optuna")
            warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
            yield
    finally:
        optuna.logging.set_verbosity(level)


class _JournalLock(JournalFileOpenLock):
    """The lock under which the journal is written. It dies with its holder, and whoever gets it mends the journal."""

    def __init__(self, journal: Path) -> None:
        super().__init__(str(journal))
        self._journal = journal
        self._held = FileLock(journal.parent / "locks" / "journal")

    def acquire(self) -> bool:
        self._held.acquire(wait=True)
        mend(self._journal)
        return True

    def release(self) -> None:
        self._held.release()


def mend(journal: Path) -> None:
    """Take away half a line at the end of a journal. Only for the holder of its lock: nobody else writes then."""
    try:
        with open(journal, "rb+") as file:
            size = file.seek(0, os.SEEK_END)
            end = size
            while end:
                start = max(0, end - _BLOCK)
                file.seek(start)
                at = file.read(end - start).rfind(b"\n")
                if at >= 0:
                    end = start + at + 1
                    break
                end = start
            if end < size:
                file.truncate(end)
                os.fsync(file.fileno())
    except FileNotFoundError:
        pass


def open_study(folder: SearchFolder, plan: SearchPlan, *, write: bool = True) -> optuna.Study:
    """The study in a search's journal; made where it is not there, unless it is only to be read.

    Raises UsageError where there is none to be read, and CnnspecError where it is damaged.
    """
    journal = folder.journal
    if not write and not journal.is_file():
        raise UsageError(f"{folder.path} has no trials yet", hint="the command that began it continues it")
    lock = _JournalLock(journal)
    try:
        if write:
            lock.acquire()  # which mends it
            lock.release()
        storage = JournalStorage(JournalFileBackend(str(journal), lock_obj=lock))
        pruner = _pruner(plan)
        if not write:
            return optuna.load_study(study_name="search", storage=storage, pruner=pruner)
        return optuna.create_study(
            study_name="search", storage=storage, directions=directions(plan), pruner=pruner, load_if_exists=True
        )
    except OSError as error:
        raise CnnspecError(f"cannot write {journal}: {error.strerror or error}") from None
    except (ValueError, KeyError, TypeError, AssertionError, AttributeError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise CnnspecError(f"{journal} is damaged: {reason:.200}") from None


def directions(plan: SearchPlan) -> list[StudyDirection]:
    """Accuracy is to grow; and for two objectives, the cost to shrink."""
    return [StudyDirection.MAXIMIZE, StudyDirection.MINIMIZE] if plan.pareto else [StudyDirection.MAXIMIZE]


def _pruner(plan: SearchPlan) -> BasePruner:
    """What ends trials that fall behind: asynchronous successive halving (Li et al. 2018), for one objective."""
    if plan.pareto or not plan.section.prune:
        return NopPruner()
    first = max(1, -(-plan.config.epochs // FIRST_RUNG))
    return SuccessiveHalvingPruner(min_resource=first, reduction_factor=KEPT)


def distributions(section: SearchSection) -> dict[str, BaseDistribution]:
    """The space as optuna has it."""
    return {name: _distribution(domain) for name, domain in section.space.items()}


def _distribution(domain: Domain) -> BaseDistribution:
    if domain.kind == "choices":
        return CategoricalDistribution(domain.values)
    first, last = domain.ends
    if domain.kind == "int":
        return IntDistribution(int(first), int(last), step=int(domain.step or 1))
    return FloatDistribution(first, last, step=domain.step, log=domain.kind == "log")


def candidate_of(section: SearchSection, params: Mapping[str, Any]) -> Candidate:
    """The candidate of a trial's parameters, as plain values: a sampler may give those of numpy."""
    return Candidate({name: _plain(domain, params[name]) for name, domain in section.space.items()})


def _plain(domain: Domain, value: Any) -> Choice:
    value = value.item() if hasattr(value, "item") else value
    if domain.kind == "choices":
        return next(choice for choice in domain.values if choice == value and type(choice) is type(value))
    return int(value) if domain.kind == "int" else float(value)
