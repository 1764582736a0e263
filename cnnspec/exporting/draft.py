"""What goes from stage to stage on the way from a network to a file."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from cnnspec.errors import VerificationError
from cnnspec.graph import Graph
from cnnspec.onnx_backend.fold import folded_graph
from cnnspec.tasks import CLASSES, Answers

if TYPE_CHECKING:
    from onnx import ModelProto

    from cnnspec.exporting.options import ExportOptions
    from cnnspec.exporting.subject import Subject
    from cnnspec.onnx_backend.verify import Check

__all__ = ["Draft", "Rounding"]


@dataclass(frozen=True)
class Rounding:
    """What eight bits cost: the figure that the task is judged by, on the evaluation images."""

    key: str  # of the figure
    before: float
    after: float
    calibrated_with: str  # a data set

    def to_dict(self) -> dict[str, object]:
        """As it is noted in the file: `accuracy_fp32`, `accuracy_int8` and the data set."""
        return {
            f"{self.key}_fp32": self.before,
            f"{self.key}_int8": self.after,
            "calibrated_with": self.calibrated_with,
        }


@dataclass(frozen=True)
class Draft:
    """A model that is not written yet. Each stage takes one and gives the next one, or raises."""

    path: Path  # where it is to be written
    subject: Subject
    options: ExportOptions
    graph: Graph  # the part of the network that the model computes
    model: ModelProto
    checks: tuple[Check, ...] = ()
    rounding: Rounding | None = None  # None: not quantised

    @property
    def visible_graph(self) -> Graph:
        """The graph whose layers the model has as nodes: where batch norms are folded, the one without them."""
        return folded_graph(self.graph) if self.options.lowering.fold else self.graph

    @property
    def answers(self) -> Answers | None:
        """How the first output is read: as that of the network, unless it is another one. None where it is unknown."""
        network = self.subject.network.graph
        if self.graph.outputs[0] == network.outputs[0]:
            return self.subject.answers
        return CLASSES if len(self.graph.output_shape) == 1 else None

    def checked(self, *checks: Check) -> Draft:
        """The draft with these checks done. Raises VerificationError where one failed."""
        failed = [check for check in checks if not check.passed]
        if failed:
            listed = "; ".join(f"{check.name}: {check.detail}" for check in failed)
            raise VerificationError(f"{self.path} was not written, because a check failed: {listed}")
        return replace(self, checks=(*self.checks, *checks))
