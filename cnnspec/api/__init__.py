"""The public Python API: every verb of the command line is one function here that returns a typed result.

Networks and tools are here at once; runs and exports are imported when they are asked for, so that `inspect` does not
wait for them. Nothing here imports torch or onnx; the functions that need them import them when called.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Final

from cnnspec.api.networks import Spec, build, load, loads
from cnnspec.api.tools import (
    bundled_networks,
    bundled_remark,
    bundled_text,
    calculate,
    check,
    diff,
    format_text,
    init,
    json_schema,
    sizes,
)

if TYPE_CHECKING:
    from cnnspec.api.exports import bench, export, verify
    from cnnspec.api.runs import evaluate, list_runs, resume, train
    from cnnspec.exporting.options import PRECISIONS, ExportResult
    from cnnspec.training.config import TrainConfig
    from cnnspec.training.metrics import EpochMetrics
    from cnnspec.training.progress import Progress
    from cnnspec.training.run_folder import Run, is_run, open_run
    from cnnspec.training.shared import Shared

__all__ = [
    "PRECISIONS",
    "EpochMetrics",
    "ExportResult",
    "Progress",
    "Run",
    "Shared",
    "Spec",
    "TrainConfig",
    "bench",
    "build",
    "bundled_networks",
    "bundled_remark",
    "bundled_text",
    "calculate",
    "check",
    "diff",
    "evaluate",
    "export",
    "format_text",
    "init",
    "is_run",
    "json_schema",
    "list_runs",
    "load",
    "loads",
    "open_run",
    "resume",
    "sizes",
    "train",
    "verify",
]

LATER: Final = {
    **dict.fromkeys(("bench", "export", "verify"), "cnnspec.api.exports"),
    **dict.fromkeys(("evaluate", "list_runs", "resume", "train"), "cnnspec.api.runs"),
    **dict.fromkeys(("PRECISIONS", "ExportResult"), "cnnspec.exporting.options"),
    **dict.fromkeys(("Run", "is_run", "open_run"), "cnnspec.training.run_folder"),
    "EpochMetrics": "cnnspec.training.metrics",
    "Progress": "cnnspec.training.progress",
    "Shared": "cnnspec.training.shared",
    "TrainConfig": "cnnspec.training.config",
}


def __getattr__(name: str) -> Any:
    """What belongs to runs and exports, from its module."""
    if name in LATER:
        return getattr(importlib.import_module(LATER[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
