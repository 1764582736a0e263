"""Images per second in training, against the usual ways: all sides in one run, in turn, on the same images.

    python benchmarks/training/speed.py --data-dir DIR [--network lenet5] [--pairs 7] [--device cuda] [--sides script]

All sides train the same network on the same first 12,800 MNIST images (9,216 after our split), batch 64, fp32, SGD with
momentum, equal thread count, no augmentation. One pair is one run of ours and one of the other side, in alternating
order; printed are the median ratio of all pairs, and the smallest and largest. `--clock cpu` counts the process's
seconds on the CPU instead of those on the wall: with one thread and no workers they are the same on an idle machine.

script   torchvision's MNIST, ToTensor and Normalize per image, DataLoader with 0 workers, `.item()` each step
script2  the same with 2 workers
bare     a loop that gathers, normalises and steps on the same uint8 tensors in the same layout, and does nothing else
lightning, lightning-tensors  Lightning's Trainer on the usual DataLoader, and on tensors in memory
keras    Keras 3 (torch backend) `fit` on arrays
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional
from usual import MEAN, STD, dataset, train_usual

import cnnspec
from cnnspec.data.open import OpenOptions, open_data
from cnnspec.training import loop

IMAGES, BATCH, LR, MOMENTUM = 12_800, 64, 0.01, 0.9

parser = argparse.ArgumentParser()
parser.add_argument("--data-dir", required=True)
parser.add_argument("--network", default="lenet5")
parser.add_argument("--pairs", type=int, default=7)
parser.add_argument("--threads", type=int, default=1)
parser.add_argument("--sides", default="script,script2,bare")
parser.add_argument("--device", default="cpu")
parser.add_argument("--clock", choices=("wall", "cpu"), default="wall")
arguments = parser.parse_args()

clock = time.perf_counter if arguments.clock == "wall" else time.process_time  # cpu: for one thread on a busy machine
loop.time = SimpleNamespace(perf_counter=clock)

torch.set_num_threads(arguments.threads)
workspace = Path(tempfile.mkdtemp())


def first_images() -> tuple[np.ndarray, np.ndarray]:
    from torchvision.datasets import MNIST

    found = MNIST(arguments.data_dir, train=True, download=True)
    return found.data[:IMAGES].numpy(), found.targets[:IMAGES].numpy()


X, Y = first_images()
np.savez(workspace / "mnist.npz", x=X, y=Y)
SOURCE = OpenOptions(folder=workspace)
COUNT = len(open_data(str(workspace / "mnist.npz"), cnnspec.load(arguments.network).graph, SOURCE).train_rows)


layout: list[bool] = []
device = torch.device(arguments.device)


def sync() -> None:
    """On a GPU, wait until all that was asked for is done."""
    if device.type == "cuda":
        torch.cuda.synchronize()


def fresh() -> nn.Module:
    torch.manual_seed(0)
    return cnnspec.build(arguments.network).to(device)


def sgd(model: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.SGD(model.parameters(), LR, momentum=MOMENTUM)


def ours() -> float:
    options: dict[str, Any] = {
        "data": str(workspace / "mnist.npz"), "epochs": 2, "batch_size": BATCH, "lr": LR, "schedule": "constant",
        "weight_decay": 0.0, "momentum": MOMENTUM, "rotate": 0.0, "shift": 0, "device": arguments.device,
        "threads": arguments.threads,
    }  # fmt: skip
    if layout:  # what the first run measured to be faster
        options["channels_last"] = layout[0]
    with tempfile.TemporaryDirectory() as runs:
        cnnspec.api.train(arguments.network, runs=runs, name="a", **options)
        run = cnnspec.api.open_run(Path(runs) / "a")
    layout[:] = [bool(run.config.channels_last)]
    return float(run.metrics[1]["images_per_second"])


def script(workers: int) -> float:
    recipe: dict[str, Any] = {"epochs": 2, "batch": BATCH, "lr": LR, "momentum": MOMENTUM}
    machine: dict[str, Any] = {"workers": workers, "device": device, "clock": clock}
    _, seconds = train_usual(arguments.network, arguments.data_dir, range(COUNT), **recipe, **machine)
    return COUNT / seconds[1]


def bare() -> float:
    images, labels = torch.from_numpy(X).unsqueeze(1).to(device), torch.from_numpy(Y).long().to(device)
    form = torch.channels_last if layout[0] else torch.contiguous_format
    model = fresh().to(memory_format=form)
    optimizer = torch.optim.SGD(model.parameters(), LR, momentum=MOMENTUM, fused=True)
    scale, shift = torch.tensor(1 / (255 * STD), device=device), torch.tensor(-MEAN / STD, device=device)
    seconds = 0.0
    for _ in range(2):
        started = clock()
        order = torch.randperm(COUNT, device=device)
        for first in range(0, COUNT, BATCH):
            rows = order[first : first + BATCH]
            x = torch.addcmul(shift, images[rows].to(torch.float32, memory_format=form), scale)
            loss = functional.cross_entropy(model(x), labels[rows])
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
        sync()
        seconds = clock() - started
    return COUNT / seconds


def lightning(tensors: bool) -> float:
    import lightning as pl
    from torch.utils.data import DataLoader, Subset, TensorDataset

    class Module(pl.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.model = fresh()
            self.times: list[float] = []

        def training_step(self, batch: Any, _: int) -> Any:
            x, y = batch
            return functional.cross_entropy(self.model(x), y)

        def configure_optimizers(self) -> Any:
            return sgd(self.model)

        def on_train_epoch_start(self) -> None:
            self.times.append(-clock())

        def on_train_epoch_end(self) -> None:
            self.times[-1] += clock()

    if tensors:
        x = (torch.from_numpy(X[:COUNT]).unsqueeze(1).float() / 255 - MEAN) / STD
        data: Any = TensorDataset(x, torch.from_numpy(Y[:COUNT]).long())
    else:
        data = Subset(dataset(arguments.data_dir, train=True), range(COUNT))
    module = Module()
    quiet = {
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
    }
    trainer = pl.Trainer(
        max_epochs=2, accelerator="auto" if device.type != "cpu" else "cpu", default_root_dir=str(workspace), **quiet
    )
    trainer.fit(module, DataLoader(data, BATCH, shuffle=True))
    return COUNT / module.times[1]


def keras() -> float:
    os.environ["KERAS_BACKEND"] = "torch"
    import keras

    layers = keras.layers
    if arguments.network == "lenet5":
        body = [
            layers.Conv2D(6, 5, padding="same", activation="tanh"), layers.AveragePooling2D(2),
            layers.Conv2D(16, 5, activation="tanh"), layers.AveragePooling2D(2),
            layers.Conv2D(120, 5, activation="tanh"), layers.Flatten(), layers.Dense(84, activation="tanh"),
        ]  # fmt: skip
    else:
        body = [
            layers.Conv2D(10, 5, activation="relu"), layers.MaxPooling2D(2),
            layers.Conv2D(20, 5, activation="relu"), layers.MaxPooling2D(2), layers.Flatten(),
        ]  # fmt: skip
    model = keras.Sequential([keras.Input((28, 28, 1)), *body, layers.Dense(10)])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(LR, momentum=MOMENTUM), loss)
    x = ((X[:COUNT, :, :, None] / 255 - MEAN) / STD).astype(np.float32)
    seconds = 0.0
    for _ in range(2):
        started = clock()
        model.fit(x, Y[:COUNT], batch_size=BATCH, verbose=0)
        seconds = clock() - started
    return COUNT / seconds


SIDES: dict[str, Callable[[], float]] = {
    "script": lambda: script(0),
    "script2": lambda: script(2),
    "bare": bare,
    "lightning": lambda: lightning(False),
    "lightning-tensors": lambda: lightning(True),
    "keras": keras,
}

warnings.filterwarnings("ignore")
ours()  # torch's first steps are slow
print(
    f"{arguments.network}, batch {BATCH}, {COUNT:,} images, {arguments.threads} threads, {arguments.pairs} pairs,"
    f" {arguments.clock} clock, torch {torch.__version__}"
)
print(f"memory layout of ours and bare: {'channels last' if layout[0] else 'contiguous'}")
print(f"{'against':18} {'ours/s':>9} {'theirs/s':>9} {'ratio':>6}  (smallest to largest)")
for name in arguments.sides.split(","):
    side = SIDES[name]
    pairs = []
    for number in range(arguments.pairs):
        if number % 2:
            theirs, mine = side(), ours()
        else:
            mine, theirs = ours(), side()
        pairs.append((mine, theirs))
    ratios = sorted(mine / theirs for mine, theirs in pairs)
    mine, theirs = (statistics.median(values) for values in zip(*pairs, strict=True))
    spread = f"({ratios[0]:.2f} to {ratios[-1]:.2f})"
    print(f"{name:18} {mine:9,.0f} {theirs:9,.0f} {statistics.median(ratios):6.2f}  {spread}", flush=True)
