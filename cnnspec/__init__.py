"""Convolutional networks as short declarations: analysed exactly, compiled into PyTorch, trained, exported, run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cnnspec.api import Spec, build, export, load, loads
from cnnspec.errors import CnnspecError, SpecError, UsageError, VerificationError
from cnnspec.version import __version__

if TYPE_CHECKING:
    from cnnspec.runtime.predictor import Predictor

__all__ = [
    "CnnspecError",
    "Predictor",
    "Spec",
    "SpecError",
    "UsageError",
    "VerificationError",
    "__version__",
    "build",
    "export",
    "load",
    "loads",
]


def __getattr__(name: str) -> Any:
    """`Predictor`, imported when it is asked for: it needs numpy and Pillow, and analysis does not."""
    if name == "Predictor":
        from cnnspec.runtime.predictor import Predictor

        return Predictor
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
