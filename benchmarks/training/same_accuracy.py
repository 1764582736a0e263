"""Whether our training reaches the accuracy of the usual script: the same network, images and recipe, several seeds.

    python benchmarks/training/same_accuracy.py --data-dir DIR [--network lenet5] [--epochs 3] [--seeds 0,1,2]

Both train on the same images, ours without those it validates on, with batch 64, SGD with momentum, a constant learning
rate and no augmentation. The weights of the last epoch of both are scored by the script's own code.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from pathlib import Path

import torch
from usual import accuracy_usual, train_usual

import cnnspec
from cnnspec.data.open import OpenOptions, open_data
from cnnspec.torch_backend import load_weights

BATCH, LR, MOMENTUM = 64, 0.01, 0.9

parser = argparse.ArgumentParser()
parser.add_argument("--data-dir", required=True)
parser.add_argument("--network", default="lenet5")
parser.add_argument("--epochs", type=int, default=3)
parser.add_argument("--seeds", default="0,1,2")
parser.add_argument("--threads", type=int, default=1)
parser.add_argument("--device", default="cpu")
arguments = parser.parse_args()
torch.set_num_threads(arguments.threads)


def ours(seed: int) -> float:
    with tempfile.TemporaryDirectory() as runs:
        result = cnnspec.api.train(
            arguments.network, runs=runs, data="mnist", data_dir=arguments.data_dir, epochs=arguments.epochs,
            batch_size=BATCH, lr=LR, momentum=MOMENTUM, schedule="constant", weight_decay=0.0, rotate=0.0, shift=0,
            seed=seed, threads=arguments.threads, device=arguments.device,
        )  # fmt: skip
        model = cnnspec.build(arguments.network)
        load_weights(model, Path(result.run) / "last.safetensors")
    return accuracy_usual(model, arguments.data_dir)


def usual(seed: int) -> float:
    options = OpenOptions(folder=Path(arguments.data_dir), seed=seed)
    rows = open_data("mnist", cnnspec.load(arguments.network).graph, options).train_rows.tolist()
    recipe = {"epochs": arguments.epochs, "batch": BATCH, "lr": LR, "momentum": MOMENTUM}
    model, _ = train_usual(arguments.network, arguments.data_dir, rows, seed=seed, device=arguments.device, **recipe)
    return accuracy_usual(model, arguments.data_dir, arguments.device)


print(f"{arguments.network}, {arguments.epochs} epochs, batch {BATCH}, SGD {LR}, momentum {MOMENTUM}, no augmentation")
print(f"{'seed':>5} {'ours':>8} {'script':>8}")
found = []
for seed in map(int, arguments.seeds.split(",")):
    found.append((ours(seed), usual(seed)))
    print(f"{seed:5} {found[-1][0]:8.2%} {found[-1][1]:8.2%}", flush=True)
mine, theirs = zip(*found, strict=True)
spread = [statistics.stdev(values) for values in (mine, theirs)]
print(f"{'mean':>5} {statistics.mean(mine):8.2%} {statistics.mean(theirs):8.2%}")
print(f"{'stdev':>5} {spread[0]:8.2%} {spread[1]:8.2%}")
error = ((spread[0] ** 2 + spread[1] ** 2) / len(found)) ** 0.5
print(f"ours - script: {100 * (statistics.mean(mine) - statistics.mean(theirs)):+.2f} ± {100 * error:.2f} points")
