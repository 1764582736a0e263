"""How long training stands still at the end of an epoch, for its checkpoint, weights and metrics.

    python benchmarks/training/saving.py [--spec lenet5] [--epochs N]

Both sides in turn in one process, on images that cost nothing: written by a thread beside training, as it is, and
before training goes on. The files lie where `--folder` says: on a disk, or nothing is measured.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cnnspec
from cnnspec.training import keeper
from cnnspec.training.write_behind import WriteBehind

parser = argparse.ArgumentParser()
parser.add_argument("--spec", default="lenet5")
parser.add_argument("--epochs", type=int, default=12)
parser.add_argument("--rounds", type=int, default=3)
parser.add_argument("--folder", type=Path, default=Path.cwd())
arguments = parser.parse_args()


class AtOnce(WriteBehind):
    """The other side: training waits."""

    def give(self, *writes: Callable[[], object]) -> None:
        super().give(*writes)
        self.wait()


def standstills(writer: type[WriteBehind]) -> list[float]:
    """Milliseconds of each end of an epoch, evaluation aside, but for the first and the last."""
    save, times = keeper.Keeper._save, list[float]()

    def timed(self: keeper.Keeper, *after: Any) -> None:
        began = time.perf_counter()
        save(self, *after)
        times.append(1e3 * (time.perf_counter() - began))

    keeper.Keeper._save, keeper.WriteBehind = timed, writer  # type: ignore[method-assign, misc]
    with tempfile.TemporaryDirectory(dir=arguments.folder) as runs:
        cnnspec.api.train(
            arguments.spec, data="digits", runs=runs, epochs=arguments.epochs, batch_size=16, device="cpu", threads=1,
            checkpoint_every=1e9, progress=None,
        )  # fmt: skip
    keeper.Keeper._save, keeper.WriteBehind = save, WriteBehind  # type: ignore[method-assign, misc]
    return times[1:-1]


sides: dict[str, list[float]] = {"by a thread": [], "before training goes on": []}
for _ in range(arguments.rounds):
    for name, writer in zip(sides, (WriteBehind, AtOnce), strict=True):
        sides[name] += standstills(writer)
for name, times in sides.items():
    print(f"{name:<24} median {statistics.median(times):6.1f} ms an epoch, at most {max(times):6.1f} ms")
thread, at_once = (statistics.median(times) for times in sides.values())
print(f"ratio of the medians {thread / at_once:.2f}")
