"""What HTTP costs: predictions a second of `cnnspec serve` with 8 clients, beside the bare session.

    python benchmarks/serving.py [--seconds S] [--threads N] MODEL.onnx [MODEL.onnx …]

One image a request, 64 files a request as JSON, and 64 as an array. The bare session is a `Predictor` in this process:
it decodes the same PNGs, or takes the same arrays, 8 at a time where requests have one, and 64 where they have 64.
Clients are processes of their own, on loopback, each with one connection that is kept. They burn the same cores, and so
what the server's process took of the processor for an image is told beside the clock.
"""

from __future__ import annotations

import argparse
import base64
import http.client
import io
import json
import multiprocessing
import os
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from PIL import Image

from cnnspec import Predictor

CLIENTS: Final = 8
MANY: Final = 64  # images of a request that has several

parser = argparse.ArgumentParser()
parser.add_argument("models", nargs="+", type=Path)
parser.add_argument("--seconds", type=float, default=8.0)
parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
arguments = parser.parse_args()


@dataclass(frozen=True)
class Body:
    """What a request sends, of how many images, and the same for the bare session, as much as it runs at a time."""

    title: str
    kind: str
    sent: bytes
    count: int
    given: Any


@dataclass(frozen=True)
class Measured:
    """Images a second, and the seconds of the processor that each took in the process that runs the network."""

    rate: float
    cost: float


def bodies(shape: Sequence[int]) -> list[Body]:
    """Requests of images of the network's size."""
    channels, height, width = shape
    files, arrays = list[bytes](), []
    for seed in range(MANY):
        small = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), np.uint8)
        picture = Image.fromarray(small).resize((width, height)).convert("L" if channels == 1 else "RGB")
        file = io.BytesIO()
        picture.save(file, "PNG")
        files.append(file.getvalue())
        arrays.append(np.asarray(picture).reshape(height, width, channels))
    array = io.BytesIO()
    np.save(array, np.stack(arrays))
    listed = json.dumps({"images": [base64.b64encode(file).decode() for file in files]}).encode()
    return [
        Body("a PNG", "image/png", files[0], 1, files[:CLIENTS]),
        Body(f"{MANY} PNGs as JSON", "application/json", listed, MANY, files),
        Body(f"{MANY} as .npy", "application/x-npy", array.getvalue(), MANY, np.stack(arrays)),
    ]


def client(port: int, body: Body, seconds: float, out: Any) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port)
    end, times = time.perf_counter() + seconds, list[float]()
    while (began := time.perf_counter()) < end:
        connection.request("POST", "/v1/predict", body.sent, {"Content-Type": body.kind})
        response = connection.getresponse()
        response.read()
        assert response.status == 200
        times.append(time.perf_counter() - began)
    out.put(times)


def served(model: Path, body: Body) -> tuple[Measured, list[float], float]:
    """What is measured, the seconds of each request, and by how many MB the process grew."""
    command = [sys.executable, "-m", "cnnspec", "serve", "--predict", str(model), "--port", "0"]
    process = subprocess.Popen([*command, "--threads", str(arguments.threads)], stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    (port,) = re.findall(r":(\d+)$", process.stderr.readline().strip())
    context, out = multiprocessing.get_context("fork"), multiprocessing.get_context("fork").Queue()

    def run(seconds: float) -> list[float]:
        clients = [context.Process(target=client, args=(int(port), body, seconds, out)) for _ in range(CLIENTS)]
        for each in clients:
            each.start()
        times = [time for _ in clients for time in out.get()]
        for each in clients:
            each.join()
        return times

    run(1.0)
    before, spent = resident(process.pid), processor(process.pid)
    times = run(arguments.seconds)
    grown, spent = resident(process.pid) - before, processor(process.pid) - spent
    process.terminate()
    process.wait()
    images = len(times) * body.count
    return Measured(images / arguments.seconds, spent / images), times, grown / 1e6


def resident(pid: int) -> float:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def processor(pid: int) -> float:
    """Seconds of the processor that a process has taken."""
    figures = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(figures[11]) + int(figures[12])) / os.sysconf("SC_CLK_TCK")


def bare(model: Path, body: Body) -> Measured:
    predictor = Predictor(model, device="cpu", threads=arguments.threads, batch_size=len(body.given), spin=False)
    predictor(body.given)
    count, end, spent = 0, time.perf_counter() + arguments.seconds, time.process_time()
    while time.perf_counter() < end:
        predictor(body.given)
        count += len(body.given)
    return Measured(count / arguments.seconds, (time.process_time() - spent) / count)


HEADS = (
    f"network, {CLIENTS} clients", "a request", "served, images/s", "bare", "ratio", "served, µs of processor", "bare",
    "ratio", "median", "p99", "memory grew",
)  # fmt: skip
print(f"| {' | '.join(HEADS)} |")
print(f"|---|---|{'--:|' * (len(HEADS) - 2)}")
for model in arguments.models:
    for body in bodies(Predictor(model, device="cpu").metadata.input_shape):
        over, times, grown = served(model, body)
        alone = bare(model, body)
        median, p99 = statistics.median(times), statistics.quantiles(times, n=100)[98]
        print(
            f"| {model.stem} | {body.title} | {over.rate:,.0f} | {alone.rate:,.0f} | {over.rate / alone.rate:.2f}"
            f" | {1e6 * over.cost:,.0f} | {1e6 * alone.cost:,.0f} | {alone.cost / over.cost:.2f}"
            f" | {1e3 * median:.1f} ms | {1e3 * p99:.1f} ms | {grown:.1f} MB |",
            flush=True,
        )
