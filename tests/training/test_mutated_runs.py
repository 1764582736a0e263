"""Run folders with something wrong in them: one clear error that names it, and the other runs are there as before."""

from __future__ import annotations

import random
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from mutated_runs import mutate
from small_runs import OPTIONS, TEXT

import cnnspec
from cnnspec import api
from cnnspec.cli import runs as runs_verb
from cnnspec.errors import CnnspecError

FAST: dict[str, Any] = {**OPTIONS, "epochs": 2, "batch_size": 512, "rotate": 0.0, "shift": 0}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made")
    cnnspec.train(cnnspec.loads(TEXT), runs=folder, name="good", **FAST)
    return folder / "good"


def attack(made: Path, place: Path, count: int, seed: int) -> None:
    """So many mutated runs through everything that opens one. Continuing takes longest: each fifth, and checkpoints."""
    random_, shared = random.Random(seed), api.Shared()
    runs = place / "runs"
    shutil.copytree(made, runs / "good")
    for turn in range(count):
        bad = runs / "bad"
        shutil.copytree(made, bad)
        what = [mutate(bad, random_) for _ in range(random_.choice((1, 1, 2)))]
        try:
            check(runs, shared, resume=turn % 5 == 0 or any("checkpoint" in each for each in what))
        except Exception as error:
            raise AssertionError(f"draw {turn}: {'; '.join(what)}") from error
        shutil.rmtree(bad)


def check(runs: Path, shared: api.Shared, *, resume: bool) -> None:
    bad = runs / "bad"
    told: list[CnnspecError] = []
    listed = api.list_runs(runs, on_error=told.append)
    names = [run.name for run in listed]
    assert "good" in names
    assert ("bad" in names) or len(told) == 1 or not api.is_run(bad)
    assert all("bad" in error.message and "\n" not in error.message for error in told), told
    runs_verb._table(listed, [])
    for run in listed:
        runs_verb._facts(run)
    for work in (
        lambda: api.export(bad, bad.parent / "out.onnx", verify=False),
        *([lambda: api.resume(bad, epochs=3, shared=shared)] if resume else []),
    ):
        with suppress(CnnspecError):
            work()


def test_mutated_runs_are_an_error_of_ours(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    attack(made, tmp_path, 500, seed=1)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(10))
def test_many_mutated_runs_are_an_error_of_ours(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    monkeypatch.chdir(tmp_path)
    attack(made, tmp_path, 500, seed=100 + seed)
