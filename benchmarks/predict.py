"""Predicting 10,000 MNIST images from PNG files: `Predictor` beside a bare script, and single images.

Both sides decode with Pillow, normalise with numpy and run the same file in onnxruntime, with the same batch and the
same threads, in turns in one process. Prints images per second and the ratio; then the latency of one image in a warm
`Predictor` beside decoding and a bare `session.run`; then `cnnspec predict` as a process.

Run: `python benchmarks/predict.py [FOLDER]`, where FOLDER holds MNIST's `t10k-images-idx3-ubyte.gz` (without it,
noise of the same size is used).
"""

from __future__ import annotations

import gzip
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import onnxruntime
from PIL import Image

import cnnspec

COUNT = 10_000
BATCH = 64
THREADS = 1
ROUNDS = 5
MEAN, STD = 0.1307, 0.3081


def write_images(folder: Path, source: Path | None) -> list[str]:
    """MNIST's test images as PNG files."""
    if source is not None:
        data = gzip.decompress((source / "t10k-images-idx3-ubyte.gz").read_bytes())
        pixels = np.frombuffer(data, np.uint8, offset=16).reshape(-1, 28, 28)
    else:
        pixels = np.random.default_rng(0).integers(0, 256, (COUNT, 28, 28), np.uint8)
    paths = []
    for i, image in enumerate(pixels[:COUNT]):
        paths.append(str(folder / f"{i:05}.png"))
        Image.fromarray(image).save(paths[-1])
    return paths


def bare_session(model: str) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = THREADS
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def bare(session: Any, paths: list[str]) -> list[int]:
    """What a person would write."""
    found: list[int] = []
    for start in range(0, len(paths), BATCH):
        images = []
        for path in paths[start : start + BATCH]:
            with Image.open(path) as image:
                images.append(np.asarray(image.convert("L").resize((28, 28), Image.Resampling.BILINEAR)))
        batch = (np.stack(images)[:, None].astype(np.float32) / 255 - MEAN) / STD
        (scores,) = session.run(None, {"input": batch.astype(np.float32)})
        found.extend(scores.argmax(1).tolist())
    return found


def seconds(work: Any, *arguments: Any) -> tuple[float, Any]:
    start = time.perf_counter()
    result = work(*arguments)
    return time.perf_counter() - start, result


def main() -> None:
    source = Path(sys.argv[1]) if len(sys.argv) > 1 else None
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "images"
        folder.mkdir()
        paths = write_images(folder, source)
        model = cnnspec.export("lenet5", Path(place) / "lenet5.onnx", verify=False).path
        session = bare_session(model)
        predictor = cnnspec.Predictor(model, device="cpu", threads=THREADS, batch_size=BATCH)
        ours: list[float] = []
        theirs: list[float] = []
        for _ in range(ROUNDS):
            took, wanted = seconds(bare, session, paths)
            theirs.append(took)
            took, got = seconds(lambda: [prediction.top(1)[0].index for prediction in predictor.stream(paths)])
            ours.append(took)
            assert got == wanted
        images = len(paths)
        ratios = [theirs[i] / ours[i] for i in range(ROUNDS)]
        print(f"{images:,} images, batch {BATCH}, {THREADS} thread, best of {ROUNDS} rounds in turns")
        print(f"  bare script  {images / min(theirs):8,.0f} images/s")
        print(
            f"  Predictor    {images / min(ours):8,.0f} images/s, ratio {min(theirs) / min(ours):.2f}"
            f" (each round: {', '.join(f'{ratio:.2f}' for ratio in ratios)}; wanted 0.9)"
        )
        latency(session, predictor, paths[:500])
        process(model, paths[0])


def latency(session: Any, predictor: Any, paths: list[str]) -> None:
    """One image at a time."""
    ours, theirs = [], []
    for path in paths:
        theirs.append(seconds(bare, session, [path])[0] * 1e6)
        ours.append(seconds(predictor, path)[0] * 1e6)
    a, b = median(theirs), median(ours)
    print(
        f"one image, warm: bare {a:.0f} µs, Predictor {b:.0f} µs: {b - a:+.0f} µs, ratio {b / a:.2f}"
        " (wanted: at most 1.15 times, or 50 µs more)"
    )


def process(model: str, image: str) -> None:
    """`cnnspec predict` from start to end."""
    code = "import sys; from cnnspec.cli import main; main(sys.argv[1:])"
    command = [sys.executable, "-c", code, "predict", model, image, "--device", "cpu"]
    times, work = [], []
    for _ in range(10):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        took, _ = seconds(lambda: subprocess.run(command, check=True, capture_output=True, env=dict(os.environ)))
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        times.append(took)
        work.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    print(
        f"`cnnspec predict` as a process: {min(times):.2f} s at best, {median(times):.2f} s in the median,"
        f" {min(work):.2f} s of the processor (wanted 0.5)"
    )


if __name__ == "__main__":
    main()
