"""`cnnspec inspect resnet152` against torchinfo, fvcore and ptflops, as whole processes in one run.

Each peer does what a person would write to get the same table: import torchvision, build resnet152, and ask for a
summary at 224x224. Runs are interleaved, medians are quoted, ratios are taken pair by pair. All may keep their compiled
bytecode, as every installed package does.

    python benchmarks/inspect_verb.py [--rounds 7]      needs: pip install torchinfo fvcore ptflops
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

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


def seconds(command: list[str]) -> float:
    """Wall time of a process from start to exit."""
    started = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=ENVIRONMENT)
    return time.perf_counter() - started


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
    rounds = parser.parse_args().rounds
    cnnspec = [str(Path(sys.executable).with_name("cnnspec")), "inspect", "resnet152"]
    commands = {"cnnspec": cnnspec} | {name: [sys.executable, "-c", code] for name, code in PEERS.items()}
    for command in commands.values():
        seconds(command)  # warm the disk cache
    runs: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(rounds):
        for name, command in commands.items():
            runs[name].append(seconds(command))
    print(f"{'':<10}  {'min':>7}  {'median':>7}  {'max':>7}  times cnnspec (median of pairs)")
    for name, times in runs.items():
        ratio = statistics.median(other / own for other, own in zip(times, runs["cnnspec"], strict=True))
        print(f"{name:<10}  {min(times):6.2f}s  {statistics.median(times):6.2f}s  {max(times):6.2f}s  {ratio:6.1f}")
    print(f"\nanalysis alone, resnet152: {1000 * inside(ANALYSIS):.1f} ms")
    for blocks in (250, 1250, 5000):
        taken = inside(LARGE.format(blocks=blocks))
        nodes = 4 * blocks
        print(f"analysis alone, {nodes:>6,} nodes: {1000 * taken:7.1f} ms, {1e6 * taken / nodes:.1f} µs a node")


if __name__ == "__main__":
    main()
