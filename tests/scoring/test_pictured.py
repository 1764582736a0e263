"""Runs on anything but photographs are scored and drawn: floats, signals, volumes, any number of channels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import cnnspec
from cnnspec import api
from cnnspec.scoring.pictured import as_pixels

CLASSIFIER = """
cnnspec: 1
name: small
input: {input}
layers:
  conv: Conv{axes}d(3, 3)
  pool: AdaptiveAvgPool{axes}d(1)
  flat: Flatten
  fc: Linear(2)
"""
MASKS = "cnnspec: 1\nname: small\ninput: {input}\ntask: segmentation\nlayers:\n  conv: Conv{axes}d(2, 3, padding=1)\n"
NUMBERS = CLASSIFIER.replace("layers:", "task: regression\nlayers:")


def _run(folder: Path, text: str, shape: tuple[int, ...], dtype: str) -> api.Run:
    x = (np.random.default_rng(0).random((20, *shape)) * 200).astype(dtype)
    y = np.arange(20) % 2
    if text is MASKS:
        y = (x[:, 0] > 100).astype(np.int64)
    if text is NUMBERS:
        y = np.stack([x.reshape(20, -1).mean(1), np.arange(20.0)], 1)
    np.savez(folder / "data.npz", x=x, y=y)
    spec = cnnspec.loads(text.format(input=list(shape), axes=len(shape) - 1))
    options = {"epochs": 1, "threads": 1, "channels_last": False, "device": "cpu", "runs": folder, "progress": None}
    return api.open_run(cnnspec.train(spec, data=str(folder / "data.npz"), name="run", **options).run)


@pytest.mark.parametrize(
    ("text", "shape", "dtype"),
    [
        (CLASSIFIER, (1, 6, 6), "float32"),
        (CLASSIFIER, (3, 6, 6), "float32"),
        (CLASSIFIER, (2, 6, 6), "uint8"),
        (CLASSIFIER, (5, 6, 6), "float32"),
        (CLASSIFIER, (1, 20), "float32"),
        (CLASSIFIER, (1, 4, 6, 6), "uint8"),
        (MASKS, (2, 6, 6), "float32"),
        (MASKS, (1, 20), "float32"),
        (NUMBERS, (3, 6, 6), "uint8"),
    ],
)
def test_scored_and_drawn(text: str, shape: tuple[int, ...], dtype: str, tmp_path: Path) -> None:
    run = _run(tmp_path, text, shape, dtype)
    found = cnnspec.evaluate(run.path, sheet=tmp_path / "sheet.png")
    assert found.images == 4
    told: list[str] = []
    api.draw(run, tmp_path / "run.html", report=told.append)
    assert not any("what it computes" in text for text in told)


def test_what_is_shown_of_a_sample() -> None:
    photo = np.arange(48, dtype=np.uint8).reshape(3, 4, 4)
    assert np.array_equal(as_pixels(photo), photo.transpose(1, 2, 0))
    assert np.array_equal(as_pixels(np.float32([[[-1.0, 0.0, 1.0]]]))[0, :, 0], [0, 128, 255])
    assert np.array_equal(as_pixels(np.full((2, 3, 3), 7.0))[..., 0], np.zeros((3, 3)))
    volume = np.arange(3 * 2 * 2, dtype=np.uint8).reshape(1, 3, 2, 2)
    assert np.array_equal(as_pixels(volume)[..., 0], volume[0, 1])
    course = as_pixels(np.linspace(0.0, 1.0, 96)[None])[..., 0]
    assert course.shape == (48, 96)
    assert course[-1, 0] == course[0, -1] == 0
    assert course[0, 0] == course[-1, -1] == 255
