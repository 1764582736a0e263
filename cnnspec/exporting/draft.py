"""What goes from stage to stage on the way from a network to a file."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from cnnspec.errors import VerificationError
from cnnspec.graph import Graph
from cnnspec.onnx_backend.fold import folded_graph

if TYPE_CHECKING:
    from onnx import ModelProto

    from cnnspec.exporting.options import ExportOptions
    from cnnspec.exporting.subject import Subject
    from cnnspec.onnx_backend.verify import Check

__all__ = ["Accuracies", "Draft"]


@dataclass(frozen=True)
class Accuracies:
    """What eight bits cost, as shares of the evaluation images; noted in the file under these names."""

    accuracy_fp32: float
    accuracy_int8: float
    calibrated_with: str  # a data set


@dataclass(frozen=True)
class Draft:
    """A model that is not written yet. Each stage takes one and gives the next one, or raises."""

    path: Path  # where it is to be written
    subject: Subject
    options: ExportOptions
    graph: Graph  # the part of the network that the model computes
    model: ModelProto
    checks: tuple[Check, ...] = ()
    accuracies: Accuracies | None = None  # None: not quantised

    @property
    def visible_graph(self) -> Graph:
        """The graph whose layers the model has as nodes: where batch norms are folded, the one without them."""
        return folded_graph(self.graph) if self.options.lowering.fold else self.graph

    def checked(self, *checks: Check) -> Draft:
        """The draft with these checks done. Raises VerificationError where one failed."""
        failed = [check for check in checks if not check.passed]
        if failed:
            listed = "; ".join(f"{check.name}: {check.detail}" for check in failed)
            raise VerificationError(f"{self.path} was not written, because a check failed: {listed}")
        return replace(self, checks=(*self.checks, *checks))
