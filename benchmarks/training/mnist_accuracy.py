"""Accuracy on the 10,000 MNIST test images: what the bundled networks reach with known recipes.

python benchmarks/training/mnist_accuracy.py --data-dir DIR [--recipe NAME]
"""

from __future__ import annotations

import argparse
import tempfile
from typing import Any

import cnnspec

PLAIN = {"rotate": 0.0, "shift": 0}
RECIPES: dict[str, tuple[str, dict[str, Any], float]] = {  # name: (spec, options, the accuracy to reach)
    "lenet5-1-epoch": ("lenet5", {"epochs": 1}, 0.97),
    "simple_cnn-10-epochs": (
        "simple_cnn",
        {
            "epochs": 10, "lr": 0.01, "momentum": 0.5, "batch_size": 64, "schedule": "constant", "weight_decay": 0.0,
            **PLAIN,
        },
        0.984,
    ),
}  # fmt: skip

parser = argparse.ArgumentParser()
parser.add_argument("--data-dir", required=True)
parser.add_argument("--recipe", choices=RECIPES, action="append")
parser.add_argument("--seed", type=int, default=0)
arguments = parser.parse_args()

print(f"{'recipe':22} {'test accuracy':>13} {'wanted':>8} {'seconds':>8}")
for name in arguments.recipe or RECIPES:
    spec, options, wanted = RECIPES[name]
    with tempfile.TemporaryDirectory() as folder:
        result = cnnspec.api.train(
            spec, runs=folder, data="mnist", data_dir=arguments.data_dir, seed=arguments.seed, **options
        )
    assert result.test_accuracy is not None
    print(f"{name:22} {result.test_accuracy:13.2%} {wanted:8.1%} {result.seconds:8.1f}", flush=True)
