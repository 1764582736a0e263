"""Fully connected layers."""

from math import prod
from typing import ClassVar

from cnnspec.errors import ShapeError
from cnnspec.ops.base import AbstractOp, Count, Initial, Shape, elements, show_shape
from cnnspec.ops.window import GLOBAL, POINT, Window

__all__ = ["Linear"]


class Linear(AbstractOp):
    """`y = x A^T + b` on the last axis, as in torch. `(*, in_features) -> (*, out_features)`."""

    pointwise: ClassVar[bool] = False
    keeps_sizes: ClassVar[bool] = False
    slides: ClassVar[bool] = False
    activation: ClassVar[bool] = False
    passive: ClassVar[bool] = False
    keeps_groups: ClassVar[bool] = False
    windowed: ClassVar[bool] = False
    features_last: ClassVar[bool] = True
    positional: ClassVar[tuple[str, ...]] = ("out_features",)
    inferred: ClassVar[str | None] = "in_features"

    out_features: Count
    bias: bool = True
    in_features: Count | None = None

    def out_shape(self, *inputs: Shape) -> Shape:
        (shape,) = inputs
        if self.in_features is not None and self.in_features != shape[-1]:
            raise ShapeError(
                f"in_features is {self.in_features}, but the last axis of the input {show_shape(shape)} is {shape[-1]}",
                "E203",
            )
        return (*shape[:-1], self.out_features)

    def windows(self, *inputs: Shape) -> tuple[Window, ...]:
        """The whole of the last axis."""
        spatial = len(inputs[0]) - 1
        return (POINT,) * (spatial - 1) + (GLOBAL,) * min(1, spatial)

    def channel_window(self, *inputs: Shape) -> Window:
        """All of them where they are the last axis."""
        return GLOBAL if len(inputs[0]) == 1 else POINT

    def parameter_shapes(self, *inputs: Shape) -> dict[str, Shape]:
        weight: dict[str, Shape] = {"weight": (self.out_features, inputs[0][-1])}
        return weight | {"bias": (self.out_features,)} if self.bias else weight

    def parameter_formula(self, *inputs: Shape) -> str:
        """`n*m + m` for n input and m output features."""
        return f"{inputs[0][-1]}*{self.out_features}" + (f" + {self.out_features}" if self.bias else "")

    def initial(self, key: str, *inputs: Shape) -> Initial:
        """Uniform within `1/√in_features`."""
        return Initial(spread=inputs[0][-1] ** -0.5)

    def macs(self, *inputs: Shape) -> int:
        return prod(inputs[0]) * self.out_features

    def mac_formula(self, *inputs: Shape) -> str:
        return f"{show_shape(inputs[0])} inputs * {self.out_features} outputs"

    def other_flops(self, *inputs: Shape) -> int:
        return elements(self.out_shape(*inputs)) if self.bias else 0
