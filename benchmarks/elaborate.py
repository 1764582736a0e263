"""How long a spec takes from text to graph, beside torchvision building the same network without memory.

Prints, for each network, the median of several runs in one process, in processor time: reading, elaborating, and
torchvision's construction on the meta device; then a spec of 20,000 nodes. Run: `python benchmarks/elaborate.py`.
"""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Callable
from statistics import median

import torch
from torchvision import models

import cnnspec
from cnnspec import zoo
from cnnspec.language import read_spec

NETWORKS = ("resnet50", "densenet201", "efficientnet_b7")
RUNS = 9
LONG = 20_000


def milliseconds(work: Callable[[], object], runs: int = RUNS) -> float:
    """The median duration."""
    times = []
    for _ in range(runs):
        start = time.process_time()
        work()
        times.append(1000 * (time.process_time() - start))
    return median(times)


def long_spec(nodes: int) -> str:
    """A chain of so many nodes, each on a line of its own."""
    lines = "".join(f"  layer{i}: {'Conv2d(8, 3, padding=1)' if i % 2 == 0 else 'ReLU'}\n" for i in range(nodes))
    return f"cnnspec: 1\ninput: [8, 16, 16]\nlayers:\n{lines}"


def main() -> None:
    """Print the table."""
    print(f"{'network':18}{'nodes':>7}{'read ms':>10}{'elaborate ms':>14}{'torchvision ms':>16}{'ratio':>8}")
    for name in NETWORKS:
        path, variant = zoo.find(name)
        source = read_spec(path)
        nodes = len(source.elaborate(variant=variant))
        read = milliseconds(lambda path=path: read_spec(path))
        elaborated = milliseconds(lambda source=source, variant=variant: source.elaborate(variant=variant))

        def peer(name: str = name) -> None:
            with torch.device("meta"):
                models.get_model(name, weights=None)

        built = milliseconds(peer, 3)
        print(f"{name:18}{nodes:7}{read:10.1f}{elaborated:14.1f}{built:16.1f}{built / elaborated:8.1f}")
    for nodes in (LONG // 10, LONG):
        text = long_spec(nodes)
        whole = milliseconds(lambda text=text: cnnspec.loads(text), 3)
        tracemalloc.start()
        cnnspec.loads(text)
        peak = tracemalloc.get_traced_memory()[1] / 1e6
        tracemalloc.stop()
        print(f"{nodes:,} nodes from text: {whole / 1000:.2f} s, {peak:.0f} MB at the peak")


if __name__ == "__main__":
    main()
