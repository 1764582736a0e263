"""The typed result of an analysis: one row per layer, and the totals. Units are stated per field."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Any

from cnnspec.analysis.memory import TrainingMemory
from cnnspec.errors import Diagnostic, UsageError
from cnnspec.ops import Shape, show_shape

__all__ = ["CONVENTION", "LayerReport", "Memory", "Report", "Totals"]

CONVENTION = "MACs of convolutions, linear layers and matrix products; FLOPs = 2 per MAC + 1 per other operation"


@dataclass(frozen=True, slots=True)
class LayerReport:
    """What is known of one layer. Sizes in elements, bytes in bytes, fields in input pixels per spatial axis."""

    name: str
    op: str
    inputs: tuple[str, ...]
    input_shapes: tuple[Shape, ...]
    output_shape: Shape
    params: int
    buffers: int
    macs: int  # per sample
    flops: int | None  # per sample; None where the cost is not known
    receptive_field: tuple[int, ...]
    effective_stride: tuple[Fraction, ...]
    effective_padding: tuple[int, ...]
    min_receptive_field: tuple[int, ...]
    pixels_read: tuple[int, ...]  # of the span: less than it where dilation leaves holes
    sees_everything: bool  # every path leads through a global pool or a dense layer
    global_context: bool  # some path does
    aligned: bool
    output_bytes: int  # at the report's batch
    aux: bool = False  # part of an auxiliary head: trained, and left out of cost
    line: int | None = None

    @property
    def field_text(self) -> str:
        """The receptive field as tables have it: `7x7`, `7x7*` with global context beside it, `all`."""
        if not self.receptive_field:
            return "-"
        if self.sees_everything:
            return "all"
        return show_shape(self.receptive_field) + ("*" if self.global_context else "")

    @property
    def trainable_params(self) -> int:
        """Every parameter of a declared network is trained."""
        return self.params

    def to_dict(self) -> dict[str, Any]:
        """The row as `--format json` prints it."""
        return {
            "name": self.name,
            "op": self.op,
            "inputs": list(self.inputs),
            "input_shapes": [list(shape) for shape in self.input_shapes],
            "output_shape": list(self.output_shape),
            "params": self.params,
            "trainable_params": self.trainable_params,
            "buffers": self.buffers,
            "macs": self.macs,
            "flops": self.flops,
            "receptive_field": list(self.receptive_field),
            "effective_stride": [plain_number(stride) for stride in self.effective_stride],
            "effective_padding": list(self.effective_padding),
            "min_receptive_field": list(self.min_receptive_field),
            "pixels_read": list(self.pixels_read),
            "global_context": self.global_context,
            "sees_everything": self.sees_everything,
            "aligned": self.aligned,
            "output_bytes": self.output_bytes,
            "aux": self.aux,
            "line": self.line,
        }


@dataclass(frozen=True, slots=True)
class Totals:
    """Sums over the network. Cost leaves auxiliary heads out; parameters count them."""

    layers: int
    params: int
    trainable_params: int
    buffers: int
    macs: int
    flops: int | None
    param_bytes: int
    peak_inference_bytes: int  # tensors alive at the worst step, the input included, weights not
    training_bytes: int  # the peak of a whole step: weights, optimizer, activations and gradients

    def to_dict(self) -> dict[str, Any]:
        """The totals as `--format json` prints them."""
        return {name: getattr(self, name) for name in Totals.__dataclass_fields__}


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes, for a batch, a precision of activations and an optimizer."""

    batch: int
    precision: str
    optimizer: str
    peak_inference: int
    training: TrainingMemory

    def to_dict(self) -> dict[str, Any]:
        """The figures as `--format json` prints them."""
        training = self.training
        return {
            "precision": self.precision,
            "optimizer": self.optimizer,
            "parameters_bytes": training.parameters,
            "gradients_bytes": training.gradients,
            "optimizer_bytes": training.optimizer,
            "buffers_bytes": training.buffers,
            "kept_bytes": training.kept,
            "peak_bytes": training.peak,
            "peak_phase": training.phase,
            "peak_layer": training.layer,
        }


@dataclass(frozen=True)
class Report:
    """The analysis of one network."""

    name: str
    input: Shape
    layers: tuple[LayerReport, ...]
    totals: Totals
    memory: Memory
    outputs: tuple[str, ...]
    findings: tuple[Diagnostic, ...] = field(default=())

    def __repr__(self) -> str:
        sums = self.totals
        return f"<Report of {self.name}: {sums.layers:,} layers, {sums.params:,} parameters, {sums.macs:,} MACs>"

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
        """The layers as a pandas DataFrame. Raises UsageError where pandas is not installed."""
        try:
            import pandas
        except ImportError:
            raise UsageError("this needs `pandas`, which is not installed", hint="pip install pandas") from None
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
        head = "".join(f"<th>{name}</th>" for name in heads)
        return f"<table><caption>{escape(self.name)}: {totals}<br>{CONVENTION}</caption><tr>{head}</tr>{body}</table>"

    def to_dict(self) -> dict[str, Any]:
        """The report as `--format json` prints it."""
        return {
            "cnnspec": 1,
            "name": self.name,
            "input": list(self.input),
            "batch": self.memory.batch,
            "outputs": list(self.outputs),
            "layers": [row.to_dict() for row in self.layers],
            "totals": self.totals.to_dict(),
            "memory": self.memory.to_dict(),
            "findings": [finding.to_dict() for finding in self.findings],
        }


def plain_number(value: Fraction) -> int | float:
    """A fraction as JSON has it: a whole number where it is one."""
    return int(value) if value.denominator == 1 else float(value)
