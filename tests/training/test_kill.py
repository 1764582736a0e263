"""A run that is killed at any moment and continued ends bit for bit as one that was not."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="the harness forks its processes")
HARNESS = Path(__file__).with_name("kill_harness.py")


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


@pytest.mark.long
def test_the_harness_finds_a_save_that_is_not_safe() -> None:
    done = harness("--kills", "60", "--naive")
    assert done.returncode == 1, done.stdout + done.stderr
