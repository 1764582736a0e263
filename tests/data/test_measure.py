"""What is measured on training images, and what about them is told before a run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import cnnspec
from cnnspec.data.given import Given
from cnnspec.data.measure import measure, suspicions
from cnnspec.data.open import OpenOptions, open_data
from cnnspec.data.sets import DataSet
from cnnspec.onnx_backend.metadata import Metadata
from cnnspec.training.run_folder import open_run

SPEC = "cnnspec: 1\nname: a\ninput: [3, 6, 5]\nlayers:\n  - Flatten\n  - Linear(3)\n"
GRAPH = cnnspec.loads(SPEC).graph
RNG = np.random.default_rng(0)
Y = np.arange(60) % 3
X = RNG.integers(0, 256, (60, 3, 6, 5), np.uint8)


def opened(x: np.ndarray, y: np.ndarray = Y, **parts: object) -> DataSet:
    return open_data(Given.of((x, y), **parts), GRAPH, OpenOptions(Path(), report=lambda text: None))


@pytest.mark.parametrize("x", [X, X.astype(np.float32) / 255])
def test_mean_and_spread_are_those_of_the_training_images(x: np.ndarray) -> None:
    data = opened(x)
    rows = X[data.train_rows] / 255
    mean, std = measure(data)
    assert np.allclose(mean, rows.mean((0, 2, 3)), atol=1e-6)
    assert np.allclose(std, rows.std((0, 2, 3)), atol=1e-6)


def test_a_run_and_its_export_keep_what_was_measured(tmp_path: Path) -> None:
    spec = cnnspec.loads(SPEC)
    options = {"runs": tmp_path, "threads": 1, "progress": None, "standardise": True, "batch_size": 8}
    run = open_run(cnnspec.train(spec, data=(X, Y), epochs=1, name="a", **options).run)
    mean, std = measure(opened(X))
    assert (run.graph.mean, run.graph.std) == (mean, std)
    cnnspec.resume(run.path, data=(X, Y), epochs=2, progress=None)
    assert open_run(run.path).graph.mean == mean
    again = cnnspec.train(spec, data=(X, Y), epochs=2, name="a", existing="resume", **options)
    assert again.epochs == 2
    cnnspec.export(run.path, tmp_path / "a.onnx")
    about: Metadata = cnnspec.Predictor(tmp_path / "a.onnx", device="cpu").metadata
    assert (about.mean, about.std) == (mean, std)
    scores = [cnnspec.evaluate(each, data=(X, Y)).accuracy for each in (run.path, tmp_path / "a.onnx")]
    assert scores[0] == scores[1]


def test_what_may_be_a_mistake_is_told() -> None:
    assert not list(suspicions(opened(X)))
    x = X.copy()
    x[7] = x[7, :, :1, :1]
    x[8, :, :3] = x[8, :, :1, :1]  # it begins as one of one value
    few = np.where(np.arange(60) < 4, 2, np.arange(60) % 2)
    told = list(suspicions(opened(x, few, val=(X[:5], Y[:5]))))
    assert told == [
        "classes with fewer than 10 training images: 2 4",
        "training images of one colour or value throughout: 1, number 7",
        "5 of 5 validation images are training images too",
    ]


def test_files_of_one_colour_are_told(tmp_path: Path) -> None:
    for name in "abc":
        (tmp_path / "photos" / name).mkdir(parents=True)
        for number in range(4):
            Image.fromarray(RNG.integers(0, 256, (9, 9, 3), np.uint8)).save(
                tmp_path / "photos" / name / f"{number}.png"
            )
    Image.new("RGB", (9, 9), "red").save(tmp_path / "photos" / "b" / "1.png")
    said: list[str] = []
    options = OpenOptions(tmp_path, loading="streaming", report=said.append)
    open_data(str(tmp_path / "photos"), GRAPH, options)
    assert said == [f"files of one colour or value throughout: 1, {tmp_path / 'photos' / 'b' / '1.png'}"]
