"""Normalisation."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field

from cnnspec.errors import ShapeError
from cnnspec.ops.base import AbstractSpatialOp, Count, Flag, Real, Shape, elements, show_shape

__all__ = ["BatchNorm"]


class BatchNorm(AbstractSpatialOp):
    """`BatchNorm1d`, `2d`, `3d`: each channel to mean 0 and variance 1 over the batch (Ioffe and Szegedy 2015).

    Keeps the shape; `BatchNorm1d` also takes plain features. The running mean and variance are buffers.
    """

    inferred: ClassVar[str | None] = "num_features"

    eps: Annotated[Real, Field(gt=0)] = 1e-5
    momentum: Real | None = 0.1
    affine: Flag = True
    track_running_stats: Flag = True
    num_features: Count | None = None

    def out_shape(self, *inputs: Shape) -> Shape:
        (shape,) = inputs
        if not (self.rank == 1 and len(shape) == 1):
            self.check_rank(shape)
        if self.num_features is not None and self.num_features != shape[0]:
            raise ShapeError(
                f"num_features is {self.num_features}, but the input {show_shape(shape)} has {shape[0]}", "E203"
            )
        return shape

    def parameter_shapes(self, *inputs: Shape) -> dict[str, Shape]:
        channels = inputs[0][:1]
        return {"weight": channels, "bias": channels} if self.affine else {}

    def buffer_shapes(self, *inputs: Shape) -> dict[str, Shape]:
        if not self.track_running_stats:
            return {}
        channels = inputs[0][:1]
        return {"running_mean": channels, "running_var": channels, "num_batches_tracked": ()}

    def parameter_formula(self, *inputs: Shape) -> str | None:
        return f"2*{inputs[0][0]}" if self.affine else None

    def other_flops(self, *inputs: Shape) -> int:
        """Two per element: at inference scale and shift are folded into one multiply and one add."""
        return 2 * elements(inputs[0])
