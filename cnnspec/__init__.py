"""Convolutional networks as short declarations: analysed exactly, compiled into PyTorch, trained, exported, run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cnnspec.api import Spec, build, check, diff, load, loads, sizes
from cnnspec.errors import CnnspecError, SpecError, UsageError, VerificationError
from cnnspec.version import __version__

if TYPE_CHECKING:
    from cnnspec.api import TrainConfig, bench, evaluate, export, resume, train, verify
    from cnnspec.runtime.predictor import Predictor

__all__ = [
    "CnnspecError",
    "Predictor",
    "Spec",
    "SpecError",
    "TrainConfig",
    "UsageError",
    "VerificationError",
    "__version__",
    "bench",
    "build",
    "check",
    "diff",
    "evaluate",
    "export",
    "load",
    "loads",
    "resume",
    "sizes",
    "train",
    "verify",
]


def __getattr__(name: str) -> Any:
    """What needs numpy, torch or onnx, imported when it is asked for: analysis does not wait for it."""
    if name == "Predictor":
        from cnnspec.runtime.predictor import Predictor

        return Predictor
    if name in __all__:
        from cnnspec import api

        return getattr(api, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
