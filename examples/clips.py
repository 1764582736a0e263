"""A narrow C3D tells which way a square moves: classification of clips. Figures: accuracy at least 95 %.

`python examples/clips.py` draws the clips, trains for some minutes, and writes `runs/clips` and `clips.onnx`.
"""

from __future__ import annotations

import numpy as np

import cnnspec
from cnnspec.api import TrainResult

FRAMES, SIZE, WAYS = 16, 32, np.array([(0, 1), (0, -1), (1, 0), (-1, 0)])  # right, left, down, up


def film(count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Clips `(N, 3, FRAMES, SIZE, SIZE)` of a square that goes round and round in noise, and which way."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % 4
    clips = rng.normal(60, 20, (count, 3, FRAMES, SIZE, SIZE)).clip(0, 255).astype(np.uint8)
    for clip, label in zip(clips, labels, strict=True):
        start, side = rng.integers(0, SIZE, 2), int(rng.integers(6, 12))
        for frame in range(FRAMES):
            rows, columns = ((place + np.arange(side)) % SIZE for place in start + 2 * frame * WAYS[label])
            clip[:, frame, rows[:, None], columns] = 220
    return clips, labels


def main(epochs: int = 40, count: int = 600) -> TrainResult:
    clips, labels = film(count)
    np.savez_compressed("clips.npz", x=clips, y=labels)
    network = cnnspec.load("c3d", params={"size": SIZE, "width": 8, "hidden": 64, "num_classes": 4})
    options = {"epochs": epochs, "optimizer": "adam", "lr": 0.002, "batch_size": 16, "init": "kaiming"}
    result = cnnspec.train(network, data="clips.npz", name="clips", **options)
    cnnspec.export(result.run, "clips.onnx")
    return result


if __name__ == "__main__":
    print(main())
