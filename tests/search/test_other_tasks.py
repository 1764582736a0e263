"""A search is for the highest figure of whatever task its network has."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from search_support import FINITE
from sklearn.datasets import load_digits

import cnnspec
from cnnspec import api
from cnnspec.cli import main
from cnnspec.errors import UsageError

REGRESSION = FINITE.replace("layers:\n", "task: {type: regression, numbers: [ink]}\nlayers:\n").replace("(10)", "(1)")
MAPS = """\
cnnspec: 1
name: maps
input: [1, 8, 8]
params: {width: 4}
task: segmentation
train: {batch_size: 256, threads: 1, channels_last: false, rotate: 0.0, shift: 0}
layers:
  - Conv2d(width, 3, padding=1)
  - ReLU
  - Conv2d(2, 1)
search: {space: {width: {int: [2, 8]}}, limits: {params: 3k}, trials: 2, epochs: 2}
"""


@pytest.mark.parametrize(("text", "key", "title"), [(REGRESSION, "r2", "R²"), (MAPS, "miou", "mIoU")])
def test_the_best_trial_has_the_highest_figure_of_the_task(
    text: str, key: str, title: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    x = (load_digits().images[:400, None] * 15.9).astype(np.uint8)
    np.savez("digits.npz", x=x, y=x.mean((1, 2, 3)) if key == "r2" else (x[:, 0] > 100).astype(np.uint8))
    spec = cnnspec.loads(text, purpose="train")
    options = {"trials": 2, "epochs": 2, "device": "cpu", "progress": False}
    result = api.search(spec, data="digits.npz", name="found", **options)  # type: ignore[arg-type]
    scores = []
    for record in result.trials:
        run = api.open_run(record.run)
        assert record.score == max(epoch.figures[key] for epoch in run.metrics)
        assert record.to_dict()[key] == record.score
        with pytest.raises(AttributeError, match="there is no accuracy"):
            _ = record.accuracy
        scores.append(record.score)
    assert result.best is not None
    assert result.best.score == max(scores)
    assert title in repr(result)
    with pytest.raises(SystemExit):
        main(["search", "front", "found", "--picture", "front.png"])
    told = capsys.readouterr().out
    assert title in told.splitlines()[0]
    assert "accuracy" not in told
    assert Path("front.png").exists()
    with pytest.raises(SystemExit):
        main(["search", "front", "found", "--format", "json"])
    assert "accuracy" not in json.dumps(json.loads(capsys.readouterr().out)["trials"])
    api.open_search("found", picture="front.html")
    assert f'"title":"{title}"' in Path("front.html").read_text("utf-8")


def test_a_network_that_is_for_nothing_is_not_searched(tmp_path: Path) -> None:
    spec = cnnspec.loads(MAPS.replace("task: segmentation\n", ""), purpose="train")
    with pytest.raises(UsageError, match="does not say what it is for"):
        api.search(spec, data="digits", searches=tmp_path, progress=False)
