"""The typed result for one layer: a row of the report. Units are stated per field."""

from __future__ import annotations

from fractions import Fraction
from typing import Any, NamedTuple

from cnnspec.analysis.view import ChannelField, FieldFigures, FieldParts, channel_fields
from cnnspec.ops import Shape, show_shape

__all__ = ["LayerReport"]


class LayerReport(NamedTuple):
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
    field: FieldFigures  # the largest over the channels
    field_parts: FieldParts  # those of the channels, where they differ
    output_bytes: int  # at the report's batch
    aux: bool = False  # part of an auxiliary head: only training runs it
    dead: bool = False  # no output and no head depends on it: it is built, and never runs; its cost is 0
    line: int | None = None
    frozen_params: int = 0  # that training leaves as they are

    def __repr__(self) -> str:
        return f"<LayerReport of {self.name}: {self.op} to {show_shape(self.output_shape)}, {self.params:,} parameters>"

    @property
    def channel_fields(self) -> tuple[ChannelField, ...]:
        """What the channels see, where not all see the same."""
        return channel_fields(self.field_parts)

    @property
    def receptive_field(self) -> tuple[int, ...]:
        """The pixels that one unit spans on each axis: the largest over units and channels."""
        return self.field.receptive_field

    @property
    def effective_stride(self) -> tuple[Fraction, ...]:
        """How many pixels apart neighbouring units look."""
        return self.field.effective_stride

    @property
    def effective_padding(self) -> tuple[int, ...]:
        """How many pixels before the input unit 0 begins to read."""
        return self.field.effective_padding

    @property
    def min_receptive_field(self) -> tuple[int, ...]:
        """The span of the path that sees least."""
        return self.field.min_receptive_field

    @property
    def pixels_read(self) -> tuple[int, ...]:
        """How many pixels of the span are read: less than it where dilation leaves holes."""
        return self.field.pixels_read

    @property
    def sees_everything(self) -> bool:
        """Whether every path leads through a global pool or a dense layer."""
        return self.field.sees_everything

    @property
    def global_context(self) -> bool:
        """Whether some path sees the whole input."""
        return self.field.global_context

    @property
    def aligned(self) -> bool:
        """Whether all paths have one stride and one centre."""
        return self.field.aligned

    @property
    def field_text(self) -> str:
        """The receptive field as tables have it: `7x7`, `7x7*` with global context beside it, `all`."""
        return self.field.text

    @property
    def trainable_params(self) -> int:
        """The parameters that are trained: all but those of frozen layers."""
        return self.params - self.frozen_params

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
            **self.field.to_dict(),
            "channel_fields": [part.to_dict() for part in self.channel_fields],
            "output_bytes": self.output_bytes,
            "aux": self.aux,
            "dead": self.dead,
            "line": self.line,
        }
