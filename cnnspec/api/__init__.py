"""The public Python API: every verb of the command line is one function here that returns a typed result.

Every name comes from its module when it is first asked for, so that a verb waits for what it needs and no more. Nothing
here imports torch or onnx; the functions that need them import them when called.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from cnnspec.api.later import import_later

if TYPE_CHECKING:
    from cnnspec.analysis.axis_sizes import AxisSizes, SizeRange
    from cnnspec.analysis.calculator import Calculation
    from cnnspec.analysis.catalogue import Entry
    from cnnspec.analysis.check import Checked
    from cnnspec.analysis.diff import Change, Difference, Total
    from cnnspec.analysis.explain import Explanation
    from cnnspec.analysis.layer_report import LayerReport
    from cnnspec.analysis.layer_sizes import Layer, Solution, StepResult
    from cnnspec.analysis.report import Report
    from cnnspec.analysis.sizes import Sizes
    from cnnspec.analysis.unit_field import UnitField
    from cnnspec.api.compared import Code
    from cnnspec.api.drawings import PICTURES, draw, draw_bytes, draw_diff, draw_why
    from cnnspec.api.exports import bench, export, verify
    from cnnspec.api.imports import GapsError, ImportedSpec, ImportResult, from_torch, import_network
    from cnnspec.api.networks import Spec, build, load, loads
    from cnnspec.api.ready import ready
    from cnnspec.api.runs import evaluate, list_runs, resume, train
    from cnnspec.api.searches import judge, open_search, screen, search, write_best
    from cnnspec.api.sources import code
    from cnnspec.api.steps import draw_step, step
    from cnnspec.api.tools import (
        bundled_networks,
        bundled_remark,
        bundled_text,
        calculate,
        check,
        diff,
        fix,
        format_text,
        init,
        json_schema,
        sizes,
        spec_files,
    )
    from cnnspec.exporting.options import PRECISIONS, ExportResult
    from cnnspec.foreign import Gap
    from cnnspec.runtime.answers import LabelsPrediction, MaskPrediction, NumbersPrediction, Prediction
    from cnnspec.runtime.bench import Bench
    from cnnspec.runtime.doctor import Diagnosis, examine_installation
    from cnnspec.runtime.predictor import Predictor
    from cnnspec.scoring.class_figures import Assessment
    from cnnspec.scoring.figures import TaskAssessment
    from cnnspec.search.judge import Figures, Verdict, Violation
    from cnnspec.search.progress import SearchProgress
    from cnnspec.search.records import TrialRecord
    from cnnspec.search.screen import Screen
    from cnnspec.search.start import SearchResult
    from cnnspec.training.config import TrainConfig
    from cnnspec.training.job import TrainResult
    from cnnspec.training.metrics import EpochMetrics
    from cnnspec.training.progress import Progress
    from cnnspec.training.run_folder import Run, is_run, open_run
    from cnnspec.training.shared import Shared
    from cnnspec.training.told_step import TrainingStep
    from cnnspec.zoo import find_run

__all__ = [
    "PICTURES",
    "PRECISIONS",
    "Assessment",
    "AxisSizes",
    "Bench",
    "Calculation",
    "Change",
    "Checked",
    "Code",
    "Diagnosis",
    "Difference",
    "Entry",
    "EpochMetrics",
    "Explanation",
    "ExportResult",
    "Figures",
    "Gap",
    "GapsError",
    "ImportResult",
    "ImportedSpec",
    "LabelsPrediction",
    "Layer",
    "LayerReport",
    "MaskPrediction",
    "NumbersPrediction",
    "Prediction",
    "Predictor",
    "Progress",
    "Report",
    "Run",
    "Screen",
    "SearchProgress",
    "SearchResult",
    "Shared",
    "SizeRange",
    "Sizes",
    "Solution",
    "Spec",
    "StepResult",
    "TaskAssessment",
    "Total",
    "TrainConfig",
    "TrainResult",
    "TrainingStep",
    "TrialRecord",
    "UnitField",
    "Verdict",
    "Violation",
    "bench",
    "build",
    "bundled_networks",
    "bundled_remark",
    "bundled_text",
    "calculate",
    "check",
    "code",
    "diff",
    "draw",
    "draw_bytes",
    "draw_diff",
    "draw_step",
    "draw_why",
    "evaluate",
    "examine_installation",
    "export",
    "find_run",
    "fix",
    "format_text",
    "from_torch",
    "import_network",
    "init",
    "is_run",
    "json_schema",
    "judge",
    "list_runs",
    "load",
    "loads",
    "open_run",
    "open_search",
    "ready",
    "resume",
    "screen",
    "search",
    "sizes",
    "spec_files",
    "step",
    "train",
    "verify",
    "write_best",
]

LATER: Final = {
    "cnnspec.analysis.axis_sizes": ("AxisSizes", "SizeRange"),
    "cnnspec.analysis.calculator": ("Calculation",),
    "cnnspec.analysis.catalogue": ("Entry",),
    "cnnspec.analysis.check": ("Checked",),
    "cnnspec.analysis.diff": ("Change", "Difference", "Total"),
    "cnnspec.analysis.explain": ("Explanation",),
    "cnnspec.analysis.layer_report": ("LayerReport",),
    "cnnspec.analysis.layer_sizes": ("Layer", "Solution", "StepResult"),
    "cnnspec.analysis.report": ("Report",),
    "cnnspec.analysis.sizes": ("Sizes",),
    "cnnspec.analysis.unit_field": ("UnitField",),
    "cnnspec.api.compared": ("Code",),
    "cnnspec.api.drawings": ("PICTURES", "draw", "draw_bytes", "draw_diff", "draw_why"),
    "cnnspec.api.exports": ("bench", "export", "verify"),
    "cnnspec.api.imports": ("GapsError", "ImportResult", "ImportedSpec", "from_torch", "import_network"),
    "cnnspec.api.networks": ("Spec", "build", "load", "loads"),
    "cnnspec.api.runs": ("evaluate", "list_runs", "resume", "train"),
    "cnnspec.api.searches": ("judge", "open_search", "screen", "search", "write_best"),
    "cnnspec.api.ready": ("ready",),
    "cnnspec.api.sources": ("code",),
    "cnnspec.api.steps": ("draw_step", "step"),
    "cnnspec.api.tools": (
        "bundled_networks",
        "bundled_remark",
        "bundled_text",
        "calculate",
        "check",
        "diff",
        "fix",
        "format_text",
        "init",
        "json_schema",
        "sizes",
        "spec_files",
    ),
    "cnnspec.exporting.options": ("PRECISIONS", "ExportResult"),
    "cnnspec.foreign": ("Gap",),
    "cnnspec.runtime.bench": ("Bench",),
    "cnnspec.runtime.doctor": ("Diagnosis", "examine_installation"),
    "cnnspec.runtime.answers": ("LabelsPrediction", "MaskPrediction", "NumbersPrediction", "Prediction"),
    "cnnspec.runtime.predictor": ("Predictor",),
    "cnnspec.scoring.class_figures": ("Assessment",),
    "cnnspec.scoring.figures": ("TaskAssessment",),
    "cnnspec.search.judge": ("Figures", "Verdict", "Violation"),
    "cnnspec.search.progress": ("SearchProgress",),
    "cnnspec.search.records": ("TrialRecord",),
    "cnnspec.search.screen": ("Screen",),
    "cnnspec.search.start": ("SearchResult",),
    "cnnspec.training.config": ("TrainConfig",),
    "cnnspec.training.job": ("TrainResult",),
    "cnnspec.training.metrics": ("EpochMetrics",),
    "cnnspec.training.progress": ("Progress",),
    "cnnspec.training.run_folder": ("Run", "is_run", "open_run"),
    "cnnspec.training.shared": ("Shared",),
    "cnnspec.training.told_step": ("TrainingStep",),
    "cnnspec.zoo": ("find_run",),
}
__getattr__ = import_later(__name__, LATER)
