"""Kills training runs at random moments, continues them, and compares the end with an uninterrupted run, bit for bit.

    python tests/training/kill_harness.py --kills 100 [--naive] [--seed N]

Every run is a process forked from this one, ended by SIGKILL: at a random moment, or inside a save, which the child
announces through a pipe and which is slowed down so that the kill can hit it. `--naive` puts in place of our save the
usual one, `torch.save` to a fixed path, and the harness must then find the damage: it exits with 1.
"""

from __future__ import annotations

import argparse
import os
import random
import select
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from run_states import final_state
from small_runs import TEXT, job

from cnnspec.training import loop
from cnnspec.training.checkpoint import save_checkpoint
from cnnspec.training.run_folder import is_run

OPTIONS: dict[str, Any] = {"epochs": 8, "batch_size": 64, "checkpoint_every": 0.02}
KILLS_PER_RUN = 10
CHUNKS = 6  # in which a slowed save writes


def naive_save(folder: Path, state: dict[str, Any]) -> Path:
    folder.mkdir(exist_ok=True)
    torch.save(state, folder / "last.pt")
    return folder / "last.pt"


def naive_load(folder: Path, report: Callable[[str], None]) -> dict[str, Any] | None:
    path = folder / "last.pt"
    return torch.load(path, weights_only=True) if path.exists() else None


def slow_down(announce: int) -> None:
    """Make every write of a checkpoint tell the parent, and take long enough to be hit."""
    write = os.write

    def write_bytes(self: Path, data: bytes) -> int:
        write(announce, b"s")
        with open(self, "wb", buffering=0) as file:
            step = max(1, len(data) // CHUNKS)
            for at in range(0, len(data), step):
                file.write(data[at : at + step])
                time.sleep(0.001)
        return len(data)

    Path.write_bytes = write_bytes  # type: ignore[method-assign,assignment]
    save = torch.save

    def slow_save(state: Any, target: Any) -> None:
        if not isinstance(target, Path):
            return save(state, target)
        import io

        buffer = io.BytesIO()
        save(state, buffer)
        target.write_bytes(buffer.getvalue())
        return None

    torch.save = slow_save


def child(folder: Path, *, naive: bool, announce: int | None) -> None:
    """Start the run, or continue it where it has begun."""
    if announce is not None:
        slow_down(announce)
    if naive:
        loop.save_checkpoint, loop.load_checkpoint = naive_save, naive_load
    loop.train(job(folder, text=TEXT, resume=is_run(folder), **OPTIONS))


def fork(work: Callable[[], None]) -> int:
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            work()
            code = 0
        except BaseException as error:
            print(f"  the run failed: {type(error).__name__}: {str(error)[:150]}", flush=True)
        finally:
            os._exit(code)
    return pid


def killed(folder: Path, rng: random.Random, *, inside_a_save: bool, naive: bool) -> tuple[bool, bool]:
    """One process and its end: whether it was killed, and whether it had failed by itself before."""
    reading, writing = os.pipe()
    pid = fork(lambda: child(folder, naive=naive, announce=writing))
    os.close(writing)
    deadline = time.monotonic() + rng.uniform(0.02, 0.5)
    if inside_a_save:
        for _ in range(rng.randrange(1, 12)):  # not always the first save
            select.select([reading], [], [], 2.0)
            if not os.read(reading, 1):
                break
        deadline = time.monotonic() + rng.uniform(0, 0.005)
    while time.monotonic() < deadline:
        time.sleep(0.0005)
    os.kill(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    os.close(reading)
    return os.WIFSIGNALED(status), os.WIFEXITED(status) and os.WEXITSTATUS(status) != 0


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--kills", type=int, default=5)
    parser.add_argument("--naive", action="store_true")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    assert save_checkpoint is loop.save_checkpoint
    torch.set_num_threads(1)
    rng = random.Random(arguments.seed)
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        os.waitpid(fork(lambda: child(root / "whole", naive=False, announce=None)), 0)
        wanted = final_state(root / "whole")
        kills = in_saves = runs = broken = 0
        while kills < arguments.kills:
            folder = root / "run"
            shutil.rmtree(folder, ignore_errors=True)
            failed = False
            for turn in range(min(KILLS_PER_RUN, arguments.kills - kills)):
                inside = turn % 3 == 1
                was_killed, failed = killed(folder, rng, inside_a_save=inside, naive=arguments.naive)
                kills += was_killed
                in_saves += was_killed and inside
                if failed:
                    break
            _, status = os.waitpid(fork(lambda folder=folder: child(folder, naive=arguments.naive, announce=None)), 0)
            runs += 1
            if failed or status != 0:
                broken += 1
            elif not arguments.naive and final_state(folder) != wanted:
                print(f"  run {runs} ended differently")
                broken += 1
            if arguments.naive and broken:
                break
        print(f"{kills} kills, {in_saves} of them inside a save, {runs} runs, {broken} broken")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
