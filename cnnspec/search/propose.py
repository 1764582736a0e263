"""What is tried next: a candidate within the limits that is no network that was tried before.

The sampler learns from the trials of the study, and from the candidates that were refused: how far each is beyond its
limits is told as constraints. Refused candidates are no part of the study, for asking takes the longer the more a study
holds; the newest stay in this process, and those of the first screen are the same for everybody.
"""

from __future__ import annotations

import random
import zlib
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

import optuna
from optuna.samplers import TPESampler
from optuna.trial import FrozenTrial, Trial, TrialState, create_trial

from cnnspec.errors import UsageError
from cnnspec.language import Network
from cnnspec.search.folder import SearchPlan
from cnnspec.search.journal import candidate_of, directions, distributions
from cnnspec.search.judge import judge_figures
from cnnspec.search.screen import Screen, merged, nothing_fits
from cnnspec.search.space import Candidate, Looked, draw, look

__all__ = ["ExhaustedError", "Proposer", "constraints_of"]

RANDOM_FIRST: Final = 20  # trials that are drawn at random, before anything can be learned
GOOD: Final = 10  # one in so many trials is a good one, after whose kind is looked
TRIES: Final = 500  # candidates that are looked at for one trial
AT_RANDOM: Final = 200  # of which so many at random, where nothing has been learned yet
TRIES_AT_RANDOM: Final = 5000  # candidates for one trial, where nothing is learned from any
TIMED: Final = 100  # networks that are measured for one trial
REMEMBERED: Final = 100  # refused candidates that the sampler learns from
WORST: Final = 10.0  # the violation of a candidate that makes no network, and the largest of any


class ExhaustedError(UsageError):
    """Every network that was found within the limits has been tried."""


def constraints_of(looked: Looked) -> dict[str, float]:
    """How far a candidate is beyond each limit, as a share of it; 0 or less where it keeps it."""
    if looked.verdict is None:
        return {"valid": WORST}
    broken = {violation.limit.figure: min(WORST, violation.excess) for violation in looked.verdict.violations}
    return {"valid": -1.0, **broken}


class Proposer:
    """Proposes candidates to one process."""

    def __init__(self, plan: SearchPlan, seen: Screen, measure: Callable[[Network], float] | None = None) -> None:
        """`seen` is a first screen of the space, `measure` times a network, where a limit or the cost is on latency."""
        self.plan, self.seen, self.measure = plan, seen, measure
        self.space = distributions(plan.section)
        refused = [each for each in seen.looked if not each.fits]
        self.refused: deque[Looked] = deque(refused, maxlen=REMEMBERED)
        self.times: dict[str, float] = {}  # what was measured, by architecture

    def next(self, trials: Sequence[FrozenTrial]) -> Looked:
        """What to try after these trials; the same for everybody who has seen the same.

        Raises ExhaustedError where nothing new is found, and UsageError where nothing is within the limits at all.
        """
        section, before = self.plan.section, len(self.times)
        source = random.Random(zlib.crc32(f"{self.plan.config.seed} {len(trials)}".encode()))
        tried = {str(trial.user_attrs.get("architecture")): trial for trial in trials}
        learns = section.sampler == "tpe"
        scout: optuna.Study | None = None
        seen: dict[str, Looked] = {}  # what was looked at now, by its values: in a small space many are drawn again
        for attempt in range(TRIES if learns else TRIES_AT_RANDOM):
            asked: Trial | None = None
            if learns and (len(trials) >= RANDOM_FIRST or attempt >= AT_RANDOM):
                scout = scout or self._scout(trials, source)
                asked = scout.ask(self.space)
                candidate = candidate_of(section, asked.params)
            else:
                candidate = draw(section, source)
            key = repr(candidate.values)
            looked = seen.get(key) or self._look(candidate)
            twin = tried.get(looked.architecture) if looked.fits else None
            if looked.fits and twin is None:
                return looked
            if key not in seen:
                seen[key] = looked if twin is not None else looked._replace(network=None)
                if twin is None:
                    self.refused.append(looked)
            if scout is not None and asked is not None:
                _tell(scout, asked, looked, twin)
            if len(seen) == section.size or len(self.times) - before >= TIMED:
                break
        for each in self.seen.fitting:  # so few may be within the limits that none was drawn again
            if len(self.times) - before >= TIMED:
                break
            looked = self._look(each.candidate)
            if looked.fits and looked.architecture not in tried:
                return looked
        if not trials:
            raise self._nothing_fits(list(seen.values()))
        if len(seen) == section.size:
            raise ExhaustedError(f"all {len(seen):,} candidates of the space are tried or beyond the limits")
        raise ExhaustedError(f"no new network within the limits was found among {len(seen):,} candidates")

    def _nothing_fits(self, missed: list[Looked]) -> UsageError:
        first = self.seen
        if self.measure is None:
            seen = merged(first, missed)
        else:  # which the first screen has not done
            seen = Screen(first.name, first.size, tuple(missed), tuple(self.plan.section.limits), ())
        return nothing_fits(seen, len(seen.looked), self.plan.network.source.path)

    def _look(self, candidate: Candidate) -> Looked:
        """A candidate's verdict; what has to be measured is measured last, once, and only where all else fits."""
        limits = self.plan.section.limits
        looked = look(self.plan.network, candidate, limits)
        if not looked.fits or self.measure is None:
            return looked
        assert looked.network is not None
        assert looked.verdict is not None
        key = looked.architecture
        if key not in self.times:
            self.times[key] = self.measure(looked.network)
        figures = looked.verdict.figures.with_latency(self.times[key])
        return looked._replace(verdict=judge_figures(figures, limits))

    def _scout(self, trials: Sequence[FrozenTrial], source: random.Random) -> optuna.Study:
        """A study in memory that knows the trials, and what was refused.

        The sampler would count what was refused when it works out how many trials are good ones; all that was trained
        would be, and accuracy decide nothing.
        """
        good = max(1, -(-len(trials) // GOOD))
        sampler = TPESampler(seed=source.randrange(2**31), gamma=lambda _: good)
        scout = optuna.create_study(directions=directions(self.plan), sampler=sampler)
        for looked in self.refused:
            scout.add_trial(
                create_trial(
                    state=TrialState.PRUNED,
                    params=dict(looked.candidate.values),
                    distributions=self.space,
                    constraints=constraints_of(looked),
                )
            )
        for trial in trials:
            if trial.state != TrialState.FAIL and trial.params.keys() == self.space.keys():
                scout.add_trial(
                    create_trial(
                        state=TrialState.RUNNING if trial.state == TrialState.WAITING else trial.state,
                        values=trial.values if trial.state == TrialState.COMPLETE else None,
                        params=trial.params,
                        distributions=self.space,
                        intermediate_values=trial.intermediate_values,
                        constraints={"valid": -1.0},
                    )
                )
        return scout


def _tell(scout: optuna.Study, asked: Trial, looked: Looked, twin: FrozenTrial | None) -> None:
    """Let the sampler know what became of a candidate that is not tried: what its twin is, or how far off it is."""
    if twin is not None and twin.state == TrialState.RUNNING:
        return  # so is this one
    for name, excess in constraints_of(looked).items():
        asked.set_constraint(name, excess)
    if twin is not None and twin.values is not None and twin.state == TrialState.COMPLETE:
        scout.tell(asked, twin.values)
    else:
        scout.tell(asked, state=TrialState.PRUNED)
