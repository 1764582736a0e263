"""Processes that are killed lose no trial and no report, and what is continued is what would have been."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from search_support import SPEC

import cnnspec
from cnnspec import api

# Epochs that take a moment, and a checkpoint after nearly every step.
SLOW = (
    SPEC.replace("batch_size: 256", "batch_size: 8, checkpoint_every: 0.05")
    .replace("trials: 3", "trials: 2\n  prune: false")
    .replace("epochs: 3", "epochs: 2")
)
COMMAND = [sys.executable, "-m", "cnnspec", "search", "net.yaml", "--data", "digits", "--name", "s", "--device", "cpu"]


def start(folder: Path, *more: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([*COMMAND, *more], cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def prepare(folder: Path, text: str = SLOW) -> Path:
    (folder / "net.yaml").write_text(text)
    return folder / "searches" / "s"


def wait_for(condition: object, process: subprocess.Popen[bytes], seconds: float = 600) -> None:
    end = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < end
        assert process.poll() in (None, 0), process.stderr.read() if process.stderr else ""
        time.sleep(0.02)


def kill(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGKILL)
    process.communicate()


def check_whole(folder: Path, search: Path) -> None:
    """Every trial is there once, with all its reports, and is what an uncut run of its options is."""
    result = api.open_search(search)
    wanted = result.plan.section.trials
    assert [record.number for record in result.trials] == [*range(wanted)]
    assert [record.status for record in result.trials] == ["complete"] * wanted
    assert sorted(path.name for path in (search / "trials").iterdir()) == [record.name for record in result.trials]
    assert len({str(record.candidate) for record in result.trials}) == wanted
    journal = [json.loads(line) for line in (search / "study.journal").read_text().splitlines()]
    reports = [(line["trial_id"], line["step"]) for line in journal if line["op_code"] == 7]
    for record in result.trials:
        run = api.open_run(record.run)
        assert [step for trial, step in reports if trial == record.number] == [each.epoch for each in run.metrics]
        uncut = cnnspec.train(
            run.network, runs=folder / "uncut", name=record.name, progress=None, **run.config.model_dump()
        )
        assert uncut.val_accuracy == record.accuracy
        for file in ("best.safetensors", "last.safetensors"):
            assert (Path(uncut.run) / file).read_bytes() == (record.run / file).read_bytes()


def test_a_killed_search_goes_on_with_the_same_command(tmp_path: Path) -> None:
    search = prepare(tmp_path)
    process = start(tmp_path)
    wait_for(lambda: any(search.glob("trials/t0000/checkpoints/*.pt")), process)
    kill(process)
    with open(search / "study.journal", "ab") as journal:
        journal.write(b'{"op_code": 7, "wor')  # as if it had died while it wrote
    again = start(tmp_path)
    again.communicate()
    assert again.returncode == 0
    check_whole(tmp_path, search)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(4))
def test_workers_and_drivers_may_be_killed_at_any_moment(tmp_path: Path, seed: int) -> None:
    """Two processes on one folder, each killed again and again, and its like started in its place."""
    search = prepare(tmp_path, SLOW.replace("trials: 2", "trials: 4"))
    moments = random.Random(seed)
    process = [start(tmp_path, "--workers", "2"), start(tmp_path)]
    for _ in range(5):
        time.sleep(moments.uniform(1, 8))
        victim = moments.randrange(2)
        kill(process[victim])
        process[victim] = start(tmp_path, *(["--workers", "2"] if victim == 0 else []))
    for each in process:
        _, said = each.communicate(timeout=900)
        assert each.returncode == 0, said.decode()
    check_whole(tmp_path, search)


def test_a_signal_saves_everything_and_says_how_to_go_on(tmp_path: Path) -> None:
    search = prepare(tmp_path)
    process = start(tmp_path, "--workers", "2")
    wait_for(lambda: any(search.glob("trials/t*/checkpoints/*.pt")), process)
    os.kill(process.pid, signal.SIGTERM)
    _, said = process.communicate()
    assert process.returncode == 143
    assert "nothing is lost" in said.decode()
    assert "the same command continues" in said.decode()
    for record in api.open_search(search).trials:
        assert record.status in ("running", "complete")
        assert not search.joinpath("locks", record.name).is_symlink()
