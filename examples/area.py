"""How much ink a digit has: regression, in the unit and on the scale of the numbers. Figures: R² at least 0.95.

`python examples/area.py` takes the digits of scikit-learn, trains for some seconds, and writes `runs/area`.
"""

from __future__ import annotations

import numpy as np
from sklearn.datasets import load_digits

import cnnspec
from cnnspec.api import TrainResult

SPEC = """
cnnspec: 1
name: area
input: {shape: [1, 8, 8], mean: [0.3], std: [0.35]}
task: {type: regression, numbers: [area], units: [px]}
layers:
  - Conv2d(8, 3, padding=1)
  - ReLU
  - Conv2d(16, 3)
  - ReLU
  - Flatten
  - Linear(32)
  - ReLU
  - Linear(1)
"""


def main(epochs: int = 20, count: int = 1797) -> TrainResult:
    images = load_digits().images[:count]
    np.savez("area.npz", x=(images * 255 / 16).astype(np.uint8), y=images.sum((1, 2)) / 16)
    options = {"rotate": 0.0, "shift": 0, "optimizer": "adam", "lr": 0.003}
    return cnnspec.train(cnnspec.loads(SPEC), data="area.npz", name="area", epochs=epochs, **options)


if __name__ == "__main__":
    print(main())
