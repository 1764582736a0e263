"""What it takes to bring a network of somebody else's: whole processes, with all proofs, against importing libraries.

`import timm:resnet50` is held against `import torch, timm`, and `inspect resnet50.onnx`, which needs no torch, against
0.6 s. Runs are interleaved, medians are quoted, ratios are taken pair by pair, as `inspect_verb.py` does.

    python benchmarks/import_verb.py [--rounds 5]
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from foreign_models import made
from inspect_verb import interleaved, table


def main() -> None:
    """Two tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    cnnspec = str(Path(sys.executable).with_name("cnnspec"))
    with tempfile.TemporaryDirectory() as folder:
        spec = str(Path(folder, "net.yaml"))
        commands = {
            "libraries": [sys.executable, "-c", "import torch, timm"],
            "timm": [cnnspec, "import", "timm:resnet50", "-o", spec, "--force"],
            "torchvision": [cnnspec, "import", "torchvision:resnet50", "-o", spec, "--force"],
        }
        table(interleaved(commands, rounds), "libraries")
        print()
        onnx = made("onnx-legacy:resnet50", Path(folder))
        commands = {
            "libraries": [sys.executable, "-c", "import typer, yaml, onnx; from pydantic import BaseModel"],
            "inspect": [cnnspec, "inspect", onnx],
            "import": [cnnspec, "import", onnx, "-o", spec, "--force"],
        }
        table(interleaved(commands, rounds), "libraries")


if __name__ == "__main__":
    main()
