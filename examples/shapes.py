"""A small U-Net finds discs and boxes in noisy drawings: segmentation. Figures: mIoU at least 0.95.

`python examples/shapes.py` draws them, trains for some minutes, and writes `runs/shapes` and `shapes.onnx`.
"""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw

import cnnspec
from cnnspec.api import TrainResult


def draw(count: int, size: int = 48, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Images `(N, size, size)` of a disc and a box in noise, and their masks: 1 is the disc, 2 the box."""
    rng = np.random.default_rng(seed)
    masks = np.zeros((count, size, size), np.uint8)
    for number in range(count):
        mask = Image.new("L", (size, size))
        for value, shape in ((1, ImageDraw.Draw(mask).ellipse), (2, ImageDraw.Draw(mask).rectangle)):
            (x, y), (wide, high) = rng.integers(0, size // 2, 2), rng.integers(10, size // 2, 2)
            shape((x, y, x + wide, y + high), fill=value)
        masks[number] = np.asarray(mask)
    images = np.array([50, 120, 200])[masks] + rng.normal(0, 30, masks.shape)
    return images.clip(0, 255).astype(np.uint8), masks


def main(epochs: int = 12, count: int = 600) -> TrainResult:
    images, masks = draw(count)
    np.savez_compressed("shapes.npz", x=images, y=masks)
    network = cnnspec.load("unet_same", params={"size": 48, "width": 8, "num_classes": 3})
    options = {"optimizer": "adam", "lr": 0.002, "batch_size": 8, "init": "kaiming", "weight_decay": 0.0}
    result = cnnspec.train(network, data="shapes.npz", name="shapes", epochs=epochs, flip=True, **options)
    cnnspec.export(result.run, "shapes.onnx")
    return result


if __name__ == "__main__":
    print(main())
