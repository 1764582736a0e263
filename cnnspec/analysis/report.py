"""The typed result of an analysis: one row per layer, and the totals. Units are stated per field."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Final, NamedTuple

from cnnspec.analysis.layer_report import LayerReport
from cnnspec.analysis.memory import TrainingMemory
from cnnspec.errors import Diagnostic, MissingExtraError
from cnnspec.graph import Purpose
from cnnspec.ops import Shape, show_shape

__all__ = ["CONVENTION", "OTHER", "LayerReport", "Memory", "Report", "Totals"]

CONVENTION = "MACs of convolutions, linear layers and matrix products; FLOPs = 2 per MAC + 1 per other operation"

# What the lines about the other purpose's network are headed by.
OTHER: Final[dict[Purpose, str]] = {"inference": "training", "train": "inference"}


class Totals(NamedTuple):
    """Sums over the layers of one purpose's network.

    A peak of inference is that of the network that inference runs, and memory for training that of all that is
    declared, whichever purpose the sums are of.
    """

    layers: int
    params: int
    trainable_params: int
    buffers: int
    macs: int
    flops: int | None
    param_bytes: int
    peak_inference_bytes: int  # tensors alive at the worst step, the input included, weights not
    training_bytes: int | None  # the peak of a whole step; None where heads do not take the input
    receptive_field: tuple[int, ...]  # of the last feature map, before a global pool or dense layer; empty without one

    def to_dict(self) -> dict[str, Any]:
        """The totals as `--format json` prints them."""
        return self._asdict()


class Memory(NamedTuple):
    """Bytes, for a batch, a precision of activations and an optimizer."""

    batch: int
    precision: str
    optimizer: str
    peak_inference: int
    training: TrainingMemory | None  # None where heads do not take the input

    def to_dict(self) -> dict[str, Any]:
        """The figures as `--format json` prints them."""
        named = ("parameters", "gradients", "optimizer", "buffers", "kept", "peak")
        parts = {f"{name}_bytes": self.training and getattr(self.training, name) for name in named}
        where = {f"peak_{name}": self.training and getattr(self.training, name) for name in ("phase", "layer")}
        return {"precision": self.precision, "optimizer": self.optimizer, **parts, **where}


@dataclass(frozen=True)
class Report:
    """The analysis of one network: the layers that its purpose has, and the totals of both purposes."""

    name: str
    input: Shape
    layers: tuple[LayerReport, ...]
    memory: Memory
    outputs: tuple[str, ...]
    purpose: Purpose
    inference: Totals  # what the outputs need, as it is exported
    train: Totals | None  # all that is declared; None where heads do not take the input
    only_training: tuple[str, ...]  # the layers of auxiliary heads
    dead: tuple[str, ...]  # the layers that nothing depends on
    refused: tuple[Diagnostic, ...]  # why heads do not take the input
    findings: tuple[Diagnostic, ...] = field(default=())

    @property
    def totals(self) -> Totals:
        """Those of the report's own purpose."""
        return self.inference if self.purpose == "inference" or self.train is None else self.train

    @property
    def differs(self) -> bool:
        """Whether inference and training have different layers."""
        return bool(self.only_training or self.dead or self.refused)

    def __repr__(self) -> str:
        sums = self.totals
        return f"<Report of {self.name}: {sums.layers:,} layers, {sums.params:,} parameters, {sums.macs:,} MACs>"

    def other_lines(self) -> list[str]:
        """What the other purpose's network has, in lines of text; none where both have the same layers."""
        if not self.differs:
            return []
        if self.train is None:
            first = self.refused[0]
            return ["not at this input, which a layer that only training has refuses:", first.message, *first.notes[:1]]
        other = self.train if self.purpose == "inference" else self.inference
        word = "with" if self.purpose == "inference" else "without"
        lines = []
        if self.only_training:
            lines.append(f"{_layers(self.only_training)} of auxiliary heads, which only training runs")
        if self.dead:
            more = ", …" if len(self.dead) > 1 else ""
            lines.append(
                f"{_layers(self.dead)} that nothing depends on, built and never run (W312): {self.dead[0]}{more}"
            )
        ends = [", and"] * (len(lines) - 1) + [""]
        return [
            f"{other.params:,} parameters and {other.macs:,} MACs, {word}",
            *(line + end for line, end in zip(lines, ends, strict=True)),
        ]

    def layer(self, name: str) -> LayerReport:
        """The row of a layer. Raises KeyError."""
        for row in self.layers:
            if row.name == name:
                return row
        raise KeyError(name)

    def folded(self, depth: int) -> Report:
        """The report with the layers of one block in one row: names are cut after `depth` parts.

        Equal blocks that follow each other become one row, `layer1.1..2 x2`, with their sums.
        """
        from cnnspec.analysis.fold import fold

        return replace(self, layers=fold(self.layers, depth))

    def to_pandas(self) -> Any:
        """The layers as a pandas DataFrame. Raises MissingExtraError where pandas is not installed."""
        try:
            import pandas
        except ImportError:
            raise MissingExtraError("pandas", None) from None
        return pandas.DataFrame([row.to_dict() for row in self.layers])

    def _repr_html_(self) -> str:
        """The layer table for notebooks."""
        from html import escape  # a notebook only: its table of entities would slow every start

        heads = ("layer", "operator", "output", "field", "params", "MACs")
        cells = [
            (row.name, row.op, show_shape(row.output_shape), row.field_text, f"{row.params:,}", f"{row.macs:,}")
            for row in self.layers
        ]
        body = "".join(f"<tr>{''.join(f'<td>{escape(str(cell))}</td>' for cell in row)}</tr>" for row in cells)
        totals = f"{self.totals.params:,} parameters, {self.totals.macs:,} MACs per sample"
        if lines := self.other_lines():
            totals += f"<br>{OTHER[self.purpose]}: {escape(' '.join(lines))}"
        head = "".join(f"<th>{name}</th>" for name in heads)
        return f"<table><caption>{escape(self.name)}: {totals}<br>{CONVENTION}</caption><tr>{head}</tr>{body}</table>"

    def to_dict(self) -> dict[str, Any]:
        """The report as `--format json` prints it."""
        other, beside = ("train", self.train) if self.purpose == "inference" else ("inference", self.inference)
        return {
            "cnnspec": 1,
            "name": self.name,
            "input": list(self.input),
            "for": self.purpose,
            "batch": self.memory.batch,
            "outputs": list(self.outputs),
            "layers": [row.to_dict() for row in self.layers],
            "totals": {**self.totals.to_dict(), other: beside and beside.to_dict()},
            "memory": self.memory.to_dict(),
            "findings": [finding.to_dict() for finding in self.findings],
        }


def _layers(names: tuple[str, ...]) -> str:
    return f"{len(names):,} layer{'s' * (len(names) > 1)}"
