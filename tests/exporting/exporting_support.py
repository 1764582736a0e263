"""Networks and helpers that the export tests share."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import onnxruntime
import torch

onnxruntime.set_default_logger_severity(4)
torch.set_num_threads(1)

RESIDUAL = """
cnnspec: 1
name: residual
input: {shape: [3, 20, 20], mean: [0.5, 0.4, 0.3], std: [0.2, 0.3, 0.4]}
blocks:
  Basic:
    params: {out: int, stride: 1}
    layers:
      conv1: Conv2d(out, 3, stride=stride, padding=1, bias=False)
      bn1: BatchNorm2d
      relu: ReLU
      conv2: Conv2d(out, 3, padding=1, bias=False)
      bn2: BatchNorm2d
      skip: Conv2d(out, 1, stride=stride, bias=False)(input) if stride != 1
      add: Add(bn2, skip)
layers:
  stem: Conv2d(8, 3, padding=1)
  pool: MaxPool2d(3, stride=2, ceil_mode=True)
  stage1: Basic(8)
  stage2: Basic(16, stride=2)
  avgpool: AdaptiveAvgPool2d(1)
  flatten: Flatten
  fc: Linear(7)
"""


def write(folder: Path, text: str, name: str = "net.yaml") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def python(code: str, *arguments: str, cache: Path) -> subprocess.CompletedProcess[str]:
    """Run code in a process of its own."""
    environment = {**os.environ, "CNNSPEC_CACHE": str(cache), "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, env=environment, check=False
    )
