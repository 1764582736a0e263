"""A run as plain data, as its page shows it. Importing this imports neither torch nor numpy.

What needs the network at work on its images, as the confusion matrix, is in `run_judged.py`.
"""

from __future__ import annotations

from typing import Any

from cnnspec.tasks import FIGURES
from cnnspec.training.metrics import merit
from cnnspec.training.run_files import read_json
from cnnspec.training.run_folder import Run

__all__ = ["run_data"]


def run_data(run: Run) -> dict[str, Any]:
    """What a run's folder says: its figures by epoch, its result, its options and what it ran on.

    `best` is the place in `metrics` of the best epoch so far, `result` None where the run has not finished.
    Raises CnnspecError where a file is damaged.
    """
    record = run.network.record()
    environment = run.path / "environment.json"
    best = max(range(len(run.metrics)), key=lambda row: merit(run.metrics[row]), default=None)
    return {
        "name": run.name,
        "network": run.network.name,
        "variant": record.variant,
        "params": dict(record.params or {}),
        "input": list(run.graph.input_shape),
        "size": run.params,
        "trained": run.trainable_params,
        "classes": list(run.classes),
        "epochs": run.config.epochs,
        "figures": [  # of every epoch; the first chooses the best one
            {"key": key, "title": FIGURES[key].title, "share": FIGURES[key].share}
            for key in (run.metrics[0].figures if run.metrics else ())
            if FIGURES[key].told
        ],
        "metrics": [epoch.model_dump(mode="json") for epoch in run.metrics],
        "best": best,
        "result": run.result,
        "config": run.config.model_dump(mode="json"),
        "environment": read_json(environment, dict) if environment.exists() else {},
    }
