"""Images per second in training on the CPU, against the usual ways: both sides in one run, in turn, on the same images.

    python benchmarks/training/speed.py --data-dir DIR [--only lenet5,simple_cnn] [--pairs 7] [--threads 1,2]

All sides train the same network on the same first 12,800 MNIST images (9,216 after our split), batch 64, fp32, SGD
with momentum, with the same number of threads (one, and then as many as torch takes by itself) and no augmentation.
`bare` is on all 60,000, so that what happens once an epoch weighs what it does. Every side is a process. One pair is
one run of ours and one of the other side, in alternating order; printed are the median ratio of all pairs, the smallest
and largest, and that of both sides' best runs. `--clock cpu` counts the process's seconds on the processor instead of
those on the wall: with one thread and no workers they are the same on an idle machine.

Ours runs as by default, but for `--no-pool-first`: what pooling before ReLU brings is a row of its own.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sides import BATCH, Process, Side

import cnnspec
from cnnspec.data.open import OpenOptions, open_data

IMAGES, ALL = 12_800, 60_000


@dataclass(frozen=True)
class Comparison:
    """Ours against another side: the ratio that is wanted, and the options by which ours is another."""

    network: str
    against: str
    wanted: float | None = None
    remark: str = ""
    options: dict[str, Any] = field(default_factory=dict)
    images: int = IMAGES


COMPARISONS = {
    "lenet5": Comparison("lenet5", "script", 2.2),
    "simple_cnn": Comparison("simple_cnn", "script", 2.7),
    "workers": Comparison("lenet5", "script-2-workers", remark="a script with two processes more"),
    "lightning": Comparison("lenet5", "lightning", 2.0),
    "lightning-tensors": Comparison("lenet5", "lightning-tensors", remark="Lightning on normalised tensors in memory"),
    "keras": Comparison("lenet5", "keras", 1.5),
    "bare": Comparison("lenet5", "bare", 0.95, "a loop with our arithmetic and nothing else", images=ALL),
    # What lies beyond, apart from the figures above
    "kept": Comparison("lenet5", "script-kept", remark="the script with our setting of the allocator"),
    "kept-simple_cnn": Comparison("simple_cnn", "script-kept", remark="the script with our setting of the allocator"),
    "pool-first": Comparison("simple_cnn", "ours", remark="against ours without it", options={"pool_first": True}),
    "pool-first-script": Comparison("simple_cnn", "script", remark="with it", options={"pool_first": True}),
    "compile": Comparison("simple_cnn", "ours", remark="against ours without it", options={"compile": True}),
    "compile-lenet5": Comparison("lenet5", "ours", remark="against ours without it", options={"compile": True}),
    "bf16": Comparison("lenet5", "ours", remark="against ours in fp32", options={"precision": "bf16"}),
}


@contextmanager
def started(side: Side) -> Iterator[Process]:
    process = Process(side)
    try:
        yield process
    finally:
        process.close()


def compare(name: str, common: Side, pairs: int) -> None:
    """Print one row of the table."""
    this = COMPARISONS[name]
    mine = replace(common, name="ours", network=this.network, options=this.options)
    with started(mine) as first:
        mine = replace(mine, channels_last=first.run()["channels_last"])  # what it measured to be faster
    theirs = replace(mine, name=this.against, options={})
    rates: list[tuple[float, float]] = []
    threads = set()
    with started(mine) as us, started(theirs) as them:
        us.run(), them.run()  # what is set up once
        for number in range(pairs):
            found = {}
            for process in (us, them) if number % 2 else (them, us):
                found[process] = process.run()
                threads.add((process is us, found[process]["threads"]))
            rates.append((found[us]["rate"], found[them]["rate"]))
    ratios = sorted(ours / other for ours, other in rates)
    best = max(ours for ours, _ in rates) / max(other for _, other in rates)
    middle = [statistics.median(values) for values in zip(*rates, strict=True)]
    used = "/".join(str(count) for _, count in sorted(threads, reverse=True))
    layout = "last" if mine.channels_last else "first"
    wanted = "" if this.wanted is None else f"{this.wanted:.2f}"
    spread = f"{ratios[0]:.2f} to {ratios[-1]:.2f}"
    print(
        f"{name:18} {this.network:11} {used:>7} {layout:>8} {middle[0]:9,.0f} {middle[1]:9,.0f}"
        f" {statistics.median(ratios):6.2f} {spread:>14} {best:5.2f} {wanted:>6}  {this.remark}",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(formatter_class=argparse.RawDescriptionHelpFormatter, description=__doc__)
    parser.add_argument("--data-dir", required=True)
    parser.add_argument("--only", help=f"of: {', '.join(COMPARISONS)}")
    parser.add_argument("--pairs", type=int, default=7)
    parser.add_argument("--threads", default=",".join(map(str, sorted({1, torch.get_num_threads()}))))
    parser.add_argument("--clock", choices=("wall", "cpu"), default="wall")
    arguments = parser.parse_args()
    names = arguments.only.split(",") if arguments.only else list(COMPARISONS)
    unknown = [name for name in names if name not in COMPARISONS]
    if unknown:
        parser.error(f"--only {unknown[0]}: there are {', '.join(COMPARISONS)}")

    from torchvision.datasets import MNIST

    found = MNIST(arguments.data_dir, train=True, download=True)
    with tempfile.TemporaryDirectory() as folder:
        sides = {}
        for images in {COMPARISONS[name].images for name in names}:
            path = Path(folder) / f"{images}.npz"
            np.savez(path, x=found.data[:images].numpy(), y=found.targets[:images].numpy())
            data = open_data(str(path), cnnspec.load("lenet5").graph, OpenOptions(folder=Path(folder)))
            count = len(data.train_rows) // BATCH * BATCH
            sides[images] = Side("ours", "lenet5", str(path), count, arguments.data_dir, clock=arguments.clock)
        load = os.getloadavg()[0]
        print(
            f"batch {BATCH}, fp32, {arguments.pairs} pairs, {arguments.clock} clock, torch"
            f" {torch.__version__}, {os.cpu_count()} cores, load at the start {load:.1f}"
        )
        print(
            f"{'comparison':18} {'network':11} {'threads':>7} {'channels':>8} {'ours/s':>9} {'theirs/s':>9}"
            f" {'ratio':>6} {'spread':>14} {'best':>5} {'wanted':>6}"
        )
        for name in names:
            for threads in map(int, arguments.threads.split(",")):
                compare(name, replace(sides[COMPARISONS[name].images], threads=threads), arguments.pairs)
        print(f"load at the end {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
