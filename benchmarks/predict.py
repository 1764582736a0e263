"""Predicting 10,000 MNIST images from PNG files: `Predictor` beside a bare script, and single images.

Both sides decode with Pillow, normalise with numpy and run the same file in onnxruntime, with the same batch and the
same threads, in pairs in one process, each side first in every other pair. Prints images per second and the median
ratio of the pairs; then the latency of one image in a warm `Predictor` beside decoding and a bare `session.run`; then
`cnnspec predict` as a process beside the bare script as one.

    python benchmarks/predict.py [--pairs 7] [FOLDER]
    python benchmarks/predict.py --cores [--pairs 5] [--photos 400] [--images 4000]

With `--cores` both sides may use all cores: photographs of 256 to 1,000 pixels for a small network of 3x128x128,
then small PNGs. `Predictor` is beside the bare script in one process, then `cnnspec predict FOLDER` beside it, each as
a process.

FOLDER holds MNIST's `t10k-images-idx3-ubyte.gz`; without it, noise of the same size is used.
"""

from __future__ import annotations

import argparse
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
MEAN, STD = 0.1307, 0.3081
# An installed package has its modules compiled; where that is switched off, every process would compile them again.
ENVIRONMENT = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
PHOTOS = """
cnnspec: 1
name: photos
input: {shape: [3, 128, 128], mean: [0.1307, 0.1307, 0.1307], std: [0.3081, 0.3081, 0.3081]}
layers:
  - Conv2d(16, 5, stride=4)
  - ReLU
  - Conv2d(32, 3, stride=2)
  - ReLU
  - AdaptiveAvgPool2d(1)
  - Flatten
  - Linear(4)
"""
BARE = """
import sys
import numpy as np, onnxruntime
from PIL import Image
session = onnxruntime.InferenceSession(sys.argv[1], providers=["CPUExecutionProvider"])
with Image.open(sys.argv[2]) as image:
    pixels = np.asarray(image.convert("L").resize((28, 28), Image.Resampling.BILINEAR))
batch = (pixels[None, None].astype(np.float32) / 255 - 0.1307) / 0.3081
(scores,) = session.run(None, {"input": batch.astype(np.float32)})
print(scores.argmax(1))
"""
BARE_FOLDER = """
import os, sys
import numpy as np, onnxruntime
from PIL import Image
session = onnxruntime.InferenceSession(sys.argv[1], providers=["CPUExecutionProvider"])
_, channels, height, width = session.get_inputs()[0].shape
paths = sorted(os.path.join(sys.argv[2], name) for name in os.listdir(sys.argv[2]))
for start in range(0, len(paths), 64):
    images = []
    for path in paths[start : start + 64]:
        with Image.open(path) as image:
            plain = image.convert("L" if channels == 1 else "RGB")
            images.append(np.asarray(plain.resize((width, height), Image.Resampling.BILINEAR)))
    pixels = np.stack(images).reshape(len(images), height, width, channels).transpose(0, 3, 1, 2)
    batch = (pixels.astype(np.float32) / 255 - 0.1307) / 0.3081
    (scores,) = session.run(None, {"input": batch.astype(np.float32)})
    for path, best in zip(paths[start : start + 64], scores.argmax(1).tolist()):
        print(path, best)
"""


def write_images(folder: Path, source: Path | None, count: int = COUNT) -> list[str]:
    """MNIST's test images as PNG files."""
    if source is not None:
        data = gzip.decompress((source / "t10k-images-idx3-ubyte.gz").read_bytes())
        pixels = np.frombuffer(data, np.uint8, offset=16).reshape(-1, 28, 28)
    else:
        pixels = np.random.default_rng(0).integers(0, 256, (COUNT, 28, 28), np.uint8)
    paths = []
    for i, image in enumerate(pixels[:count]):
        paths.append(str(folder / f"{i:05}.png"))
        Image.fromarray(image).save(paths[-1])
    return paths


def bare_session(model: str, threads: int = THREADS) -> Any:
    """A session of so many threads, 0 for all cores."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def bare(session: Any, paths: list[str]) -> list[int]:
    """What a person would write."""
    found: list[int] = []
    _, channels, height, width = session.get_inputs()[0].shape
    for start in range(0, len(paths), BATCH):
        images = []
        for path in paths[start : start + BATCH]:
            with Image.open(path) as image:
                plain = image.convert("L" if channels == 1 else "RGB")
                images.append(np.asarray(plain.resize((width, height), Image.Resampling.BILINEAR)))
        pixels = np.stack(images).reshape(len(images), height, width, channels).transpose(0, 3, 1, 2)
        batch = (pixels.astype(np.float32) / 255 - MEAN) / STD
        (scores,) = session.run(None, {"input": batch.astype(np.float32)})
        found.extend(scores.argmax(1).tolist())
    return found


def seconds(work: Any, *arguments: Any) -> tuple[float, Any]:
    start = time.perf_counter()
    result = work(*arguments)
    return time.perf_counter() - start, result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path, metavar="FOLDER")
    parser.add_argument("--pairs", type=int, default=7)
    parser.add_argument("--cores", action="store_true")
    parser.add_argument("--photos", type=int, default=400)
    parser.add_argument("--images", type=int, default=COUNT)
    chosen = parser.parse_args()
    if chosen.cores:
        with tempfile.TemporaryDirectory() as place:
            on_all_cores(Path(place), chosen.photos, chosen.images, chosen.pairs)
        return
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "images"
        folder.mkdir()
        paths = write_images(folder, chosen.folder)
        model = cnnspec.export("lenet5", Path(place) / "lenet5.onnx", verify=False).path
        session = bare_session(model)
        predictor = cnnspec.Predictor(model, device="cpu", threads=THREADS, batch_size=BATCH)
        throughput(session, predictor, paths, chosen.pairs, f"{THREADS} thread", wanted=0.9)
        latency(session, predictor, paths[:500])
        print("one image as a process (wanted: cnnspec in 0.5 s)")
        processes(model, paths[0], BARE, chosen.pairs)


def on_all_cores(place: Path, photos: int, images: int, pairs: int) -> None:
    """Photographs and small images, with a session of all cores on both sides."""
    rng = np.random.default_rng(0)
    for name in ("photos", "images"):
        (place / name).mkdir()
    pictures = []
    for at in range(photos):
        width, height = rng.integers(256, 1001, 2).tolist()
        smooth = Image.fromarray(rng.integers(0, 256, (9, 9, 3), np.uint8)).resize((width, height))
        noisy = np.asarray(smooth) + rng.normal(0, 6, (height, width, 1))
        pictures.append(str(place / "photos" / f"{at:05}.jpg"))
        Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(pictures[-1], quality=90)
    spec = cnnspec.loads(PHOTOS)
    for model, paths, what in (
        (spec, pictures, "photographs"),
        (cnnspec.load("lenet5"), write_images(place / "images", None, images), "small PNGs"),
    ):
        file = cnnspec.export(model, place / f"{model.graph.name}.onnx", verify=False).path
        predictor = cnnspec.Predictor(file, device="cpu", batch_size=BATCH)
        print(what)
        throughput(bare_session(file, 0), predictor, paths, pairs, f"{os.cpu_count()} cores", wanted=1.6)
        print(f"{len(paths):,} images as a process (wanted: the bare script 1.6 times as long)")
        processes(file, str(Path(paths[0]).parent), BARE_FOLDER, pairs)


def throughput(session: Any, predictor: Any, paths: list[str], pairs: int, threads: str, wanted: float) -> None:
    """All images, in batches."""
    sides = {
        "bare script": lambda: bare(session, paths),
        "Predictor": lambda: [prediction.top(1)[0].index for prediction in predictor.stream(paths)],
    }
    times: dict[str, list[tuple[float, float]]] = {side: [] for side in sides}
    for pair in range(pairs):
        answers = []
        for side in sorted(sides, reverse=pair % 2 == 1):
            before = time.process_time()
            took, answer = seconds(sides[side])
            times[side].append((took, time.process_time() - before))
            answers.append(answer)
        assert answers[0] == answers[1]
    print(f"{len(paths):,} images, batch {BATCH}, {threads}, {pairs} pairs")
    for side, measured in times.items():
        clock, processor = zip(*measured, strict=True)
        print(
            f"  {side:<12} {len(paths) / median(clock):8,.0f} images/s (at best {len(paths) / min(clock):,.0f}),"
            f" {len(paths) / median(processor):,.0f} for each second of the processor"
        )
    for at, name in enumerate(("by the clock", "by processor time")):
        ratios = sorted(theirs[at] / ours[at] for theirs, ours in zip(*times.values(), strict=True))
        print(f"  ratio {name} {median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f}; wanted {wanted})")


def latency(session: Any, predictor: Any, paths: list[str]) -> None:
    """One image at a time."""
    ours, theirs = [], []
    for path in paths:
        theirs.append(seconds(bare, session, [path])[0] * 1e6)
        ours.append(seconds(predictor, path)[0] * 1e6)
    a, b = median(theirs), median(ours)
    print(
        f"one image, warm, {len(paths)} pairs: bare {a:.0f} µs, Predictor {b:.0f} µs: {b - a:+.0f} µs,"
        f" ratio {b / a:.2f} (wanted: at most 1.15 times, or 50 µs more)"
    )


def processes(model: str, given: str, script: str, pairs: int) -> None:
    """An image or a folder of images, from the start of a process to its end."""
    sides = {
        "bare script": ["-c", script, model, given],
        "cnnspec predict": ["-m", "cnnspec", "predict", model, given, "--device", "cpu"],
    }
    times: dict[str, list[float]] = {side: [] for side in sides}
    work: dict[str, list[float]] = {side: [] for side in sides}
    for pair in range(-1, pairs):  # the first is for the disk's cache and the compiled modules
        for side in sorted(sides, reverse=pair % 2 == 1):
            command = [sys.executable, *sides[side]]
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            took, _ = seconds(lambda c=command: subprocess.run(c, check=True, capture_output=True, env=ENVIRONMENT))
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            if pair >= 0:
                times[side].append(took)
                work[side].append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    for side, measured in times.items():
        print(
            f"  {side:<16} {median(measured):.2f} s ({min(measured):.2f} to {max(measured):.2f}),"
            f" processor {median(work[side]):.2f} s"
        )
    for name, taken in (("by the clock", times), ("by processor time", work)):
        ratios = sorted(theirs / ours for theirs, ours in zip(*taken.values(), strict=True))
        print(f"  ratio {name} {median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})")


if __name__ == "__main__":
    main()
