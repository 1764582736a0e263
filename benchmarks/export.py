"""Exporting LeNet-5 and ResNet-50 as a process: `cnnspec export --no-verify` beside `torch.onnx.export`.

Both start from a file of weights and end with a checked ONNX file of a dynamic batch. The processes run in pairs, each
side first in every other pair; medians are quoted, by the clock and by processor time, and the ratio is the median of
the pairs. Verification, which imports torch, is timed apart.

    python benchmarks/export.py [--pairs 7] [NAME …]
"""

from __future__ import annotations

import argparse
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

WANTED = {"lenet5": 0.5, "resnet50": 2.0}
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
# An installed package has its modules compiled; where that is switched off, every process would compile them again.
ENVIRONMENT = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}

Times = list[tuple[float, float]]


def run(*arguments: str) -> tuple[float, float]:
    """Seconds by the clock, and of the processor: the latter hardly depends on what else the machine does."""
    start, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run([sys.executable, *arguments], capture_output=True, env=ENVIRONMENT, check=False)
    if done.returncode:
        raise SystemExit(done.stderr.decode())
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.perf_counter() - start, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def shown(times: Times) -> str:
    clock, processor = zip(*times, strict=True)
    return f"{median(clock):.2f} s ({min(clock):.2f} to {max(clock):.2f}), processor {median(processor):.2f} s"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", default=list(WANTED), metavar="NAME", help="lenet5 and resnet50 by default")
    parser.add_argument("--pairs", type=int, default=7)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        for name in chosen.names:
            weights, ours, theirs = (str(Path(place) / f"{name}{end}") for end in (".safetensors", ".onnx", "-t.onnx"))
            save_weights(cnnspec.build(name), weights)
            plain = ["-m", "cnnspec", "export", name, "--weights", weights, "-o", ours]
            sides = {"cnnspec": [*plain, "--no-verify"], "torch.onnx.export": ["-c", THEIRS, name, weights, theirs]}
            times: dict[str, Times] = {side: [] for side in sides}
            for arguments in sides.values():
                run(*arguments)  # the disk's cache, and the compiled modules
            for pair in range(chosen.pairs):
                for side in sorted(sides, reverse=pair % 2 == 1):
                    times[side].append(run(*sides[side]))
            proof = [run(*plain) for _ in range(min(3, chosen.pairs))]
            pairs = list(zip(times["cnnspec"], times["torch.onnx.export"], strict=True))
            clock, processor = (median(other[at] / own[at] for own, other in pairs) for at in (0, 1))
            print(f"{name}, {chosen.pairs} pairs")
            for side, measured in times.items():
                print(f"  {side:<18} {shown(measured)}")
            print(f"  with verification  {shown(proof)}")
            print(f"  torch.onnx.export takes {clock:.1f} times as long, {processor:.1f} times the processor's seconds")
            if name in WANTED:
                print(f"  wanted: cnnspec in {WANTED[name]} s by the clock")


if __name__ == "__main__":
    main()
