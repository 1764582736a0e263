"""A run that is killed at any moment and continued ends bit for bit as one that was not."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from sources import PAIRS, SOURCES, TEXTS

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="the harness forks its processes")
needs_proc = pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="watching fsync needs /proc")
HARNESS = Path(__file__).with_name("kill_harness.py")

MOMENTS = {
    "mkdir folder",
    "open checkpoint",  # before the write
    "within checkpoint",  # at four bytes of it
    "fsync checkpoint",  # after the write
    "replace checkpoint",
    "open folder",  # after the rename
    "fsync folder",
    "open pointer",
    "fsync pointer",
    "replace pointer",
    "unlink checkpoint",  # after the pointer, before an old one is deleted
    "end -",
}


def harness(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(HARNESS), *arguments]
    return subprocess.run(
        command, capture_output=True, text=True, check=False, env={**os.environ, "OMP_NUM_THREADS": "1"}
    )


@pytest.mark.parametrize("kills", [5, pytest.param(100, marks=pytest.mark.long)])
def test_killed_runs_end_as_if_nothing_had_happened(kills: int) -> None:
    done = harness("--kills", str(kills))
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{kills} kills" in done.stdout


@pytest.mark.parametrize(
    ("source", "kills"),
    [("stream in a cache", 2), pytest.param(",".join(SOURCES), 5, marks=pytest.mark.long)],
)
def test_killed_runs_on_data_from_elsewhere_end_as_if_nothing_had_happened(source: str, kills: int) -> None:
    done = harness("--kills", str(kills), "--source", source)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count(f"{kills} kills") == len(source.split(","))


@pytest.mark.parametrize(
    ("tasks", "sources", "pairs"),
    [
        pytest.param("segmentation,regression", "rows read anew", 2, id="two"),
        *(pytest.param(task, ",".join(SOURCES), None, id=task, marks=pytest.mark.long) for task in TEXTS),
    ],
)
def test_runs_of_every_task_on_every_source_are_killed_and_end_as_if_nothing_had_happened(
    tasks: str, sources: str, pairs: int | None
) -> None:
    done = harness("--kills", "2", "--task", tasks, "--source", sources)
    assert done.returncode == 0, done.stdout + done.stderr
    wanted = sum(task in tasks.split(",") for task, _ in PAIRS) if pairs is None else pairs
    assert done.stdout.count("2 kills") == wanted
    assert len(PAIRS) >= 40


@needs_proc
def test_a_kill_or_a_power_cut_at_every_moment_of_a_save() -> None:
    done = harness("--every", "moment")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "43 kills, all inside a save, 0 broken" in done.stdout
    assert set(re.findall(r"^ +\d+ (.+)$", done.stdout, re.M)) == MOMENTS


@needs_proc
def test_the_harness_finds_saves_that_are_not_safe() -> None:
    """One that is torn by a kill, and one that only a power cut can tear."""
    done = harness("--every", "moment", "--save", "in-place,unsynced")
    assert done.returncode == 1, done.stdout + done.stderr
    in_place, unsynced = done.stdout.split("unsynced:")
    assert "cannot be continued when killed at byte 0 of save 3" in in_place
    assert "cannot be continued when killed before call 2 of save 3, data lost" in unsynced
    assert "1 broken" in in_place
    assert "1 broken" in unsynced


@needs_proc
@pytest.mark.long
def test_a_kill_or_a_power_cut_at_every_call_of_a_whole_run() -> None:
    done = harness("--every", "call")
    assert done.returncode == 0, done.stdout + done.stderr
    found = re.search(r"(\d+) kills, before each of (\d+) calls, 0 broken", done.stdout)
    assert found is not None
    assert int(found[1]) == 3 * int(found[2]) > 200
