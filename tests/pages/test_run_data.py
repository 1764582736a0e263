"""A run as plain data."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest

from cnnspec import api
from cnnspec.drawing.page import embedded
from cnnspec.pages.run_data import run_data
from cnnspec.pages.run_judged import judged_data
from cnnspec.scoring.assess import judge_run

SPEC = (
    "cnnspec: 1\nname: tiny\ninput: [1, 8, 8]\nlayers:\n  c: Conv2d(4, 3)\n  r: ReLU\n  f: Flatten\n  out: Linear(10)\n"
)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> api.Run:
    folder = tmp_path_factory.mktemp("runs")
    api.train(
        api.loads(SPEC), name="tiny", runs=folder, progress=None, data="digits", epochs=2, threads=1, batch_size=256,
        channels_last=False,
    )  # fmt: skip
    return api.open_run(folder / "tiny")


def test_the_folder_is_told_as_it_is(run: api.Run) -> None:
    data = run_data(run)
    assert [epoch["epoch"] for epoch in data["metrics"]] == [1, 2]
    assert data["result"]["best_epoch"] == data["metrics"][data["best"]]["epoch"]
    assert data["config"]["data"] == "digits"
    assert data["environment"]["torch"]
    assert json.loads(embedded(data)) == data


def test_it_needs_no_torch(run: api.Run) -> None:
    code = (
        "import sys; from cnnspec import api; from cnnspec.pages.run_data import run_data; run_data(api.open_run("
        f"{str(run.path)!r})); print([name for name in ('torch', 'numpy', 'onnx') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_pictures_stand_in_their_cells_and_bins_hold_every_image(run: api.Run) -> None:
    judged = judge_run(run, device="cpu")
    data = judged_data(judged)
    matrix = np.array(data["confusion"])
    assert matrix.sum() == data["images"] == len(judged.labels)
    assert np.trace(matrix) / matrix.sum() == pytest.approx(data["accuracy"])
    for picture in data["pictures"]:
        assert matrix[picture["true"], picture["predicted"]] > 0
        assert judged.labels[picture["row"]] == picture["true"]
    shown = {(picture["true"], picture["predicted"]) for picture in data["pictures"]}
    assert shown == {(row, column) for row, column in np.argwhere(matrix).tolist()}
    bins = [each for each in data["bins"] if each]
    assert sum(count for count, _, _ in bins) == data["images"]
    error = sum(count * abs(right - sure) for count, right, sure in bins) / data["images"]
    assert error == pytest.approx(data["calibrationError"], abs=1e-6)


def test_what_is_not_finite_is_null() -> None:
    assert embedded({"loss": [1.0, float("nan"), float("inf")]}) == '{"loss":[1.0,null,null]}'
