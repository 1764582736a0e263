"""A second signal ends a command at once, though a worker of it is stopped and would never answer."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

SPEC = "cnnspec: 1\nname: small\ninput: [1, 8, 8]\nlayers: [Flatten, Linear(2)]\n"
PATIENCE = 60  # seconds, on a busy machine


def children(pid: int) -> list[int]:
    """The workers of a process, without what Python itself runs beside them."""
    found = Path(f"/proc/{pid}/task/{pid}/children").read_text("utf-8").split()
    return [int(child) for child in found if b"resource_tracker" not in Path(f"/proc/{child}/cmdline").read_bytes()]


def alive(pid: int) -> bool:
    """Whether there is such a process, and not only its end that nobody has asked for."""
    try:
        return Path(f"/proc/{pid}/stat").read_text("utf-8").rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="finds the workers in /proc")
def test_a_stopped_worker_keeps_nobody_waiting(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    for name in ("a", "b"):
        (tmp_path / "data" / name).mkdir(parents=True)
        for i in range(20):
            pixels = random.integers(0, 256, (8, 8), np.uint8)
            Image.fromarray(pixels).save(tmp_path / "data" / name / f"{i}.png")
    (tmp_path / "net.yaml").write_text(SPEC, "utf-8")
    command = [sys.executable, "-m", "cnnspec", "train", "net.yaml", "--data", "data", "--loading", "streaming"]
    command += ["--workers", "1", "--threads", "1", "--no-channels-last", "--epochs", "100000"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=tmp_path) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if line.startswith("epoch"):
                break
        workers = children(process.pid)
        try:
            assert workers
            for worker in workers:
                os.kill(worker, signal.SIGSTOP)
            until = time.monotonic() + PATIENCE
            while process.poll() is None and time.monotonic() < until:  # on a busy machine the first is noted late
                os.kill(process.pid, signal.SIGTERM)
                with suppress(subprocess.TimeoutExpired):
                    process.wait(3.5)
            assert process.returncode == 143
        finally:
            process.kill()
            until = time.monotonic() + PATIENCE
            while any(map(alive, workers)) and time.monotonic() < until:
                time.sleep(0.1)
            left = [worker for worker in workers if alive(worker)]
            for worker in left:
                os.kill(worker, signal.SIGKILL)
    assert not left
