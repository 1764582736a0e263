"""A network and options that train in a fraction of a second."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cnnspec
from cnnspec.data.given import Given
from cnnspec.training.config import TrainConfig
from cnnspec.training.job import Job, TrainResult
from cnnspec.training.loop import train

TEXT = """
cnnspec: 1
name: small
input: {shape: [1, 8, 8], mean: [0.5], std: [0.25]}
layers:
  conv: Conv2d(4, 3)
  bn: BatchNorm2d
  relu: ReLU
  pool: MaxPool2d(2)
  drop: Dropout(0.1)
  flatten: Flatten
  fc: Linear(10)
"""

OPTIONS: dict[str, Any] = {
    "data": "digits", "epochs": 3, "batch_size": 128, "device": "cpu", "threads": 1, "channels_last": False,
    "rotate": 5.0, "shift": 1, "ema": 0.9, "lr": 0.2,
}  # fmt: skip


def job(folder: Path, *, text: str = TEXT, resume: bool = False, given: Given | None = None, **options: Any) -> Job:
    spec = cnnspec.loads(text)
    return Job(
        spec,
        TrainConfig(**{**OPTIONS, **options}),
        folder,
        existing="resume" if resume else "refuse",
        data=given,
    )


def run(folder: Path, **options: Any) -> TrainResult:
    return train(job(folder, **options))
