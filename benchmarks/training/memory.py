"""How much the process grows while it trains on MNIST, beyond its imports and the images themselves.

python benchmarks/training/memory.py --data-dir DIR
"""

from __future__ import annotations

import argparse
import resource
import tempfile

import matplotlib.figure  # noqa: F401  # everything that training imports, so that only its data count
import torchmetrics  # noqa: F401
import torchvision  # noqa: F401

import cnnspec
from cnnspec.training import loop, plots  # noqa: F401

MB = 1e6
parser = argparse.ArgumentParser()
parser.add_argument("--data-dir", required=True)
arguments = parser.parse_args()


def peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / MB


before = peak()
with tempfile.TemporaryDirectory() as runs:
    cnnspec.api.train("lenet5", runs=runs, data="mnist", data_dir=arguments.data_dir, epochs=1, threads=1, device="cpu")
images = 70_000 * 28 * 28 / MB
print(f"after the imports {before:,.0f} MB, peak {peak():,.0f} MB: grown by {peak() - before:,.0f} MB")
print(f"of which images {images:,.0f} MB; the rest is {peak() - before - images:,.0f} MB (wanted: below 200)")
