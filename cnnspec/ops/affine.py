"""Constants by which every value is multiplied, and that are added to it."""

from typing import ClassVar

from cnnspec.ops.base import AbstractOp, Shape, elements

__all__ = ["Affine"]


class Affine(AbstractOp):
    """`x * scale + shift` with two constants, which are not trained."""

    pointwise: ClassVar[bool] = True
    keeps_sizes: ClassVar[bool] = True
    slides: ClassVar[bool] = False
    activation: ClassVar[bool] = False
    passive: ClassVar[bool] = False
    keeps_groups: ClassVar[bool] = True
    windowed: ClassVar[bool] = False
    features_last: ClassVar[bool] = False
    positional: ClassVar[tuple[str, ...]] = ("scale",)
    scale: float = 1.0
    shift: float = 0.0

    def out_shape(self, *inputs: Shape) -> Shape:
        """Keeps the shape."""
        (shape,) = inputs
        return shape

    def other_flops(self, *inputs: Shape) -> int:
        """A multiplication per element, unless by 1, and an addition, unless of 0."""
        return ((self.scale != 1) + (self.shift != 0)) * elements(inputs[0])
