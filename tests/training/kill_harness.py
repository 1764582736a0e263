"""Kills training runs, continues them, and compares the end with an uninterrupted run, bit for bit.

    python tests/training/kill_harness.py --kills 100 [--save NAME,NAME] [--source NAME,NAME] [--task TASK,TASK]
    python tests/training/kill_harness.py --every moment|call [--save NAME,NAME]

Every run is a process forked from this one. `--kills` ends it by SIGKILL at random times, every third time inside a
save. `--every moment` ends it once at every moment of a save: before each call to the file system, at several bytes of
the checkpoint, at the end, and once more at each with what a power cut may take. `--every call` does that before each
call of a whole short run, from the making of its folder to its result. `cuts.py` says how.

`--source` trains on the digits as they come from somewhere else, and `--task` for something else, every pair that there
is: see `sources.py`.

`--save` puts other saves in the place of ours, and the harness must find the damage: it exits with 1.
"""

from __future__ import annotations

import argparse
import itertools
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from cuts import Cut
from run_states import final_state
from small_runs import job
from sources import PAIRS, SOURCES, TEXTS

from cnnspec.files import write_atomic
from cnnspec.training import keeper, loop
from cnnspec.training.checkpoint import load_checkpoint, save_checkpoint
from cnnspec.training.run_folder import is_run

OPTIONS: dict[str, Any] = {"epochs": 8, "batch_size": 64, "checkpoint_every": 0.02}
KILLS_PER_RUN = 10
SOURCE = "digits"
TASK = "classification"
SLOWER: dict[str, Any] = {"lr": 0.01}  # what is learned otherwise than by classes
POWER = ("", "data", "names")


def save_in_place(folder: Path, state: dict[str, Any]) -> Path:
    """The usual save: to a fixed path."""
    folder.mkdir(exist_ok=True)
    torch.save(state, folder / "last.pt")
    return folder / "last.pt"


def save_unsynced(folder: Path, state: dict[str, Any]) -> Path:
    """A careful one: to another name, which takes the fixed one; but it leaves to the system when to write."""
    folder.mkdir(exist_ok=True)
    torch.save(state, folder / "new.pt")
    os.replace(folder / "new.pt", folder / "last.pt")
    return folder / "last.pt"


def load_fixed(folder: Path, report: Callable[[str], None]) -> dict[str, Any] | None:
    path = folder / "last.pt"
    return torch.load(path, weights_only=True) if path.exists() else None


SAVES: dict[str, tuple[Any, Any]] = {
    "ours": (save_checkpoint, load_checkpoint),
    "in-place": (save_in_place, load_fixed),
    "unsynced": (save_unsynced, load_fixed),
}


@dataclass(frozen=True)
class Moment:
    """When a process ends: in its `save`-th save, or anywhere in its work with files, before a call or at a byte."""

    save: int | None
    call: int | None = None
    byte: int | None = None
    lost: str = ""

    def __str__(self) -> str:
        where = f"at byte {self.byte}" if self.call is None else f"before call {self.call}"
        return f"{where}{f' of save {self.save}' if self.save else ''}{f', {self.lost} lost' if self.lost else ''}"


def plot_nothing(folder: Path, *arguments: Any) -> None:
    """Pictures cost most of a short run, and nothing is read back from them."""
    write_atomic(folder / "curves.png", b"")


def child(folder: Path, save: str, moment: Moment | None = None, report: int = -1, **options: Any) -> None:
    """Start the run, or continue it where it has begun; end at the moment."""
    keeper.save_checkpoint, keeper.load_checkpoint = SAVES[save]
    if moment is not None:
        write = os.write
        cut = Cut(
            folder, call=moment.call, byte=moment.byte, lost=moment.lost,
            report=lambda text: report >= 0 and write(report, f"{text}\n".encode()),
        )  # fmt: skip
        if moment.save is None:
            cut.arm()
        else:
            in_save(cut, moment.save)
    data = SOURCES[SOURCE](folder.parent, TASK) | (SLOWER if TASK != "classification" else {})
    loop.train(job(folder, text=TEXTS[TASK], resume=is_run(folder), **OPTIONS | data | options))
    if moment is not None and moment.save is None:
        cut.end()


def in_save(cut: Cut, number: int) -> None:
    """Arm the cut for the save of this number, and let nothing come after it."""
    save = keeper.save_checkpoint
    count = 0

    def saving(*arguments: Any) -> Path:
        nonlocal count
        count += 1
        if count < number:
            return save(*arguments)
        cut.arm()
        save(*arguments)
        cut.end()
        raise AssertionError

    keeper.save_checkpoint = saving


def fork(*arguments: Any, **options: Any) -> int:
    """A process that does the work of a `child`."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            child(*arguments, **options)
            code = 0
        except BaseException as error:
            print(f"  the run failed: {type(error).__name__}: {str(error)[:150]}", flush=True)
        finally:
            os._exit(code)
    return pid


def ended(pid: int) -> str:
    """How the process ended: `killed`, `failed` or `done`."""
    _, status = os.waitpid(pid, 0)
    if os.WIFSIGNALED(status):
        return "killed" if os.WTERMSIG(status) in (signal.SIGKILL, signal.SIGXFSZ) else "failed"
    return "failed" if os.WEXITSTATUS(status) else "done"


def uninterrupted(root: Path, save: str, **options: Any) -> Any:
    """The end of a run that nothing happened to. It is made here, so that the forked processes have all modules."""
    child(root / "whole", save, **options)
    return final_state(root / "whole", SAVES[save][1])


def at_random(root: Path, save: str, kills: int, rng: random.Random) -> int:
    """Many kills in turn, then the rest of the run. Returns how many runs were broken."""
    wanted = uninterrupted(root, save)
    size = checkpoint_size(root / "whole")
    count = in_saves = runs = broken = 0
    while count < kills:
        folder = root / "run"
        shutil.rmtree(folder, ignore_errors=True)
        how = "killed"
        for turn in range(min(KILLS_PER_RUN, kills - count)):
            inside = turn % 3 == 1
            if inside:
                chosen = {"call": rng.randrange(12)} if rng.random() < 0.5 else {"byte": rng.randrange(size)}
                how = ended(fork(folder, save, Moment(rng.randrange(1, 12), **chosen)))
            else:
                pid = fork(folder, save)
                time.sleep(rng.uniform(0.02, 0.5))
                os.kill(pid, signal.SIGKILL)
                how = ended(pid)
            count += how == "killed"
            in_saves += how == "killed" and inside
            if how == "failed":
                break
        runs += 1
        if how == "failed" or ended(fork(folder, save)) != "done":
            broken += 1
        elif final_state(folder, SAVES[save][1]) != wanted:
            print(f"  run {runs} ended differently")
            broken += 1
        if broken and save != "ours":
            break
    print(f"{count} kills, {in_saves} of them inside a save, {runs} runs, {broken} broken")
    return broken


def checkpoint_size(folder: Path) -> int:
    """Bytes of the newest checkpoint."""
    return max((folder / "checkpoints").glob("*.pt")).stat().st_size


def moments_of_a_save(calls: int, size: int) -> Iterator[Moment]:
    for byte in (0, 1, size // 2, size - 1):
        yield Moment(3, byte=byte)
    for number in range(calls + 1):  # the last one is its end
        for lost in POWER:
            yield Moment(3, call=number, lost=lost)


def calls_of(folder: Path, save: str, moment: Moment, **options: Any) -> tuple[str, list[str]]:
    """How a process with this moment ended, and the calls that it made or was about to make."""
    reading, writing = os.pipe()
    pid = fork(folder, save, moment, writing, **options)
    os.close(writing)
    with open(reading) as said:
        lines = said.read().splitlines()
    return ended(pid), lines


def at_every_moment(root: Path, save: str) -> int:
    """One run, ended again and again, each time at another moment of a save. Returns 1 where it was broken."""
    often: dict[str, Any] = {"epochs": 12, "checkpoint_every": 0.0}
    wanted = uninterrupted(root, save, epochs=often["epochs"])
    _, calls = calls_of(root / "trial", save, Moment(3, call=10**6), **often)
    seen: Counter[str] = Counter()
    folder = root / "run"
    broken, before = "", None
    for moment in moments_of_a_save(len(calls) - 1, checkpoint_size(root / "trial")):
        how, calls = calls_of(folder, save, moment, **often)
        if how != "killed":
            broken = f"cannot be continued when killed {before}"
            break
        before = moment
        seen[calls[-1] if moment.byte is None else "within checkpoint"] += 1
    else:
        if ended(fork(folder, save, epochs=often["epochs"])) != "done":
            broken = f"cannot be continued when killed {before}"
        elif final_state(folder, SAVES[save][1]) != wanted:
            broken = "ended differently"
    for name, count in sorted(seen.items()):
        print(f"  {count:3} {name}")
    if broken:
        print(f"  the run {broken}")
    print(f"{sum(seen.values())} kills, all inside a save, {int(bool(broken))} broken")
    return int(bool(broken))


def at_every_call(root: Path, save: str) -> int:
    """A short run for each call, with and without a power cut. Returns how many were broken."""
    short: dict[str, Any] = {"epochs": 1, "batch_size": 512, "checkpoint_every": 0.0}
    keeper.plot_run = plot_nothing
    wanted = uninterrupted(root, save, **short)
    _, calls = calls_of(root / "trial", save, Moment(None, call=10**6), **short)
    broken = 0
    for number in range(len(calls)):
        for lost in POWER:
            folder = root / "run"
            shutil.rmtree(folder, ignore_errors=True)
            moment = Moment(None, call=number, lost=lost)
            if ended(fork(folder, save, moment, **short)) != "killed":
                print(f"  not killed {moment}: {calls[number]}")
                broken += 1
            elif ended(fork(folder, save, **short)) != "done":
                print(f"  cannot be continued when killed {moment}: {calls[number]}")
                broken += 1
            elif final_state(folder, SAVES[save][1]) != wanted:
                print(f"  ended differently when killed {moment}: {calls[number]}")
                broken += 1
    print(f"{len(calls) * len(POWER)} kills, before each of {len(calls)} calls, {broken} broken")
    return broken


def main() -> int:
    global SOURCE, TASK
    parser = argparse.ArgumentParser()
    parser.add_argument("--kills", type=int, default=5)
    parser.add_argument("--every", choices=("moment", "call"))
    parser.add_argument("--save", default="ours")
    parser.add_argument("--source", default=SOURCE)
    parser.add_argument("--task", default=TASK)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    broken = 0
    for save, task, source in itertools.product(
        *(each.split(",") for each in (arguments.save, arguments.task, arguments.source))
    ):
        if (task, source) not in PAIRS:
            continue
        SOURCE, TASK = source, task
        shown = [save, *([source] if source != "digits" else []), *([task] if task != "classification" else [])]
        print(f"{', '.join(shown)}:", flush=True)
        with tempfile.TemporaryDirectory() as name:
            root = Path(name).resolve()
            if arguments.every == "moment":
                broken += at_every_moment(root, save)
            elif arguments.every == "call":
                broken += at_every_call(root, save)
            else:
                broken += at_random(root, save, arguments.kills, random.Random(arguments.seed))
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
