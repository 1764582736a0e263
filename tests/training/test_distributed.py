"""Two processes under torchrun train what one process trains, and survive the death of one."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from small_runs import TEXT

from cnnspec.torch_backend import read_weights
from cnnspec.training.run_folder import open_run

pytestmark = pytest.mark.skipif(not torch.distributed.is_available(), reason="this torch has no torch.distributed")

SPEC = TEXT.replace("  bn: BatchNorm2d\n", "").replace("  drop: Dropout(0.1)\n", "")
OPTIONS = [
    "--data",
    "digits",
    "--batch-size",
    "100",
    "--device",
    "cpu",
    "--threads",
    "1",
    "--lr",
    "0.1",
    "--mixup",
    "0.2",
]
TOLERANCE = 2e-5  # float32 sums in another order


def environment() -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}


def command(processes: int, *arguments: str) -> list[str]:
    start = [sys.executable, "-m"]
    if processes > 1:
        start += ["torch.distributed.run", "--standalone", f"--nproc-per-node={processes}", "--max-restarts=1", "-m"]
    return [*start, "cnnspec", "train", "net.yaml", *OPTIONS, *arguments]


def train(folder: Path, processes: int, *arguments: str) -> None:
    done = subprocess.run(
        command(processes, *arguments), cwd=folder, capture_output=True, text=True, check=False, env=environment()
    )
    assert done.returncode == 0, done.stdout + done.stderr


def weights(folder: Path, name: str) -> dict[str, torch.Tensor]:
    return read_weights(folder / "runs" / name / "last.safetensors")


def figures(folder: Path, name: str) -> list[dict[str, Any]]:
    lines = (folder / "runs" / name / "metrics.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def test_two_processes_equal_one(tmp_path: Path) -> None:
    (tmp_path / "net.yaml").write_text(SPEC)
    train(tmp_path, 1, "--name", "one", "--epochs", "2")
    train(tmp_path, 2, "--name", "two", "--epochs", "2")
    one, two = weights(tmp_path, "one"), weights(tmp_path, "two")
    for name, tensor in one.items():
        assert torch.allclose(tensor, two[name], atol=TOLERANCE), name
    for a, b in zip(figures(tmp_path, "one"), figures(tmp_path, "two"), strict=True):
        assert a["train_loss"] == pytest.approx(b["train_loss"], abs=TOLERANCE)
        assert a["val_loss"] == pytest.approx(b["val_loss"], abs=TOLERANCE)
        assert a["val_accuracy"] == b["val_accuracy"]
    assert open_run(tmp_path / "runs" / "two").result is not None


def children(pid: int) -> list[int]:
    return [int(line) for line in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@pytest.mark.long
@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="finding the workers needs /proc")
def test_a_killed_worker_costs_nothing(tmp_path: Path) -> None:
    """torchrun starts all processes again, and they continue from the last checkpoint."""
    (tmp_path / "net.yaml").write_text(SPEC)
    options = ["--epochs", "60", "--checkpoint-every", "0.2"]
    train(tmp_path, 1, "--name", "whole", *options)
    with subprocess.Popen(
        command(2, "--name", "killed", *options), cwd=tmp_path, env=environment(), stderr=subprocess.PIPE, text=True
    ) as process:
        metrics = tmp_path / "runs" / "killed" / "metrics.jsonl"
        deadline = time.monotonic() + 120
        while not metrics.exists() or len(metrics.read_text().splitlines()) < 3:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        os.kill(children(process.pid)[-1], signal.SIGKILL)
        assert process.stderr is not None
        said = process.stderr.read()
    assert process.returncode == 0, said
    assert "continuing after" in said
    whole, killed = (open_run(tmp_path / "runs" / name).result for name in ("whole", "killed"))
    assert whole is not None
    assert killed is not None
    assert killed["test_accuracy"] == pytest.approx(whole["test_accuracy"], abs=0.01)
