"""The output sizes of torch's own layers."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn


def torch_size(op: str, size: tuple[int, ...], arguments: dict[str, Any]) -> tuple[int, ...] | None:
    """What torch gives for this size; None where it refuses."""
    fixed: tuple[Any, ...] = (1, 1) if op.startswith("Conv") else (2.0,) if op.startswith("LP") else ()
    if op.endswith("1d"):  # LPPool1d wants plain numbers
        arguments = {name: value[0] if isinstance(value, tuple) else value for name, value in arguments.items()}
    try:
        module = getattr(nn, op)(*fixed, **arguments)
        with torch.no_grad():
            out = module(torch.ones(1, 1, *size))
    except (RuntimeError, ValueError):
        return None
    return tuple(out.shape[2:]) if min(out.shape) else None
