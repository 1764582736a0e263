"""Compares two runs bit for bit."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from cnnspec.training.checkpoint import load_checkpoint

TIMES = ("seconds", "images_per_second")  # the only figures that may differ


def plain(value: Any) -> Any:
    """The value as nested lists, with tensors as bytes and without times."""
    if isinstance(value, torch.Tensor):
        return [str(value.dtype), list(value.shape), value.contiguous().view(-1).view(torch.uint8).tolist()]
    if isinstance(value, dict):
        return {str(key): plain(inner) for key, inner in value.items() if key not in TIMES}
    if isinstance(value, (list, tuple)):
        return [plain(inner) for inner in value]
    return value


def final_state(folder: Path, load: Callable[..., dict[str, Any] | None] = load_checkpoint) -> Any:
    """Everything in the last checkpoint of a run, and the files that it published."""
    state = load(folder / "checkpoints", print)
    assert state is not None
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    result = json.loads((folder / "result.json").read_text()) | {"run": ""}
    published = [(folder / name).read_bytes() for name in ("best.safetensors", "last.safetensors")]
    return plain([state, lines, result]), published
