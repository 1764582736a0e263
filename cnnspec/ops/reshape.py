"""Operators that move values and compute nothing."""

from __future__ import annotations

from math import prod
from typing import Annotated, ClassVar

from pydantic import Field

from cnnspec.errors import ShapeError
from cnnspec.ops.base import AbstractOp, Shape, show_shape

__all__ = ["Flatten", "Identity"]

Axis = Annotated[int, Field(strict=True, ge=-5, le=5)]


class Identity(AbstractOp):
    """Gives back what it reads."""

    def out_shape(self, *inputs: Shape) -> Shape:
        (shape,) = inputs
        return shape

    def other_flops(self, *inputs: Shape) -> int:
        return 0


class Flatten(AbstractOp):
    """The axes `start_dim` to `end_dim` as one. Axes count the batch, as in torch: 1 is the channels."""

    positional: ClassVar[tuple[str, ...]] = ("start_dim",)
    start_dim: Axis = 1
    end_dim: Axis = -1

    def out_shape(self, *inputs: Shape) -> Shape:
        (shape,) = inputs
        axes = len(shape) + 1
        start, end = (dim + axes if dim < 0 else dim for dim in (self.start_dim, self.end_dim))
        if not (1 <= start < axes and 1 <= end < axes):
            raise ShapeError(
                f"start_dim={self.start_dim}, end_dim={self.end_dim} are no axes of {show_shape(shape)}"
                " (0 is the batch, which stays)",
                "E204",
            )
        if start > end:
            raise ShapeError(f"start_dim {self.start_dim} comes after end_dim {self.end_dim}", "E204")
        return (*shape[: start - 1], prod(shape[start - 1 : end]), *shape[end:])

    def other_flops(self, *inputs: Shape) -> int:
        return 0
