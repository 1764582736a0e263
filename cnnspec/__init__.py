"""Convolutional networks as short declarations: analysed exactly, compiled into PyTorch, trained, exported, run."""

from __future__ import annotations

from cnnspec.api import Spec, build, load, loads
from cnnspec.errors import CnnspecError, SpecError, UsageError, VerificationError

__version__ = "0.1.0"

__all__ = [
    "CnnspecError",
    "Spec",
    "SpecError",
    "UsageError",
    "VerificationError",
    "__version__",
    "build",
    "load",
    "loads",
]
