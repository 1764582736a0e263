"""Which digits a pair has: several classes of one image, each with a threshold. Figures: mAP at least 0.97.

`python examples/pairs.py` pairs the digits of scikit-learn, trains for about a minute, and writes `runs/pairs`.
"""

from __future__ import annotations

import numpy as np
from sklearn.datasets import load_digits

import cnnspec
from cnnspec.api import TrainResult

SPEC = """
cnnspec: 1
name: pairs
input: {shape: [1, 8, 16], mean: [0.3], std: [0.35]}
task: multi-label
classes: ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"]
layers:
  - Conv2d(64, 5, padding=1)
  - ReLU
  - AdaptiveMaxPool2d((2, 4))
  - Flatten
  - Linear(10)
"""


def main(epochs: int = 20, count: int = 3000) -> TrainResult:
    digits, rng = load_digits(), np.random.default_rng(0)
    pairs = rng.integers(0, len(digits.target), (count, 2))
    images = np.concatenate([*digits.images[pairs].swapaxes(0, 1)], axis=2)
    labels = np.eye(10, dtype=np.uint8)[digits.target[pairs]].max(1)
    np.savez("pairs.npz", x=(images * 255 / 16).astype(np.uint8), y=labels)
    options = {"epochs": epochs, "rotate": 0.0, "shift": 0, "optimizer": "adam", "lr": 0.003}
    return cnnspec.train(cnnspec.loads(SPEC), data="pairs.npz", name="pairs", **options)


if __name__ == "__main__":
    print(main())
