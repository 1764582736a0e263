"""The typed result of an analysis: one row per layer, and the totals. Units are stated per field."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from cnnspec.errors import Diagnostic
from cnnspec.ops import Shape

__all__ = ["CONVENTION", "LayerReport", "Report", "Totals"]

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
    peak_inference_bytes: int | None = None
    training_bytes: int | None = None

    def to_dict(self) -> dict[str, Any]:
        """The totals as `--format json` prints them."""
        return {name: getattr(self, name) for name in Totals.__dataclass_fields__}


@dataclass(frozen=True)
class Report:
    """The analysis of one network."""

    name: str
    input: Shape
    batch: int
    layers: tuple[LayerReport, ...]
    totals: Totals
    outputs: tuple[str, ...]
    findings: tuple[Diagnostic, ...] = field(default=())

    def layer(self, name: str) -> LayerReport:
        """The row of a layer. Raises KeyError."""
        for row in self.layers:
            if row.name == name:
                return row
        raise KeyError(name)

    def to_dict(self) -> dict[str, Any]:
        """The report as `--format json` prints it."""
        return {
            "cnnspec": 1,
            "name": self.name,
            "input": list(self.input),
            "batch": self.batch,
            "outputs": list(self.outputs),
            "layers": [row.to_dict() for row in self.layers],
            "totals": self.totals.to_dict(),
            "findings": [finding.to_dict() for finding in self.findings],
        }


def plain_number(value: Fraction) -> int | float:
    """A fraction as JSON has it: a whole number where it is one."""
    return int(value) if value.denominator == 1 else float(value)
