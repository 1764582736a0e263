"""Axes that become one value."""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

from cnnspec.errors import ShapeError
from cnnspec.ops.arguments import Bounds
from cnnspec.ops.base import AbstractOp, Shape, elements, show_shape
from cnnspec.ops.window import GLOBAL, POINT, Window

__all__ = ["Amax", "Amin", "Mean", "Sum"]

Axis = Annotated[int, Bounds(ge=-5, le=5)]


class _AbstractReduction(AbstractOp):
    """One value along the axes `dim`, which count the batch, as in torch: 1 is the channels, -1 the last axis."""

    pointwise: ClassVar[bool] = False
    keeps_sizes: ClassVar[bool] = False
    slides: ClassVar[bool] = False
    activation: ClassVar[bool] = False
    passive: ClassVar[bool] = False
    keeps_groups: ClassVar[bool] = False
    windowed: ClassVar[bool] = False
    features_last: ClassVar[bool] = True
    positional: ClassVar[tuple[str, ...]] = ("dim",)
    listed: ClassVar[tuple[str, ...]] = ("dim",)

    dim: Axis | tuple[Axis, ...]
    keepdim: bool = False

    @classmethod
    def spread(cls, name: str, value: Any, known: Mapping[str, Any]) -> Any:
        """A list of one for a single axis."""
        return (value,) if name == "dim" and type(value) is int else value

    def out_shape(self, *inputs: Shape) -> Shape:
        """`(C, H, W) -> (C)` for `dim=[2, 3]`, and `(C, 1, 1)` with `keepdim=True`."""
        (shape,) = inputs
        reduced = self.reduced(shape)
        if self.keepdim:
            return self.kept_shape(shape)
        if len(reduced) == len(shape):
            raise ShapeError(f"leaves no axis of {show_shape(shape)}; `keepdim=True` keeps them", "E204", verb=True)
        return tuple(size for axis, size in enumerate(shape) if axis not in reduced)

    def kept_shape(self, shape: Shape) -> Shape:
        """The output shape if every axis stays, those that are reduced with size 1."""
        reduced = self.reduced(shape)
        return tuple(1 if axis in reduced else size for axis, size in enumerate(shape))

    def reduced(self, shape: Shape) -> tuple[int, ...]:
        """The axes of `shape` that become one value, in order. Raises ShapeError."""
        dims = self.dim if isinstance(self.dim, tuple) else (self.dim,)
        axes = len(shape) + 1
        reduced = sorted(dim + axes if dim < 0 else dim for dim in dims)
        if not reduced or not all(1 <= axis < axes for axis in reduced) or len(set(reduced)) < len(reduced):
            raise ShapeError(
                f"dim={list(dims)} does not name axes of {show_shape(shape)}, each once (0 is the batch, which stays)",
                "E204",
            )
        return tuple(axis - 1 for axis in reduced)

    def gone(self, shape: Shape) -> tuple[int, ...]:
        """The axes of `shape` that the output does not have."""
        return () if self.keepdim else self.reduced(shape)

    def windows(self, *inputs: Shape) -> tuple[Window, ...]:
        reduced = self.reduced(inputs[0])
        return tuple(GLOBAL if axis in reduced else POINT for axis in range(1, len(inputs[0])))

    def channel_window(self, *inputs: Shape) -> Window:
        return GLOBAL if 0 in self.reduced(inputs[0]) else POINT

    def other_flops(self, *inputs: Shape) -> int:
        """One operation per value read."""
        return elements(inputs[0])


class Mean(_AbstractReduction):
    """The mean over the axes `dim`, which count the batch: 1 is the channels, -1 the last axis."""


class Sum(_AbstractReduction):
    """The sum over the axes `dim`, which count the batch: 1 is the channels, -1 the last axis."""


class Amax(_AbstractReduction):
    """The largest value along the axes `dim`, which count the batch: 1 is the channels, -1 the last axis."""


class Amin(_AbstractReduction):
    """The smallest value along the axes `dim`, which count the batch: 1 is the channels, -1 the last axis."""
