"""`cnnspec inspect` against importing its own libraries, and against torchinfo, fvcore and ptflops: whole processes.

`inspect lenet5` is held against importing the three libraries that it stands on, `inspect resnet152` against its peers.
Each peer does what a person would write to get the same table: import torchvision, build resnet152, and ask for a
summary at 224x224. Runs are interleaved, medians are quoted, ratios are taken pair by pair, of the wall clock and of
the processor's time (user and system). All may keep their compiled bytecode, as every installed package does.

    python benchmarks/inspect_verb.py [--rounds 7] [--starts 21]      needs: pip install torchinfo fvcore ptflops
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

LIBRARIES = "import typer, yaml; from pydantic import BaseModel"

PEERS = {
    "torchinfo": "import torchvision, torchinfo; torchinfo.summary(torchvision.models.resnet152(), (1, 3, 224, 224))",
    "fvcore": (
        "import torch, torchvision; from fvcore.nn import FlopCountAnalysis, flop_count_table;"
        "m = torchvision.models.resnet152().eval();"
        "print(flop_count_table(FlopCountAnalysis(m, torch.zeros(1, 3, 224, 224)), max_depth=5))"
    ),
    "ptflops": (
        "import torchvision; from ptflops import get_model_complexity_info;"
        "print(get_model_complexity_info(torchvision.models.resnet152(), (3, 224, 224)))"
    ),
}

ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


class Seconds(NamedTuple):
    """What a process took from start to exit."""

    wall: float
    processor: float


def seconds(command: list[str]) -> Seconds:
    """Run a process to its end. Raises CalledProcessError where it fails."""
    started = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=ENVIRONMENT)
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - started
    if status:
        raise subprocess.CalledProcessError(os.waitstatus_to_exitcode(status), command)
    return Seconds(wall, usage.ru_utime + usage.ru_stime)


def interleaved(commands: dict[str, list[str]], rounds: int) -> dict[str, list[Seconds]]:
    """Every command once a round, after one run of each that warms the disk cache and the bytecode."""
    for command in commands.values():
        seconds(command)
    runs: dict[str, list[Seconds]] = {name: [] for name in commands}
    for _ in range(rounds):
        for name, command in commands.items():
            runs[name].append(seconds(command))
    return runs


def table(runs: dict[str, list[Seconds]], base: str) -> None:
    """Print each command's times, and how many times those of `base` they are."""
    print(f"{'':<10}  {'min':>7}  {'median':>7}  {'max':>7}  {'processor':>9}  times {base} (clock, processor)")
    for name, times in runs.items():
        wall = [taken.wall for taken in times]
        processor = [taken.processor for taken in times]
        pairs = list(zip(times, runs[base], strict=True))
        print(
            f"{name:<10}  {min(wall):6.3f}s  {statistics.median(wall):6.3f}s  {max(wall):6.3f}s"
            f"  {statistics.median(processor):8.3f}s"
            f"  {statistics.median(one.wall / other.wall for one, other in pairs):6.2f}"
            f"  {statistics.median(one.processor / other.processor for one, other in pairs):6.2f}"
        )


def inside(code: str) -> float:
    """Seconds that a snippet measures and prints itself."""
    return float(subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout)


ANALYSIS = """
import time, cnnspec
from cnnspec.analysis import analyze
graph = cnnspec.load("resnet152").graph
analyze(graph)
runs = []
for _ in range(9):
    started = time.perf_counter(); analyze(graph); runs.append(time.perf_counter() - started)
print(sorted(runs)[4])
"""

LARGE = """
import time, cnnspec
from cnnspec.analysis import analyze
graph = cnnspec.loads('''cnnspec: 1
input: [8, 64, 64]
blocks:
  Block:
    layers:
      conv: Conv2d(8, 3, padding=1)
      bn: BatchNorm2d
      relu: ReLU
      add: Add(relu, input)
layers:
  - Block * {blocks}
''', max_nodes=20_000).graph
assert len(graph) == {blocks} * 4
runs = []
for _ in range(3):
    started = time.perf_counter(); analyze(graph); runs.append(time.perf_counter() - started)
print(sorted(runs)[1])
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--starts", type=int, default=21)
    options = parser.parse_args()
    inspect = [str(Path(sys.executable).with_name("cnnspec")), "inspect"]
    starts = {"libraries": [sys.executable, "-c", LIBRARIES], "lenet5": [*inspect, "lenet5"]}
    table(interleaved(starts, options.starts), "libraries")
    print()
    commands = {"cnnspec": [*inspect, "resnet152"]}
    missing = [name for name in PEERS if importlib.util.find_spec(name) is None]
    commands |= {name: [sys.executable, "-c", code] for name, code in PEERS.items() if name not in missing}
    table(interleaved(commands, options.rounds), "cnnspec")
    if missing:
        print(f"not installed, and left out: {', '.join(missing)}")
    print(f"\nanalysis alone, resnet152: {1000 * inside(ANALYSIS):.1f} ms")
    for blocks in (250, 1250, 5000):
        taken = inside(LARGE.format(blocks=blocks))
        nodes = 4 * blocks
        print(f"analysis alone, {nodes:>6,} nodes: {1000 * taken:7.1f} ms, {1e6 * taken / nodes:.1f} µs a node")


if __name__ == "__main__":
    main()
