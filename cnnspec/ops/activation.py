"""Activations: pointwise, except softmax."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from cnnspec.errors import ShapeError
from cnnspec.ops.base import AbstractOp, Flag, Real, Shape, elements, show_shape
from cnnspec.ops.window import GLOBAL, POINT, Window

__all__ = ["GELU", "Dropout", "LeakyReLU", "ReLU", "SiLU", "Sigmoid", "Softmax", "Tanh"]


class _AbstractPointwise(AbstractOp):
    """Keeps the shape; each output depends on the input at the same place."""

    def out_shape(self, *inputs: Shape) -> Shape:
        (shape,) = inputs
        return shape

    def other_flops(self, *inputs: Shape) -> int:
        """One operation per element."""
        return elements(inputs[0])


class ReLU(_AbstractPointwise):
    """`max(0, x)`."""

    positional: ClassVar[tuple[str, ...]] = ("inplace",)
    inplace: Flag = False


class LeakyReLU(_AbstractPointwise):
    """`x` where positive, `negative_slope * x` elsewhere."""

    positional: ClassVar[tuple[str, ...]] = ("negative_slope",)
    negative_slope: Real = 0.01
    inplace: Flag = False


class SiLU(_AbstractPointwise):
    """`x * sigmoid(x)`, also called swish."""

    positional: ClassVar[tuple[str, ...]] = ("inplace",)
    inplace: Flag = False


class GELU(_AbstractPointwise):
    """`x * Phi(x)`, with `Phi` the normal distribution function, or its tanh approximation."""

    positional: ClassVar[tuple[str, ...]] = ("approximate",)
    words: ClassVar[tuple[str, ...]] = ("approximate",)
    approximate: Literal["none", "tanh"] = "none"


class Tanh(_AbstractPointwise):
    """The hyperbolic tangent."""


class Sigmoid(_AbstractPointwise):
    """`1 / (1 + exp(-x))`."""


class Dropout(_AbstractPointwise):
    """Zeroes each element with probability `p` in training; nothing at inference."""

    positional: ClassVar[tuple[str, ...]] = ("p",)
    p: Annotated[Real, Field(ge=0, le=1)] = 0.5
    inplace: Flag = False


class Softmax(AbstractOp):
    """Exponentials along `dim`, scaled to sum to 1. `dim` counts the batch axis, as in torch; 1 is the channels.

    Torch's default, `dim=None`, is deprecated there; here it is 1.
    """

    positional: ClassVar[tuple[str, ...]] = ("dim",)
    dim: Annotated[int, Field(strict=True, ge=-4, le=4)] = 1

    def out_shape(self, *inputs: Shape) -> Shape:
        (shape,) = inputs
        if not -len(shape) <= self.dim <= len(shape) or self.dim == 0:
            raise ShapeError(
                f"dim={self.dim} is no axis of {show_shape(shape)} (0 is the batch, 1 the channels)", "E204"
            )
        return shape

    def windows(self, *inputs: Shape) -> tuple[Window, ...]:
        spatial = len(inputs[0]) - 1
        along = (self.dim if self.dim > 0 else len(inputs[0]) + 1 + self.dim) - 2
        return tuple(GLOBAL if axis == along else POINT for axis in range(spatial))

    def other_flops(self, *inputs: Shape) -> int:
        """Five per element: compare, subtract, exponential, add, divide."""
        return 5 * elements(inputs[0])
