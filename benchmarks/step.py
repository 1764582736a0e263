"""`cnnspec step` of LeNet-5 as a process, beside `import torch` and one step by hand: wanted at most 1.3 times that.

python benchmarks/step.py [--pairs N]
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

parser = argparse.ArgumentParser()
parser.add_argument("--pairs", type=int, default=11)
arguments = parser.parse_args()

BY_HAND = """
import torch
from torch import nn
model = nn.Sequential(
    nn.Conv2d(1, 6, 5, padding=2), nn.Tanh(), nn.AvgPool2d(2), nn.Conv2d(6, 16, 5), nn.Tanh(), nn.AvgPool2d(2),
    nn.Conv2d(16, 120, 5), nn.Tanh(), nn.Flatten(), nn.Linear(120, 84), nn.Tanh(), nn.Linear(84, 10),
)
optimizer = torch.optim.SGD(model.parameters(), 0.05, momentum=0.9, weight_decay=5e-4)
image = torch.rand(1, 1, 28, 28)
loss = nn.functional.cross_entropy(model(image), torch.tensor([8]))
loss.backward()
optimizer.step()
print(loss.item(), nn.functional.cross_entropy(model(image), torch.tensor([8])).item())
"""


def seconds(command: list[str]) -> float:
    began = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - began


with tempfile.TemporaryDirectory() as folder:
    image = Path(folder) / "eight.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (28, 28), np.uint8)).save(image)
    ours = [sys.executable, "-m", "cnnspec", "step", "lenet5", "--image", str(image), "--label", "8"]
    by_hand = [sys.executable, "-c", BY_HAND]
    for command in (ours, by_hand):
        seconds(command)
    pairs = [(seconds(ours), seconds(by_hand)) for _ in range(arguments.pairs)]
for name, times in zip(("cnnspec step lenet5", "import torch, one step"), zip(*pairs, strict=True), strict=True):
    print(f"{name:<24} median {statistics.median(times):.2f} s, {min(times):.2f} to {max(times):.2f}")
print(f"ratio, pair by pair: {statistics.median(one / other for one, other in pairs):.2f} (wanted: at most 1.3)")
