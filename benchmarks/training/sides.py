"""The sides that the benchmarks of training compare. Each is a process, which runs once for each line it reads.

So nothing that one side does to its process, to torch's settings or to the allocator, is of use or a hindrance to
another. A run trains two epochs and answers with the images per second of the second one, as a line of JSON.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

BATCH, LR, MOMENTUM = 64, 0.01, 0.9


@dataclass(frozen=True)
class Side:
    """One side: what it is called below, and with what it runs."""

    name: str
    network: str
    images: str  # a .npz file: `x` (N, H, W) or (N, H, W, 3), and `y`
    count: int  # how many images of it are trained on
    data_dir: str = ""  # where the script finds torchvision's MNIST, of which these are the first images
    input_shape: tuple[int, ...] | None = None
    params: dict[str, Any] = field(default_factory=dict)  # of the spec
    threads: int = 1
    device: str = "cpu"
    clock: str = "wall"  # or cpu: the process's seconds on the processor
    channels_last: bool | None = None
    batch: int = BATCH
    options: dict[str, Any] = field(default_factory=dict)  # of ours


class Process:
    """A side, waiting for its turn."""

    def __init__(self, side: Side) -> None:
        command = [sys.executable, __file__, json.dumps(asdict(side))]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def run(self) -> dict[str, Any]:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write("run\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer:
            raise SystemExit(f"{self.process.args[2]} ended with {self.process.wait()}")  # type: ignore[index]
        found: dict[str, Any] = json.loads(answer)
        return found

    def close(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()


def answer(side: Side) -> None:
    """Run once for each line of the standard input."""
    replies = os.fdopen(os.dup(1), "w")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # libraries talk
    if side.name == "keras":
        os.environ["KERAS_BACKEND"] = "torch"
    import torch

    warnings.filterwarnings("ignore")
    torch.set_num_threads(side.threads)
    run = SIDES[side.name]
    for _ in sys.stdin:
        found = run(side)
        replies.write(json.dumps({"threads": torch.get_num_threads(), **found}) + "\n")
        replies.flush()


def clock_of(side: Side) -> Callable[[], float]:
    return time.perf_counter if side.clock == "wall" else time.process_time


def spec_of(side: Side) -> Any:
    import cnnspec

    return cnnspec.load(side.network, params=side.params, input_shape=side.input_shape)


def fresh(side: Side) -> Any:
    import torch

    import cnnspec

    torch.manual_seed(0)
    return cnnspec.build(spec_of(side)).to(side.device)


def arrays(side: Side) -> tuple[np.ndarray, np.ndarray]:
    with np.load(side.images) as found:
        return found["x"][: side.count], found["y"][: side.count]


def sync(side: Side) -> None:
    """On a GPU, wait until all that was asked for is done."""
    if side.device.startswith("cuda"):
        import torch

        torch.cuda.synchronize()


def ours(side: Side) -> dict[str, Any]:
    """`cnnspec train`, as the Python function."""

    import cnnspec
    from cnnspec.training import keeper

    keeper.time = SimpleNamespace(perf_counter=clock_of(side))  # type: ignore[assignment]
    options: dict[str, Any] = {
        "data": side.images, "epochs": 2, "batch_size": side.batch, "lr": LR, "schedule": "constant",
        "weight_decay": 0.0, "momentum": MOMENTUM, "rotate": 0.0, "shift": 0, "device": side.device,
        "threads": side.threads, "channels_last": side.channels_last, "pool_first": False, **side.options,
    }  # fmt: skip
    with tempfile.TemporaryDirectory() as runs:
        cnnspec.api.train(spec_of(side), runs=runs, name="a", **{k: v for k, v in options.items() if v is not None})
        run = cnnspec.api.open_run(Path(runs) / "a")
    if side.threads != run.config.threads:
        raise SystemExit("another number of threads than asked for")
    return {"rate": run.metrics[1].images_per_second, "channels_last": run.config.channels_last}


def script(side: Side, workers: int = 0) -> dict[str, Any]:
    """torchvision's MNIST, ToTensor and Normalize per image, a DataLoader, `.item()` in each step."""
    from usual import train_usual

    _, seconds = train_usual(
        side.network, side.data_dir, range(side.count), epochs=2, batch=side.batch, lr=LR, momentum=MOMENTUM,
        workers=workers, device=side.device, clock=clock_of(side),
    )  # fmt: skip
    return {"rate": side.count / seconds[1]}


def script_kept(side: Side) -> dict[str, Any]:
    """The script with what we set the C library's allocator to."""
    from cnnspec.training.machine import keep_freed_memory

    keep_freed_memory()
    return script(side)


def bare(side: Side) -> dict[str, Any]:
    """A loop that gathers, normalises and steps on the same tensors with the same arithmetic, and does nothing else.

    On a GPU it records its step as a CUDA graph, unless `cuda_graph` is off.
    """
    import torch
    from torch.nn import functional

    from cnnspec.images import scale_and_shift
    from cnnspec.torch_backend.rewrite import multiply_whole, rectify_in_place
    from cnnspec.training.config import TrainConfig
    from cnnspec.training.criterion import make_optimizer, make_update
    from cnnspec.training.machine import keep_freed_memory

    graph = spec_of(side).graph
    pixels, classes = (torch.from_numpy(array) for array in arrays(side))
    images = pixels.unsqueeze(1) if pixels.ndim == 3 else pixels.permute(0, 3, 1, 2).contiguous()
    images, labels = images.to(side.device), classes.long().to(side.device)
    form = torch.channels_last if side.channels_last else torch.contiguous_format
    model = fresh(side)
    rectify_in_place(model)
    if side.device == "cpu":
        keep_freed_memory()
        multiply_whole(model, graph)
    model.to(memory_format=form)
    config = TrainConfig(lr=LR, momentum=MOMENTUM, weight_decay=0.0)
    update = make_update(config, make_optimizer(config, model, torch.device(side.device)))
    scale, shift = (
        torch.from_numpy(values).view(-1, 1, 1).to(side.device)
        for values in scale_and_shift(graph.mean, graph.std, len(images[0]))
    )
    torch.backends.cudnn.benchmark = True

    def step(rows: torch.Tensor) -> None:
        x = images.index_select(0, rows).to(torch.float32, memory_format=form).mul_(scale).add_(shift)
        functional.cross_entropy(model(x), labels.index_select(0, rows)).backward()
        update()

    run = step
    if side.device != "cpu" and side.options.get("cuda_graph", True):
        held = torch.arange(side.batch, device=side.device)
        beside = torch.cuda.Stream()
        beside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(beside):
            for _ in range(3):
                step(held)
        torch.cuda.current_stream().wait_stream(beside)
        recorded = torch.cuda.CUDAGraph()
        with torch.cuda.graph(recorded, stream=beside):
            step(held)

        def run(rows: torch.Tensor) -> None:
            held.copy_(rows)
            recorded.replay()

    clock = clock_of(side)
    seconds = 0.0
    for _ in range(2):
        started = clock()
        order = torch.randperm(side.count).to(side.device)
        for first in range(0, side.count - side.batch + 1, side.batch):
            run(order[first : first + side.batch])
        sync(side)
        seconds = clock() - started
    return {"rate": side.count / seconds}


def lightning(side: Side, tensors: bool = False) -> dict[str, Any]:
    """Lightning's Trainer, on the usual DataLoader or on normalised tensors in memory."""
    import lightning as pl
    import torch
    from torch.nn import functional
    from torch.utils.data import DataLoader, Subset, TensorDataset
    from usual import MEAN, STD, dataset

    clock = clock_of(side)

    class Module(pl.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.model = fresh(side)
            self.times: list[float] = []

        def training_step(self, batch: Any, _: int) -> Any:
            x, y = batch
            return functional.cross_entropy(self.model(x), y)

        def configure_optimizers(self) -> Any:
            return torch.optim.SGD(self.model.parameters(), LR, momentum=MOMENTUM)

        def on_train_epoch_start(self) -> None:
            self.times.append(-clock())

        def on_train_epoch_end(self) -> None:
            sync(side)
            self.times[-1] += clock()

    if tensors:
        x, y = arrays(side)
        pixels = (torch.from_numpy(x).unsqueeze(1).float() / 255 - MEAN) / STD
        data: Any = TensorDataset(pixels, torch.from_numpy(y).long())
    else:
        data = Subset(dataset(side.data_dir, train=True), range(side.count))
    module = Module()
    names = ("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary")
    with tempfile.TemporaryDirectory() as folder:
        trainer = pl.Trainer(
            max_epochs=2, accelerator="cpu" if side.device == "cpu" else "auto", default_root_dir=folder,
            **dict.fromkeys(names, False),
        )  # fmt: skip
        trainer.fit(module, DataLoader(data, side.batch, shuffle=True))
    return {"rate": side.count / module.times[1]}


def keras(side: Side) -> dict[str, Any]:
    """Keras 3 with torch below it, `fit` on normalised arrays."""
    import keras
    from usual import MEAN, STD

    clock = clock_of(side)
    layers = keras.layers
    if side.network == "lenet5":
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
    pixels, y = arrays(side)
    x = ((pixels[..., None] / 255 - MEAN) / STD).astype(np.float32)
    seconds = 0.0
    for _ in range(2):
        started = clock()
        model.fit(x, y, batch_size=side.batch, verbose=0)
        seconds = clock() - started
    return {"rate": side.count / seconds}


SIDES: dict[str, Callable[[Side], dict[str, Any]]] = {
    "ours": ours,
    "script": script,
    "script-2-workers": lambda side: script(side, workers=2),
    "script-kept": script_kept,
    "bare": bare,
    "lightning": lightning,
    "lightning-tensors": lambda side: lightning(side, tensors=True),
    "keras": keras,
}

if __name__ == "__main__":
    answer(Side(**json.loads(sys.argv[1])))
