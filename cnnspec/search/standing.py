"""How far the study of a search is: its trials as records."""

from __future__ import annotations

from typing import Final

import optuna
from optuna.trial import FrozenTrial, TrialState

from cnnspec.search.folder import SearchFolder, SearchPlan
from cnnspec.search.journal import candidate_of
from cnnspec.search.judge import Figures
from cnnspec.search.records import Standing, TrialRecord, TrialStatus

__all__ = ["record_of", "standing_of"]

_STATUS: Final[dict[TrialState, TrialStatus]] = {
    TrialState.COMPLETE: "complete",
    TrialState.PRUNED: "pruned",
    TrialState.FAIL: "failed",
    TrialState.RUNNING: "running",
    TrialState.WAITING: "running",
}


def record_of(trial: FrozenTrial, folder: SearchFolder, plan: SearchPlan) -> TrialRecord | None:
    """A trial's record; None for one that has only just been begun."""
    names = plan.section.space.keys()
    if not names <= trial.params.keys() or "figures" not in trial.user_attrs:
        return None
    figure = plan.figure
    outcome = trial.user_attrs.get("outcome") or {}
    reported = max(trial.intermediate_values.values(), default=None)
    epochs = max(trial.intermediate_values, default=0)
    failed = trial.user_attrs.get("failed")
    status = "failed" if failed else _STATUS[trial.state]
    return TrialRecord(
        number=trial.number,
        status=status,
        candidate=candidate_of(plan.section, trial.params),
        figures=Figures(**trial.user_attrs["figures"]),
        score=outcome.get(f"val_{figure.key}", reported),
        epochs=outcome.get("epochs", epochs),
        seconds=outcome.get("seconds"),
        test_score=outcome.get(f"test_{figure.key}"),
        run=folder.trial(trial.number),
        failure=failed,
        figure=figure,
    )


def standing_of(study: optuna.Study, folder: SearchFolder, plan: SearchPlan) -> Standing:
    """How far the study of a search is."""
    records = (record_of(trial, folder, plan) for trial in study.get_trials(deepcopy=False))
    return Standing(plan.section.trials, tuple(record for record in records if record is not None))
