"""Photographs in files: the first epoch of `cnnspec train` against the usual PyTorch script of the same recipe.

    python benchmarks/training/photos.py [--task masks] [--images 1000] [--seeds 3] [--workers 2] [--threads 1]
    python benchmarks/training/photos.py --epochs 10   # figures of longer runs; the time is still that of the first
    python benchmarks/training/photos.py --smoke      # few pictures: shows that it runs

JPEGs of 256 to 1,000 pixels are written anew by a seeded generator: in folders of four classes, or with `--task masks`
beside masks. Both sides are processes, take turns, have the same network, recipe, threads and workers, decode at
reduced size where they can, and keep nothing decoded on the disk. What is timed is all of it but the imports: the
folder is opened, every image trained on once, and a tenth scored. Processor time is that of all processes of a side.
Each pair of runs has a seed of its own: of the first weights, the order, and what is varied. Figures are those of the
last epoch on the images to validate, and their spread is the standard deviation over the seeds.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

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
MASKS = """
cnnspec: 1
name: masks
input: {shape: [3, 128, 128], mean: [0.5, 0.5, 0.5], std: [0.25, 0.25, 0.25]}
task: segmentation
layers:
  - Conv2d(16, 4, stride=4)
  - ReLU
  - Conv2d(16, 3, padding=1)
  - ReLU
  - ConvTranspose2d(2, 4, stride=4)
"""
BATCH, LR = 32, 0.05
SIZE = 128
FIGURES = {False: ("accuracy",), True: ("miou", "pixel_accuracy")}  # by whether masks are taught
Turn = dict[str, float]  # seconds by the clock and of the processor, and the figures


def write_pictures(folder: Path, count: int, masks: bool) -> None:
    """Smooth pictures with a little noise, a class by its colours; `train` and a tenth of as many in `val`.

    With masks, the class of a place is whether a bright rectangle covers it.
    """
    rng = np.random.default_rng(0)
    for part, number in (("train", count), ("val", count // 10)):
        for at in range(number):
            width, height = rng.integers(256, 1001, 2)
            coarse = rng.integers(0, 256, (9, 9, 3), np.uint8)
            if at % 4 < 3:  # or none is darker, in the fourth class
                coarse[..., at % 4] //= 2
            image = Image.fromarray(coarse).resize((int(width), int(height)), Image.Resampling.BICUBIC)
            noisy = np.asarray(image) + rng.normal(0, 6, (height, width, 1))
            place = folder / part / ("images" if masks else f"class{at % 4}")
            place.mkdir(parents=True, exist_ok=True)
            if masks:
                (folder / part / "masks").mkdir(exist_ok=True)
                mask = np.zeros((height, width), np.uint8)
                top, left = rng.integers(0, (height // 2, width // 2))
                mask[top : top + height // 2, left : left + width // 2] = 1
                noisy += 90 * mask[..., None]
                Image.fromarray(mask).save(folder / part / "masks" / f"{at:05}.png")
            Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(place / f"{at:05}.jpg", quality=90)


def used() -> tuple[float, float]:
    """Seconds by the clock, and of the processor, of this process and of its workers."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)  # that have ended
    work = time.process_time() + children.ru_utime + children.ru_stime
    for child in multiprocessing.active_children():
        with suppress(OSError):
            fields = Path(f"/proc/{child.pid}/stat").read_text().rpartition(")")[2].split()
            work += (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return time.perf_counter(), work


def turn(began: tuple[float, float], done: tuple[float, float], figures: dict[str, float]) -> Turn:
    return {"clock": done[0] - began[0], "processor": done[1] - began[1], **figures}


def ours(folder: Path, masks: bool, workers: int, threads: int, seed: int, epochs: int) -> Turn:
    import torch._dynamo  # noqa: F401 - which torch imports when it makes an optimizer
    import torchvision.transforms.v2  # noqa: F401 - which the other side imports too

    import cnnspec
    import cnnspec.api.weights  # which `cnnspec.train` would import, and the loop: both before the clock runs
    from cnnspec.training import loop  # noqa: F401

    done: list[tuple[float, float]] = []
    figures: dict[str, float] = {}

    class Epochs:
        """Ends the run with its last epoch: no pictures are drawn, and nothing is scored again, in the time."""

        def message(self, text: str) -> None: ...

        def step(self, *figures: float) -> None: ...

        def epoch(self, metrics: Any) -> bool:
            done.append(used())
            figures.update({name: metrics.figures[name] for name in FIGURES[masks]})
            return len(done) == epochs

    spec = cnnspec.loads(MASKS if masks else SPEC)
    recipe: dict[str, Any] = (
        {"augment": "none", "flip": True} if masks else {"augment": "photo", "jitter": 0.0}
    )  # and the same below
    with tempfile.TemporaryDirectory() as runs:
        began = used()
        cnnspec.train(
            spec, data=folder, epochs=epochs, batch_size=BATCH, workers=workers, threads=threads, channels_last=False,
            lr=LR, momentum=0.9, weight_decay=5e-4, schedule="constant", runs=runs, progress=Epochs(), seed=seed,
            **recipe,
        )  # fmt: skip
    return turn(began, done[0], figures)


def usual(folder: Path, masks: bool, workers: int, threads: int, seed: int, epochs: int) -> Turn:
    import torch
    from torch.utils.data import DataLoader, Dataset
    from torchvision import tv_tensors
    from torchvision.datasets import ImageFolder
    from torchvision.transforms import v2

    import cnnspec

    def load(path: str | Path) -> Image.Image:
        with Image.open(path) as image:
            image.draft("RGB", (160, 160))
            return image.convert("RGB")

    class Masked(Dataset[Any]):
        def __init__(self, part: Path, transform: Any) -> None:
            self.images = sorted((part / "images").iterdir())
            self.transform = transform

        def __len__(self) -> int:
            return len(self.images)

        def __getitem__(self, at: int) -> Any:
            path = self.images[at]
            with Image.open(path.parent.parent / "masks" / f"{path.stem}.png") as mask:
                image, target = self.transform(load(path), tv_tensors.Mask(np.array(mask)[None]))
            return image, target[0].long()

    torch.set_num_threads(threads)
    torch.manual_seed(seed)  # from which the workers have theirs
    model = cnnspec.build(cnnspec.loads(MASKS if masks else SPEC))
    norm = [v2.ToImage(), v2.ToDtype(torch.float32, scale=True), v2.Normalize([0.5] * 3, [0.25] * 3)]
    optimizer = torch.optim.SGD(model.parameters(), lr=LR, momentum=0.9, weight_decay=5e-4)
    loss = torch.nn.CrossEntropyLoss()
    classes = 2 if masks else 4
    done: list[tuple[float, float]] = []
    matrix = torch.zeros(classes, classes, dtype=torch.int64)  # of true and found classes
    began = used()
    if masks:
        resize = v2.Resize((SIZE, SIZE))
        train_set: Any = Masked(folder / "train", v2.Compose([resize, v2.RandomHorizontalFlip(), *norm]))
        val_set: Any = Masked(folder / "val", v2.Compose([resize, *norm]))
    else:
        varied = v2.Compose([v2.RandomResizedCrop(SIZE, (0.08, 1)), v2.RandomHorizontalFlip(), *norm])
        train_set = ImageFolder(folder / "train", varied, loader=load)
        val_set = ImageFolder(folder / "val", v2.Compose([v2.Resize(SIZE), v2.CenterCrop(SIZE), *norm]), loader=load)
    train = DataLoader(train_set, BATCH, shuffle=True, num_workers=workers)
    val = DataLoader(val_set, BATCH, num_workers=workers)
    for _ in range(epochs):
        model.train()
        for images, labels in train:
            optimizer.zero_grad()
            loss(model(images), labels).backward()
            optimizer.step()
        model.eval()
        matrix.zero_()
        with torch.inference_mode():
            for images, labels in val:
                codes = labels * classes + model(images).argmax(1)
                matrix += torch.bincount(codes.flatten(), minlength=classes**2).view(classes, classes)
        done.append(used())
    hits = matrix.diagonal()
    share = float(hits.sum() / matrix.sum())
    if not masks:
        return turn(began, done[0], {"accuracy": share})
    ious = hits / (matrix.sum(0) + matrix.sum(1) - hits)
    return turn(began, done[0], {"miou": float(ious.mean()), "pixel_accuracy": share})


def shown(values: list[float]) -> str:
    """The mean of a figure and its spread."""
    spread = f" ± {statistics.stdev(values):.1%}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.1%}{spread}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task", choices=("classes", "masks"), default="classes")
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--seeds", type=int, default=3, help="pairs of runs, each with a seed of its own")
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--smoke", action="store_true")
    parser.add_argument("--side", choices=("ours", "usual"), help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--seed", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    masks = arguments.task == "masks"
    if arguments.side:
        side = {"ours": ours, "usual": usual}[arguments.side]
        options = (getattr(arguments, key) for key in ("workers", "threads", "seed", "epochs"))
        print(json.dumps(side(arguments.folder, masks, *options)))
        return
    count, seeds = (40, 1) if arguments.smoke else (arguments.images, arguments.seeds)
    found: dict[str, list[Turn]] = {"usual": [], "ours": []}
    with tempfile.TemporaryDirectory() as name:
        write_pictures(Path(name), count, masks)
        for seed in range(seeds):
            for side in found if seed % 2 else reversed(found):
                options = [f"--{key}={getattr(arguments, key)}" for key in ("task", "workers", "threads", "epochs")]
                command = [sys.executable, __file__, f"--side={side}", f"--folder={name}", f"--seed={seed}", *options]
                done = subprocess.run(command, check=True, capture_output=True, text=True)
                found[side].append(json.loads(done.stdout.splitlines()[-1]))
                print(f"{side:6}", *(f"{key} {value:.3g}" for key, value in found[side][-1].items()), flush=True)
    print(
        f"{count:,} images, {arguments.workers} workers, {arguments.threads} threads, {seeds} seeds,"
        f" figures after epoch {arguments.epochs}"
    )
    for side, turns in found.items():
        rate, work = (statistics.median(each[key] for each in turns) for key in ("clock", "processor"))
        figures = ", ".join(
            f"{name.replace('_', ' ')} {shown([each[name] for each in turns])}" for name in FIGURES[masks]
        )
        print(
            f"  {side:6} {count / rate:8.1f} images/s, {count / work:8.1f} for each second of the processor, {figures}"
        )
    for key in ("clock", "processor"):
        ratios = sorted(theirs[key] / mine[key] for mine, theirs in zip(found["ours"], found["usual"], strict=True))
        print(f"  ratio by the {key} {statistics.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f}; wanted 1.5)")


if __name__ == "__main__":
    main()
