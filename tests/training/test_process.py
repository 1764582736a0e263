"""A run leaves no trace in its process: a second one with other settings equals one in a process of its own."""

from __future__ import annotations

import multiprocessing
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from run_states import final_state
from small_runs import job, run

from cnnspec.errors import UsageError
from cnnspec.training.loop import train
from cnnspec.training.metrics import EpochMetrics
from cnnspec.training.progress import Silent


def settings() -> list[Any]:
    """Everything that a run may set for the whole process."""
    return [
        torch.get_num_threads(), torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(), torch.backends.cudnn.benchmark,
        os.environ.get("CUBLAS_WORKSPACE_CONFIG"), torch.get_rng_state().tolist(),
    ]  # fmt: skip


def make_images(folder: Path) -> str:
    rng = np.random.default_rng(0)
    for label in "abcdefghij":
        (folder / label).mkdir(parents=True)
        for i in range(6):
            Image.fromarray(rng.integers(0, 256, (9, 11), dtype=np.uint8)).save(folder / label / f"{i}.png")
    return str(folder)


def test_two_runs_in_one_process_equal_two_processes(tmp_path: Path) -> None:
    several: list[dict[str, Any]] = [
        {"threads": 2, "deterministic": True, "channels_last": True, "precision": "bf16", "seed": 5},
        {"data": make_images(tmp_path / "images"), "loading": "streaming", "batch_size": 8, "workers": 1, "mixup": 0.3},
        {"optimizer": "adamw", "lr": 0.01, "clip": 1.0, "pool_first": False},
    ]
    before = settings()
    for number, options in enumerate(several):
        run(tmp_path / f"one-{number}", **options)
        assert settings() == before
    context = multiprocessing.get_context("spawn")
    for number, options in enumerate(several):
        process = context.Process(target=run, args=(tmp_path / f"own-{number}",), kwargs=options)
        process.start()
        process.join()
        assert final_state(tmp_path / f"one-{number}") == final_state(tmp_path / f"own-{number}")


@pytest.mark.parametrize("deterministic", [True, False])
def test_the_process_is_put_back_whatever_it_was_and_however_the_run_ends(tmp_path: Path, deterministic: bool) -> None:
    class Failing(Silent):
        seen: list[Any]

        def epoch(self, metrics: EpochMetrics) -> None:
            self.seen = settings()
            raise UsageError("enough")

    original = settings()[:4]
    torch.use_deterministic_algorithms(not deterministic, warn_only=not deterministic)
    torch.backends.cudnn.benchmark = deterministic
    torch.set_num_threads(2)
    torch.manual_seed(7)
    try:
        before, progress = settings(), Failing()
        with pytest.raises(UsageError, match="enough"):
            train(job(tmp_path / "run", threads=1, deterministic=deterministic, seed=3), progress)
        assert progress.seen[:5] == [1, deterministic, False, not deterministic, ":4096:8" if deterministic else None]
        assert progress.seen[5] != before[5]
        assert settings() == before
    finally:
        torch.set_num_threads(original[0])
        torch.use_deterministic_algorithms(original[1], warn_only=original[2])
        torch.backends.cudnn.benchmark = original[3]
