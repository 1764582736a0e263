"""Processes of a search killed at random moments: what is lost, and whether what is continued is as it would have been.

Two commands work on one folder, the first with two workers. A driver, one of its workers or the other command is killed
(with `--ray` a worker on the cluster), and its like is started in its place. `benchmarks/search.py kills` runs it.
"""

from __future__ import annotations

import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import cnnspec
from cnnspec import api
from cnnspec.search.folder import SearchFolder

TRIALS = 4  # of one search; where they have ended and kills are left, another search is begun
AT_WORK = 0.75  # of the kills are of processes that train
PATIENCE = 120.0  # seconds that such a kill waits for one
WEIGHTS = ("best.safetensors", "last.safetensors")

# Epochs of some seconds: kills come before a trial's first checkpoint and between those, which are 10 seconds apart.
NET = """\
cnnspec: 1
name: net
input: [1, 16, 16]
params: {width: 4, kernel: 3, act: ReLU}
train: {batch_size: 2, threads: 1, channels_last: false}
layers:
  conv: Conv2d(width, kernel)
  act: act
  pool: MaxPool2d(2)
  flatten: Flatten
  fc: Linear(10)
search:
  space: {width: {int: [2, 16], step: 2}, kernel: [1, 3, 5], act: [ReLU, SiLU], train.lr: {log: [0.001, 0.01]}}
  limits: {params: 10k, macs: 200k}
  epochs: 4
  prune: false
"""


class Unsaved(NamedTuple):
    """Seconds of a process since a trial of its was saved or taken up: by the clock, and of the processor."""

    clock: float
    processor: float


@dataclass
class Losses:
    """What kills have cost."""

    victims: Counter[str] = field(default_factory=Counter)
    left: int = 0  # trials that what was killed was at work on
    unsaved: list[Unsaved] = field(default_factory=list)  # for each of them
    trials: int = 0
    complete: int = 0
    alike: int = 0  # bitwise the files of an uncut run
    reports_lost: int = 0
    reports_twice: int = 0


def start(folder: Path, *more: str) -> subprocess.Popen[bytes]:
    """The search of `folder/net.yaml`, begun or continued."""
    arguments = ["search", "net.yaml", "--data", "digits", "--name", "s", "--device", "cpu", "--trials", str(TRIALS)]
    with open(folder / "errors", "ab") as errors:
        return subprocess.Popen(
            [sys.executable, "-m", "cnnspec", *arguments, *more], cwd=folder, stdout=subprocess.DEVNULL, stderr=errors
        )


def workers_of(driver: int) -> list[int]:
    """The processes that a driver has started."""
    try:
        children = Path(f"/proc/{driver}/task/{driver}/children").read_text().split()
    except OSError:
        return []
    return [int(child) for child in children if b"cnnspec.search.worker" in _command(int(child))]


def workers_on_ray(folder: Path) -> list[int]:
    """The workers on this machine's nodes of a cluster that are at work in a folder."""
    processes = [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()]
    wanted = os.fsencode(folder)
    return [each for each in processes if wanted in (said := _command(each)) and b"cnnspec.search.worker" in said]


def _command(process: int) -> bytes:
    try:
        return Path(f"/proc/{process}/cmdline").read_bytes()
    except OSError:
        return b""


class Watch:
    """Who is at work on which trial, and since when."""

    def __init__(self, search: Path) -> None:
        self.search = search
        self.locks = (search / "locks").resolve()
        self.since: dict[tuple[int, int], float] = {}  # by process and trial
        self.saves: dict[tuple[int, int], tuple[float, float]] = {}  # the last one, and the processor time until then

    def look(self, processes: list[int]) -> dict[int, list[int]]:
        """The trials whose locks processes have open, of those that have any."""
        held = {process: trials for process in processes if (trials := self._held_by(process))}
        now = {(process, trial) for process, trials in held.items() for trial in trials}
        self.since = {each: self.since.get(each, time.time()) for each in now}
        for process, trial in now:
            saved = self._saved(process, trial)
            if self.saves.get((process, trial), (0.0, 0.0))[0] != saved:
                self.saves[process, trial] = saved, processor_time(process)
        return held

    def _saved(self, process: int, trial: int) -> float:
        run = SearchFolder(self.search).trial(trial)
        saved = self.since[process, trial]
        for path in [*run.glob("checkpoints/*.pt"), *run.glob("config.yaml")]:
            with suppress(FileNotFoundError):  # a newer one has taken its place
                saved = max(saved, path.stat().st_mtime)
        return saved

    def _held_by(self, process: int) -> list[int]:
        found = []
        with suppress(OSError):  # it has ended
            for path in Path(f"/proc/{process}/fd").iterdir():
                with suppress(OSError):  # closed meanwhile
                    target = Path(os.readlink(path))
                    if target.parent == self.locks and re.fullmatch(r"t\d+", target.name):
                        found.append(int(target.name[1:]))
        return found

    def unsaved(self, process: int, trial: int) -> Unsaved:
        """What a trial would lose with its process now."""
        if not (SearchFolder(self.search).trial(trial) / "config.yaml").exists():
            return Unsaved(0.0, 0.0)
        clock = time.time() - self._saved(process, trial)
        return Unsaved(clock, max(0.0, processor_time(process) - self.saves[process, trial][1]))


def processor_time(process: int) -> float:
    """Seconds of the processor that a process has had."""
    try:
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def kills(folder: Path, count: int, ray: str | None) -> Losses:
    """Searches in `folder`, with so many kills in all."""
    losses, moments, number = Losses(), random.Random(0), 0
    while sum(losses.victims.values()) < count or number == 0:
        place = folder / f"{number}"
        place.mkdir(parents=True)
        (place / "net.yaml").write_text(NET)
        _one_search(place, count - sum(losses.victims.values()), moments, losses, ray)
        _hold_against_uncut(place, losses)
        number += 1
    return losses


def _one_search(place: Path, most: int, moments: random.Random, losses: Losses, ray: str | None) -> None:
    """One search until it is done, with at most so many kills."""
    options = ["--workers", "2", *(["--ray", ray] if ray else [])]
    search = place / "searches" / "s"
    driver, alone, watch = start(place, *options), start(place), Watch(search)
    for _ in range(most):
        wanted = moments.random() < AT_WORK  # else whatever it is doing
        at = time.monotonic() + moments.uniform(1, 15)
        while True:
            crew = workers_on_ray(search.resolve()) if ray else workers_of(driver.pid)
            held = watch.look([alone.pid, *crew])
            if driver.poll() is not None or alone.poll() is not None or time.monotonic() > at + PATIENCE:
                break
            training = [
                process
                for process, trials in held.items()
                if any(watch.unsaved(process, each).clock for each in trials)
            ]
            if time.monotonic() >= at and (training or not wanted):
                break
            time.sleep(0.2)
        if driver.poll() == 1:  # both of its workers were killed
            driver = start(place, *options)
        if driver.poll() is not None or alone.poll() is not None:
            break  # the search is done
        pool = training if wanted and training else [alone.pid, *crew]
        victim = moments.choice(pool)
        kind = "single process" if victim == alone.pid else "worker"
        if kind == "worker" and moments.random() < 0.5:  # its workers save and end by themselves
            victim, kind = driver.pid, "driver"
        lost = [(number, watch.unsaved(victim, number)) for number in held.get(victim, ())]
        os.kill(victim, signal.SIGKILL)
        losses.victims[kind] += 1
        losses.left += len(lost)
        losses.unsaved += [unsaved for _, unsaved in lost]
        told = "".join(f" {unsaved.clock:.1f} s after t{number:04} was saved" for number, unsaved in lost)
        print(f"search {place.name}: a {kind} killed{told}", flush=True)
        if kind == "driver":
            driver.wait()
            driver = start(place, *options)
        elif kind == "single process":
            alone.wait()
            alone = start(place)
    for process in (driver, alone):
        assert process.wait() == 0, (place / "errors").read_text()


def _hold_against_uncut(place: Path, losses: Losses) -> None:
    """Count what has come of a search's trials, and train each again without a break."""
    search = place / "searches" / "s"
    result = api.open_search(search)
    losses.trials += TRIALS
    losses.complete += sum(record.status == "complete" for record in result.trials)
    lines = [json.loads(line) for line in (search / "study.journal").read_text().splitlines()]
    reports = Counter((line["trial_id"], line["step"]) for line in lines if line["op_code"] == 7)
    for record in result.trials:
        run = api.open_run(record.run)
        wanted = {(record.number, metrics.epoch) for metrics in run.metrics}
        losses.reports_lost += len(wanted - reports.keys()) + (run.config.epochs - len(wanted))
        losses.reports_twice += sum(reports[each] - 1 for each in wanted & reports.keys())
        options = run.config.model_dump()
        uncut = cnnspec.train(run.network, runs=place / "uncut", name=record.name, progress=None, **options)
        losses.alike += all(
            (Path(uncut.run) / file).read_bytes() == (record.run / file).read_bytes() for file in WEIGHTS
        )


def show(losses: Losses) -> None:
    """The table of what kills have cost."""
    victims = ", ".join(f"{kind} {count}" for kind, count in losses.victims.items())
    print("| | |\n|---|--:|")
    print(f"| kills | {sum(losses.victims.values())}: {victims} |")
    print(f"| trials cut in the midst | {losses.left} |")
    print(f"| trials, of them complete | {losses.trials}, {losses.complete} |")
    print(f"| reports lost, reports made twice | {losses.reports_lost}, {losses.reports_twice} |")
    print(f"| trials bitwise as uncut | {losses.alike} |")
    clock = max((each.clock for each in losses.unsaved), default=0)
    processor = max((each.processor for each in losses.unsaved), default=0)
    print(f"| most training lost with a kill, wanted 10 s | {clock:.1f} s, {processor:.1f} s of the processor |")
