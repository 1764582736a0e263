"""Convolutional networks as short declarations: analysed exactly, compiled into PyTorch, trained, exported, run."""

from __future__ import annotations

from cnnspec.version import __version__

TYPE_CHECKING = False  # `typing` takes longer than all the rest, before signals are taken on
if TYPE_CHECKING:
    from typing import Any

    from cnnspec.api import (
        Spec,
        TrainConfig,
        bench,
        build,
        check,
        code,
        diff,
        evaluate,
        export,
        from_torch,
        import_network,
        judge,
        load,
        loads,
        resume,
        sizes,
        step,
        train,
        verify,
    )
    from cnnspec.errors import CnnspecError, SpecError, UsageError, VerificationError
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
    "code",
    "diff",
    "evaluate",
    "export",
    "from_torch",
    "import_network",
    "judge",
    "load",
    "loads",
    "resume",
    "sizes",
    "step",
    "train",
    "verify",
]


def __getattr__(name: str) -> Any:
    """Every name from its module when it is first asked for, so that `cnnspec --help` waits for none of them."""
    import importlib

    if name == "api":
        return importlib.import_module("cnnspec.api")
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from cnnspec.errors import needs_extra

    if name == "Predictor":
        module = "cnnspec.runtime.predictor"
    else:
        module = "cnnspec.errors" if name.endswith("Error") else "cnnspec.api"
    with needs_extra("onnx"):
        value = globals()[name] = getattr(importlib.import_module(module), name)
    return value


def __dir__() -> list[str]:
    return __all__
