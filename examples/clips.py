"""A narrow C3D tells which way a square moves: classification of clips. Figures: accuracy at least 95 %.

`python examples/clips.py` draws the clips, trains for about a minute, and writes `runs/clips` and `clips.onnx`."""

from __future__ import annotations

import numpy as np

import cnnspec

FRAMES, SIZE = 16, 32


def film(count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Clips `(N, 3, FRAMES, SIZE, SIZE)` of a square that moves in noise: to the right, left, down or up, 0 to 3."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % 4
    clips = rng.normal(60, 20, (count, 3, FRAMES, SIZE, SIZE)).clip(0, 255).astype(np.uint8)
    for clip, label in zip(clips, labels, strict=True):
        side = int(rng.integers(6, 12))
        way, across = rng.integers((SIZE - side) // 2, SIZE - side), rng.integers(SIZE - side)
        path = np.linspace(0, way, FRAMES).round().astype(int) + rng.integers(SIZE - side - way)
        for frame, along in enumerate(path[::-1] if label % 2 else path):
            row, column = (along, across) if label > 1 else (across, along)
            clip[:, frame, row : row + side, column : column + side] = 220
    return clips, labels


def main(epochs: int = 8, count: int = 600, seed: int = 0) -> cnnspec.api.TrainResult:
    clips, labels = film(count, seed)
    np.savez_compressed("clips.npz", x=clips, y=labels)
    network = cnnspec.load("c3d", params={"size": SIZE, "width": 8, "hidden": 64, "num_classes": 4})
    options = {"epochs": epochs, "optimizer": "adam", "lr": 0.001, "batch_size": 16, "init": "kaiming", "seed": seed}
    result = cnnspec.train(network, data="clips.npz", name="clips", **options)
    cnnspec.export(result.run, "clips.onnx")
    return result


if __name__ == "__main__":
    print(main())
