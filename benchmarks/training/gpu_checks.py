"""What `gpu.py --all` runs besides the figures of speed. Each prints what it found; none ends the rest."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch

ROOT = Path(__file__).resolve().parents[2]
CNNSPEC = [sys.executable, "-m", "cnnspec"]


def ran(command: list[str], *, seconds: float = 3600) -> subprocess.CompletedProcess[str]:
    """The command's end, with what it said; it is killed after so many seconds."""
    try:
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=seconds, cwd=ROOT)
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(command, -1, "", f"no end within {seconds:.0f} seconds")


def last(done: subprocess.CompletedProcess[str], lines: int = 3) -> str:
    return "\n".join("  " + line for line in (done.stdout + done.stderr).strip().splitlines()[-lines:])


def doctor() -> None:
    print(f"\ncnnspec doctor\n{last(ran([*CNNSPEC, 'doctor']), 99)}", flush=True)


def tests() -> None:
    """Recorded steps against plain ones: on the GPU, and emulated in every combination of options."""
    files = ["tests/training/test_graphed.py", "tests/training/test_recorded.py", "tests/training/test_learner.py"]
    print(f"\nrecorded steps against plain ones\n{last(ran([sys.executable, '-m', 'pytest', *files]))}", flush=True)


def train(device: str, folder: Path, name: str, *options: str) -> dict[str, float | str]:
    """What `cnnspec train lenet5` on the digits comes to, or what it says instead."""
    command = [*CNNSPEC, "train", "lenet5", "--data", "digits", "--device", device, "--format", "json"]
    done = ran([*command, "--runs", str(folder), "--name", name, *options])
    return json.loads(done.stdout) if done.returncode == 0 else {"error": last(done)}


def digest(run: Path) -> str:
    return hashlib.sha256((run / "last.safetensors").read_bytes()).hexdigest()[:16]


def deterministic(device: str) -> None:
    """A whole run, and one that SIGINT stops after two epochs and that goes on: the same weights to the bit."""
    print("\n--deterministic, a whole run and one with an interruption")
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        options = ["--deterministic", "--epochs", "8", "--threads", "1", "--no-channels-last"]  # none is measured
        train(device, folder, "whole", *options)
        command = [*CNNSPEC, "train", "lenet5", "--data", "digits", "--device", device, "--runs", str(folder)]
        cut = folder / "cut"
        with subprocess.Popen([*command, "--name", "cut", *options], cwd=ROOT, stderr=subprocess.DEVNULL) as process:
            metrics = cut / "metrics.jsonl"
            while process.poll() is None and (not metrics.exists() or len(metrics.read_text().splitlines()) < 2):
                time.sleep(0.02)
            if process.poll() is None:
                process.send_signal(signal.SIGINT)
        ran([*CNNSPEC, "train", "--resume", str(cut)])
        found = [digest(run) for run in (folder / "whole", cut)]
        print(f"  {found[0]} {found[1]} {'equal' if found[0] == found[1] else 'NOT EQUAL'}", flush=True)


def precisions(device: str) -> None:
    """Each against fp32 without TF32: wanted is the same accuracy within a point."""
    print("\nprecision, test accuracy of lenet5 on the digits")
    options = {"fp32": ("--no-tf32",), "tf32": (), "bf16": ("--precision", "bf16"), "fp16": ("--precision", "fp16")}
    with tempfile.TemporaryDirectory() as folder:
        for name, flags in options.items():
            found = train(device, Path(folder), name, "--epochs", "20", *flags)
            print(f"  {name}  {found.get('test_accuracy', found.get('error'))}", flush=True)


LITTLE = """
import sys, torch, cnnspec
torch.cuda.set_per_process_memory_fraction(8e9 / torch.cuda.get_device_properties(0).total_memory)
try:
    run = cnnspec.api.train(
        cnnspec.load("vgg11", params={"num_classes": 10}, input_shape=(3, 224, 224)), data=sys.argv[1], epochs=1,
        batch_size=int(sys.argv[2]), runs=sys.argv[3], device="cuda", progress=None,
    )
    print("trained", run.test_accuracy)
except cnnspec.errors.CnnspecError as error:
    print(error.message, "/", error.hint)
"""


def little_memory(images: str) -> None:
    """vgg11 on 8 GB: a batch that fits, one that fits without a recording, and one that does not fit at all."""
    print("\nvgg11 with 8 GB of memory")
    for batch in (16, 48, 64, 256):
        with tempfile.TemporaryDirectory() as folder:
            done = ran([sys.executable, "-c", LITTLE, images, str(batch), folder])
        print(f"  batch {batch}: {last(done, 2).strip()}", flush=True)


def two_cards() -> None:
    """Two processes, of which one is killed: torchrun starts both again, and the run goes on."""
    print("\ntwo cards and a killed process")
    if torch.cuda.device_count() < 2:
        print(f"  there are {torch.cuda.device_count()}")
        return
    with tempfile.TemporaryDirectory() as folder:
        start = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
        start += ["--max-restarts=1", "-m", "cnnspec", "train", "lenet5", "--data", "digits", "--device", "cuda"]
        start += ["--batch-size", "64", "--epochs", "200", "--checkpoint-every", "0.5", "--runs", folder, "--name", "a"]
        with subprocess.Popen(start, cwd=ROOT, stderr=subprocess.PIPE, text=True) as process:
            metrics = Path(folder) / "a" / "metrics.jsonl"
            while process.poll() is None and not metrics.exists():
                time.sleep(0.1)
            children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
            if children:
                os.kill(int(children[-1]), signal.SIGKILL)
            assert process.stderr is not None
            said = process.stderr.read()
        print(f"  ended with {process.returncode}; continued: {'continuing after' in said}", flush=True)


def predictions(device: str) -> None:
    """`predict` on every provider, each twice: TensorRT's second start is wanted in a hundredth of the first's time."""
    print("\npredict, first and second start")
    devices = ("cpu",) if device == "cpu" else ("cpu", "cuda", "tensorrt")
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        ran([*CNNSPEC, "export", "lenet5", "-o", str(folder / "a.onnx")])
        from PIL import Image

        Image.new("L", (28, 28), 255).save(folder / "a.png")
        for name in devices:
            seconds = []
            for _ in range(2):
                started = time.perf_counter()
                done = ran([*CNNSPEC, "predict", str(folder / "a.onnx"), str(folder / "a.png"), "--device", name])
                seconds.append(time.perf_counter() - started)
            end = "" if done.returncode == 0 else last(done, 1)
            print(f"  {name:9} {seconds[0]:7.2f} s {seconds[1]:7.2f} s{end}", flush=True)
