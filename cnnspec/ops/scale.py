"""A trained factor per channel."""

from typing import ClassVar

from cnnspec.ops.base import AbstractOp, Initial, Shape, elements

__all__ = ["Scale"]


class Scale(AbstractOp):
    """Each channel times a trained factor that starts at `init`. `(C, *W) -> (C, *W)`.

    The factor is a parameter of shape `(C, 1, ...)` and bears the node's own name, without a `.weight`: ConvNeXt's
    `layer_scale` (Liu et al. 2022; Touvron et al. 2021, Going Deeper with Image Transformers).
    """

    pointwise: ClassVar[bool] = False
    keeps_sizes: ClassVar[bool] = True
    slides: ClassVar[bool] = False
    activation: ClassVar[bool] = False
    passive: ClassVar[bool] = False
    keeps_groups: ClassVar[bool] = True
    windowed: ClassVar[bool] = False
    features_last: ClassVar[bool] = False
    positional: ClassVar[tuple[str, ...]] = ("init",)
    init: float = 1.0

    def out_shape(self, *inputs: Shape) -> Shape:
        (shape,) = inputs
        return shape

    def parameter_shapes(self, *inputs: Shape) -> dict[str, Shape]:
        """One tensor under the empty name: its full name is the node's."""
        (shape,) = inputs
        return {"": (shape[0], *(1 for _ in shape[1:]))}

    def parameter_formula(self, *inputs: Shape) -> str:
        return str(inputs[0][0])

    def initial(self, key: str, *inputs: Shape) -> Initial:
        return Initial(self.init)

    def other_flops(self, *inputs: Shape) -> int:
        """One multiplication per element."""
        return elements(inputs[0])
