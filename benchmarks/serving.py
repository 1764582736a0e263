"""What HTTP costs: predictions a second of `cnnspec serve` with 8 clients, beside the bare session.

    python benchmarks/serving.py [--seconds S] MODEL.onnx [MODEL.onnx …]

The bare session decodes the same PNGs with Pillow and runs them in batches of 8 in one thread, with as many threads of
onnxruntime. Clients are processes of their own, on loopback, each with one connection that is kept.
"""

from __future__ import annotations

import argparse
import http.client
import io
import multiprocessing
import os
import re
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from cnnspec import Predictor

CLIENTS = 8

parser = argparse.ArgumentParser()
parser.add_argument("models", nargs="+", type=Path)
parser.add_argument("--seconds", type=float, default=8.0)
parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
arguments = parser.parse_args()


def images(shape: tuple[int, ...]) -> list[bytes]:
    """PNGs of the network's size."""
    channels, height, width = shape
    found = []
    for seed in range(64):
        small = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), np.uint8)
        picture = Image.fromarray(small).resize((width, height)).convert("L" if channels == 1 else "RGB")
        file = io.BytesIO()
        picture.save(file, "PNG")
        found.append(file.getvalue())
    return found


def client(port: int, pictures: list[bytes], seconds: float, out: Any) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port)
    end, times = time.perf_counter() + seconds, list[float]()
    while (began := time.perf_counter()) < end:
        connection.request("POST", "/v1/predict", pictures[len(times) % len(pictures)])
        response = connection.getresponse()
        response.read()
        assert response.status == 200
        times.append(time.perf_counter() - began)
    out.put(times)


def served(model: Path, pictures: list[bytes]) -> tuple[float, list[float], float]:
    """Predictions a second, the seconds of each, and by how many MB the process grew."""
    command = [sys.executable, "-m", "cnnspec", "serve", "--predict", str(model), "--port", "0"]
    process = subprocess.Popen([*command, "--threads", str(arguments.threads)], stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    (port,) = re.findall(r":(\d+)$", process.stderr.readline().strip())
    context, out = multiprocessing.get_context("fork"), multiprocessing.get_context("fork").Queue()

    def run(seconds: float) -> list[float]:
        clients = [context.Process(target=client, args=(int(port), pictures, seconds, out)) for _ in range(CLIENTS)]
        for each in clients:
            each.start()
        times = [time for _ in clients for time in out.get()]
        for each in clients:
            each.join()
        return times

    run(1.0)
    before = resident(process.pid)
    times = run(arguments.seconds)
    grown = resident(process.pid) - before
    process.terminate()
    process.wait()
    return len(times) / arguments.seconds, times, grown / 1e6


def resident(pid: int) -> float:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def bare(model: Path, pictures: list[bytes]) -> float:
    predictor = Predictor(model, device="cpu", threads=arguments.threads, batch_size=CLIENTS)
    predictor(pictures[:CLIENTS])
    count, end = 0, time.perf_counter() + arguments.seconds
    while time.perf_counter() < end:
        predictor(pictures[count % 56 : count % 56 + CLIENTS])
        count += CLIENTS
    return count / arguments.seconds


print(f"| network, {CLIENTS} clients | served, images/s | bare session | ratio | median | p99 | memory grew |")
print("|---|--:|--:|--:|--:|--:|--:|")
for model in arguments.models:
    pictures = images(Predictor(model, device="cpu").metadata.input_shape)
    rate, times, grown = served(model, pictures)
    alone = bare(model, pictures)
    median, p99 = statistics.median(times), statistics.quantiles(times, n=100)[98]
    print(
        f"| {model.stem} | {rate:,.0f} | {alone:,.0f} | {rate / alone:.2f} | {1e3 * median:.1f} ms"
        f" | {1e3 * p99:.1f} ms | {grown:.1f} MB |",
        flush=True,
    )
