"""A folder of photographs: the first epoch of `cnnspec train --augment photo` against the usual PyTorch script.

    python benchmarks/training/photos.py [--images 2000] [--pairs 3] [--workers 2] [--threads 1]
    python benchmarks/training/photos.py --smoke      # few pictures: shows that it runs

JPEGs of 256 to 1,000 pixels are written anew by a seeded generator. Both sides are processes, take turns, have the same
network, recipe, threads and workers, decode at reduced size, and no cache. What is timed is all of it but the imports:
the folder is opened, every image trained on once, and a tenth scored.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

SPEC = """
cnnspec: 1
name: photos
input: {shape: [3, 128, 128], fit: crop, mean: [0.5, 0.5, 0.5], std: [0.25, 0.25, 0.25]}
layers:
  - Conv2d(16, 5, stride=4)
  - ReLU
  - Conv2d(32, 3, stride=2)
  - ReLU
  - AdaptiveAvgPool2d(1)
  - Flatten
  - Linear(4)
"""
BATCH = 32


def write_pictures(folder: Path, count: int) -> None:
    """Smooth pictures with a little noise, a class by its colours; `train` and a tenth of as many in `val`."""
    rng = np.random.default_rng(0)
    for part, number in (("train", count), ("val", count // 10)):
        for at in range(number):
            width, height = rng.integers(256, 1001, 2)
            coarse = rng.integers(0, 256, (9, 9, 3), np.uint8)
            coarse[..., at % 4 % 3] //= 2
            image = Image.fromarray(coarse).resize((int(width), int(height)), Image.Resampling.BICUBIC)
            noisy = np.asarray(image) + rng.normal(0, 6, (height, width, 1))
            place = folder / part / f"class{at % 4}"
            place.mkdir(parents=True, exist_ok=True)
            Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(place / f"{at:05}.jpg", quality=90)


def ours(folder: Path, workers: int, threads: int) -> float:
    import cnnspec
    from cnnspec.training import loop  # noqa: F401 - so that it is imported before the clock runs

    spec = cnnspec.loads(SPEC)
    with tempfile.TemporaryDirectory() as runs:
        began = time.perf_counter()
        cnnspec.train(
            spec, data=folder, augment="photo", jitter=0.0, epochs=1, batch_size=BATCH, workers=workers,
            threads=threads, channels_last=False, runs=runs, progress=None,
        )  # fmt: skip
        return time.perf_counter() - began


def usual(folder: Path, workers: int, threads: int) -> float:
    import torch
    from torch.utils.data import DataLoader
    from torchvision.datasets import ImageFolder
    from torchvision.transforms import v2

    import cnnspec

    def load(path: str) -> Image.Image:
        with Image.open(path) as image:
            image.draft("RGB", (160, 160))
            return image.convert("RGB")

    torch.set_num_threads(threads)
    model = cnnspec.build(cnnspec.loads(SPEC))
    norm = [v2.ToImage(), v2.ToDtype(torch.float32, scale=True), v2.Normalize([0.5] * 3, [0.25] * 3)]
    began = time.perf_counter()
    varied = v2.Compose([v2.RandomResizedCrop(128, (0.08, 1)), v2.RandomHorizontalFlip(), *norm])
    plain = v2.Compose([v2.Resize(128), v2.CenterCrop(128), *norm])
    train = DataLoader(ImageFolder(folder / "train", varied, loader=load), BATCH, shuffle=True, num_workers=workers)
    val = DataLoader(ImageFolder(folder / "val", plain, loader=load), BATCH, num_workers=workers)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9, weight_decay=5e-4)
    loss = torch.nn.CrossEntropyLoss()
    model.train()
    for images, labels in train:
        optimizer.zero_grad()
        loss(model(images), labels).backward()
        optimizer.step()
    model.eval()
    right = 0
    with torch.inference_mode():
        for images, labels in val:
            right += int((model(images).argmax(1) == labels).sum())
    return time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--smoke", action="store_true")
    parser.add_argument("--side", choices=("ours", "usual"), help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.side:
        side = {"ours": ours, "usual": usual}[arguments.side]
        print(json.dumps(side(arguments.folder, arguments.workers, arguments.threads)))
        return
    count, pairs = (40, 1) if arguments.smoke else (arguments.images, arguments.pairs)
    found: dict[str, list[float]] = {"usual": [], "ours": []}
    with tempfile.TemporaryDirectory() as name:
        write_pictures(Path(name), count)
        for turn in range(pairs):
            for side in found if turn % 2 else reversed(found):
                options = ["--workers", str(arguments.workers), "--threads", str(arguments.threads)]
                command = [sys.executable, __file__, "--side", side, "--folder", name, *options]
                done = subprocess.run(command, check=True, capture_output=True, text=True)
                found[side].append(count / json.loads(done.stdout.splitlines()[-1]))
    for side, rates in found.items():
        print(f"{side:6} {statistics.median(rates):8.1f} images/s ({', '.join(f'{rate:.1f}' for rate in rates)})")
    ratios = [mine / other for mine, other in zip(found["ours"], found["usual"], strict=True)]
    print(f"ratio  {statistics.median(ratios):8.2f} (wanted: 1.5)")


if __name__ == "__main__":
    main()
