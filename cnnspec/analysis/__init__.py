"""What follows from a graph: sizes, receptive fields, cost and memory, without running or allocating anything."""

from __future__ import annotations

from cnnspec.analysis.memory import OPTIMIZER_STATE, PRECISIONS, largest_batch
from cnnspec.analysis.network_report import analyze
from cnnspec.analysis.report import CONVENTION, LayerReport, Memory, Report, Totals

__all__ = [
    "CONVENTION",
    "OPTIMIZER_STATE",
    "PRECISIONS",
    "LayerReport",
    "Memory",
    "Report",
    "Totals",
    "analyze",
    "largest_batch",
]
