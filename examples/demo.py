"""The whole way with LeNet-5 on real handwritten digits: inspect, train, export, predict. `make demo` runs it."""

from __future__ import annotations

import shlex
import subprocess
import sys
import time
from pathlib import Path

CNNSPEC = Path(sys.executable).with_name("cnnspec")
IMAGES = Path("exports/digits")


def run(*arguments: str) -> None:
    """Show a command, run it, and stop with its exit code where it fails."""
    print(f"\n$ cnnspec {shlex.join(arguments)}", flush=True)
    code = subprocess.run([str(CNNSPEC), *arguments], check=False).returncode
    if code:
        sys.exit(code)


def write_digits() -> list[str]:
    """One held-out digit of each class as a PNG: images that training never saw."""
    from PIL import Image

    import cnnspec
    from cnnspec.data.open import OpenOptions, open_data
    from cnnspec.data.sets import Images

    test = open_data("digits", cnnspec.load("lenet5").graph, OpenOptions(folder=Path("unused"))).test
    assert isinstance(test, Images)
    IMAGES.mkdir(parents=True, exist_ok=True)
    paths = []
    for digit in range(10):
        row = int((test.targets == digit).nonzero()[0])
        path = IMAGES / f"{digit}.png"
        Image.fromarray(test.images[row, 0].numpy()).save(path)
        paths.append(str(path))
    return paths


started = time.perf_counter()
run("inspect", "lenet5")
run("train", "lenet5", "--data", "digits", "--name", "demo", "--overwrite")
run("export", "runs/demo", "-o", "exports/lenet5.onnx")
run("predict", "exports/lenet5.onnx", *write_digits())
print(f"\ndone in {time.perf_counter() - started:.0f} s; the run is in runs/demo, with its curves as curves.png")
