"""A thin M5 tells ten tones in noise apart: classification of signals. Figures: accuracy at least 98 %.

`python examples/tones.py` makes the signals, trains for about a minute, and writes `runs/tones` and `tones.onnx`.
"""

from __future__ import annotations

import numpy as np

import cnnspec
from cnnspec.api import TrainResult

SAMPLES = 2048


def play(count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Signals `(N, SAMPLES)` of bytes, each a tone of any loudness and phase in noise, and which of ten it is."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % 10
    turns = 0.02 * 1.3 ** labels[:, None] * np.arange(SAMPLES) + rng.random((count, 1))
    waves = rng.uniform(30, 100, (count, 1)) * np.sin(2 * np.pi * turns) + rng.normal(0, 15, turns.shape)
    return (128 + waves).clip(0, 255).astype(np.uint8), labels


def main(epochs: int = 15, count: int = 1500) -> TrainResult:
    signals, labels = play(count)
    np.savez_compressed("tones.npz", x=signals, y=labels)
    network = cnnspec.load("m5", params={"samples": SAMPLES, "widths": [8, 8, 16, 16]})
    result = cnnspec.train(network, data="tones.npz", name="tones", epochs=epochs, optimizer="adam", lr=0.005)
    cnnspec.export(result.run, "tones.onnx")
    return result


if __name__ == "__main__":
    print(main())
