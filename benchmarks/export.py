"""Exporting LeNet-5 and ResNet-50 as a process: `cnnspec export --no-verify` beside `torch.onnx.export`.

Both start from a file of weights and end with a checked ONNX file of a dynamic batch. The processes run in turns; the
best and the median of several are printed, by the clock and by processor time, and the ratio. Verification, which
imports torch, is timed apart.
Run: `python benchmarks/export.py`.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import cnnspec
from cnnspec.torch_backend import save_weights

ROUNDS = 3
WANTED = {"lenet5": 0.5, "resnet50": 2.0}

OURS = "import sys; from cnnspec.cli import main; main(sys.argv[1:])"
THEIRS = """
import sys, torch, cnnspec, onnx
from cnnspec.torch_backend import load_weights
name, weights, path = sys.argv[1:]
graph = cnnspec.load(name).graph
module = cnnspec.build(graph).eval()
load_weights(module, weights)
images = (torch.zeros(2, *graph.input_shape),)
shapes = ({0: torch.export.Dim("batch")},)
torch.onnx.export(module, images, path, dynamo=True, verbose=False, external_data=False, dynamic_shapes=shapes)
onnx.checker.check_model(path, full_check=True)
"""


def run(code: str, *arguments: str) -> tuple[float, float]:
    """Seconds by the clock, and of the processor: the latter hardly depends on what else the machine does."""
    start, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, env=dict(os.environ), check=False
    )
    if done.returncode:
        raise SystemExit(done.stderr.decode())
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.perf_counter() - start, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def shown(times: list[tuple[float, float]]) -> str:
    clock, processor = zip(*times, strict=True)
    return f"{min(clock):.2f} s (median {median(clock):.2f}, processor {min(processor):.2f})"


def main() -> None:
    with tempfile.TemporaryDirectory() as place:
        for name, wanted in WANTED.items():
            weights, ours, theirs = (str(Path(place) / f"{name}{end}") for end in (".safetensors", ".onnx", "-t.onnx"))
            save_weights(cnnspec.build(name), weights)
            plain = ["export", name, "--weights", weights, "-o", ours]
            mine, other = [], []
            for _ in range(ROUNDS):
                mine.append(run(OURS, *plain, "--no-verify"))
                other.append(run(THEIRS, name, weights, theirs))
            proof = run(OURS, *plain)
            ratios = [min(o[at] for o in other) / min(m[at] for m in mine) for at in (0, 1)]
            print(
                f"{name}: cnnspec {shown(mine)}, wanted {wanted} s; torch.onnx.export {shown(other)};"
                f" {ratios[0]:.1f} times as fast, by processor time {ratios[1]:.1f};"
                f" with verification {proof[0]:.2f} s (processor {proof[1]:.2f})"
            )


if __name__ == "__main__":
    main()
