"""What the list of runs says of one: the figure of its task."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from cnnspec import api
from cnnspec.web.runs import Runs

SPEC = """\
cnnspec: 1
name: ink
input: [1, 8, 8]
task: {type: regression, numbers: [ink]}
layers: [Flatten, 'Linear(1)']
"""


def test_a_run_is_listed_with_the_figure_of_its_task(tmp_path: Path) -> None:
    x = np.random.default_rng(0).integers(0, 256, (60, 1, 8, 8), np.uint8)
    result = api.train(
        api.loads(SPEC), name="ink", runs=tmp_path / "runs", progress=None, data=(x, x.mean((1, 2, 3))[:, None]),
        epochs=1, threads=1, batch_size=16, device="cpu",
    )  # fmt: skip
    (listed,) = Runs(tmp_path).listed()
    figure, value = result.best
    assert figure.key == "r2"
    assert listed["figure"] == f"R² {value:.4g}"
