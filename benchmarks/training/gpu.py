"""Training on a GPU: the usual script against ours as it is and recorded; MNIST to 99 %; ResNet-18 on 32x32 images.

    python benchmarks/training/gpu.py --all [--data-dir DIR] [--pairs 7]   # and everything of gpu_checks.py
    python benchmarks/training/gpu.py [--data-dir DIR] [--pairs 7]         # the figures of speed alone
    python benchmarks/training/gpu.py --all --smoke                        # tiny, on the CPU: shows that it runs

Every side is a process, and all take turns, as in speed.py. Without a GPU nothing is measured.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import gpu_checks
import numpy as np
import torch
from sides import BATCH, Process, Side

GOAL = 0.99  # of the test images of MNIST


def rates(sides: dict[str, Side], pairs: int) -> dict[str, list[float]]:
    """Images per second of each side, in `pairs` turns after a first that does not count."""
    found: dict[str, list[float]] = {name: [] for name in sides}
    with ExitStack() as stack:
        processes = {}
        for name, side in sides.items():
            processes[name] = Process(side)
            stack.callback(processes[name].close)
        for turn in range(pairs + 1):
            for name in sides if turn % 2 else reversed(sides):
                rate = processes[name].run()["rate"]
                if turn:
                    found[name].append(rate)
    return found


def show(title: str, found: dict[str, list[float]], against: str, wanted: dict[str, float]) -> None:
    """The median rates, and the ratios to `against` with their spread."""
    print(f"\n{title}")
    for name, values in found.items():
        ratios = sorted(mine / other for mine, other in zip(values, found[against], strict=True))
        goal = f"  (wanted: {wanted[name]:g})" if name in wanted else ""
        middle = f"{statistics.median(ratios):6.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})"
        print(f"  {name:28} {statistics.median(values):11,.0f} images/s  {middle}{goal}", flush=True)


def small_networks(folder: Path, data_dir: str, device: str, count: int, pairs: int) -> None:
    """The usual script against ours, with each step launched as it is, and recorded as a CUDA graph."""
    from torchvision.datasets import MNIST

    found = MNIST(data_dir, train=True, download=True)
    path = folder / "mnist.npz"
    images = count * 100 // 72 + 200  # a fifth is kept back for the test, and a tenth of the rest for validation
    np.savez(path, x=found.data[:images].numpy(), y=found.targets[:images].numpy())
    for network in ("lenet5", "simple_cnn"):
        script = Side("script", network, str(path), count, data_dir, device=device)
        sides = {
            "the usual script": script,
            "ours, as it is": replace(script, name="ours", options={"cuda_graph": False}),
            "ours, recorded": replace(script, name="ours", options={"steps_per_graph": 1}),
            "ours, several in one": replace(script, name="ours"),
        }
        wanted = {"ours, as it is": 10.0, "ours, several in one": 35.0}
        show(f"{network}, batch {BATCH}, fp32", rates(sides, pairs), "the usual script", wanted)


def launches(folder: Path) -> None:
    """How many kernels a step of LeNet-5 launches, counted on the CPU."""
    sys.path.insert(0, str(gpu_checks.ROOT / "tests" / "training"))
    from test_recorded import launches_of_a_step

    print(f"\nlaunches in a step of lenet5, batch {BATCH}")
    options = {"without augmentation": {"rotate": 0.0, "shift": 0}, "with": {}, "erasing too": {"erase": 0.5}}
    for name, chosen in options.items():
        counted = launches_of_a_step(folder / "launches", **chosen)
        print(f"  {name:22} {len(counted.names):3}, that wait for the device: {len(counted.waits)}")


def layouts(folder: Path, device: str, count: int, batch: int, pairs: int) -> None:
    """Channels last against contiguous tensors: which is faster, and whether training takes that one by itself."""
    path = noise(folder, count, 32)
    for network in ("lenet5", "resnet18", "mobilenet_v2"):
        shape = (1, 32, 32) if network == "lenet5" else (3, 32, 32)
        images = noise(folder, count, 32, channels=1) if network == "lenet5" else path
        params = {} if network == "lenet5" else {"num_classes": 10}
        side = Side(
            "ours", network, str(images), count, input_shape=shape, params=params, device=device, batch=batch
        )  # fmt: skip
        sides = {
            "contiguous": replace(side, channels_last=False),
            "channels last": replace(side, channels_last=True),
            "measured": side,
        }
        show(f"{network} on {shape}, batch {batch}", rates(sides, pairs), "contiguous", {"measured": 1.0})


def noise(folder: Path, count: int, pixels: int, channels: int = 3) -> Path:
    """A file of noise with enough images to train on `count`."""
    path = folder / f"noise-{count}-{pixels}-{channels}.npz"
    images = count * 100 // 72 + 200
    shape = (images, pixels, pixels, channels) if channels > 1 else (images, pixels, pixels)
    x = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    np.savez(path, x=x, y=np.arange(images) % 10)
    return path


def to_99(folder: Path, data_dir: str, device: str, data: str, epochs: tuple[int, ...]) -> None:
    """The wall time of the shortest `cnnspec train lenet5` that reaches 99 % of the test images, as a process."""
    print(f"\nlenet5 on {data} to {GOAL:.0%} of the test images, wall time of the whole process")
    for count in epochs:
        command = [sys.executable, "-m", "cnnspec", "train", "lenet5", "--data", data, "--data-dir", data_dir]
        command += ["--device", device, "--epochs", str(count), "--runs", str(folder / f"runs-{count}")]
        started = time.perf_counter()
        done = subprocess.run([*command, "--format", "json"], capture_output=True, text=True, check=True)
        seconds = time.perf_counter() - started
        accuracy = json.loads(done.stdout)["test_accuracy"]
        print(f"  {count:2} epochs {seconds:7.2f} s  {accuracy:.2%}", flush=True)
        if accuracy >= GOAL:
            return
    print("  not reached")


def resnet18(folder: Path, device: str, count: int, batch: int, pairs: int) -> None:
    """ResNet-18 on noise of 32x32 pixels against a plain torch loop with the same tricks."""
    path = noise(folder, count, 32)
    shape, params = (3, 32, 32), {"num_classes": 10}
    for name, options in (("as they are", {"cuda_graph": False}), ("recorded", {})):
        plain = Side(
            "bare", "resnet18", str(path), count, input_shape=shape, params=params, device=device, batch=batch,
            channels_last=device != "cpu", options=options,
        )  # fmt: skip
        sides = {"a plain torch loop": plain, "ours": replace(plain, name="ours")}
        title = f"resnet18 on 3x32x32, batch {batch}, fp32, steps {name}"
        show(title, rates(sides, pairs), "a plain torch loop", {"ours": 0.97})
    last = device != "cpu"
    side = Side(
        "ours", "resnet18", str(path), count, input_shape=shape, params=params, device=device, batch=batch,
        channels_last=last, options={"precision": "bf16"},
    )  # fmt: skip
    sides = {"eager": side}
    if device != "cpu":
        sides |= {"compiled": replace(side, options={"precision": "bf16", "compile": True})}
    show(f"resnet18 on 3x32x32, batch {batch}, bf16", rates(sides, pairs), "eager", {"compiled": 1.2})


def main() -> None:
    parser = argparse.ArgumentParser(formatter_class=argparse.RawDescriptionHelpFormatter, description=__doc__)
    parser.add_argument("--data-dir", help="where MNIST lies; without it, what reads MNIST is left out")
    parser.add_argument("--all", action="store_true", help="the checks of gpu_checks.py too")
    parser.add_argument("--pairs", type=int, default=7)
    parser.add_argument("--smoke", action="store_true", help="tiny sizes on the CPU")
    arguments = parser.parse_args()
    if not arguments.smoke and not torch.cuda.is_available():
        print("no GPU: nothing measured")
        return
    device = "cpu" if arguments.smoke else "cuda"
    name = "the CPU, only to see that this runs" if arguments.smoke else torch.cuda.get_device_name()
    print(f"on {name}, torch {torch.__version__}")
    with tempfile.TemporaryDirectory() as text:
        folder, mnist = Path(text), arguments.data_dir
        launches(folder)
        if arguments.all:
            gpu_checks.doctor()
            if not arguments.smoke:
                gpu_checks.tests()
                gpu_checks.little_memory(str(noise(folder, 600, 224)))
                gpu_checks.two_cards()
            gpu_checks.deterministic(device)
            gpu_checks.precisions(device)
            gpu_checks.predictions(device)
            layouts(folder, device, *((64, 16, 1) if arguments.smoke else (12_800, 128, arguments.pairs)))
        if arguments.smoke:
            if mnist:
                small_networks(folder, mnist, device, count=512, pairs=1)
            to_99(folder, mnist or text, device, data="digits", epochs=(1,))
            resnet18(folder, device, count=64, batch=16, pairs=1)
        else:
            if mnist:
                small_networks(folder, mnist, device, count=38_400, pairs=arguments.pairs)
                to_99(folder, mnist, device, data="mnist", epochs=(1, 2, 3, 4, 5, 6, 8, 10, 15, 20))
            resnet18(folder, device, count=25_600, batch=256, pairs=arguments.pairs)


if __name__ == "__main__":
    main()
