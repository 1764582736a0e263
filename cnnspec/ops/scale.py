"""Trained numbers by themselves: a factor, or a term, per channel or for all."""

from typing import ClassVar

from cnnspec.ops.base import AbstractAlong, Axis, Initial, Shape, axis_of, elements

__all__ = ["Bias", "Scale"]


class _AbstractTrained(AbstractAlong):
    """One trained number for each unit of the axis `dim`, or a single one where that is None. Keeps the shape."""

    pointwise: ClassVar[bool] = False
    keeps_sizes: ClassVar[bool] = False  # along another axis than the first there are as many numbers as units
    slides: ClassVar[bool] = False
    activation: ClassVar[bool] = False
    passive: ClassVar[bool] = False
    keeps_groups: ClassVar[bool] = True
    windowed: ClassVar[bool] = False
    features_last: ClassVar[bool] = True  # with dim=-1
    positional: ClassVar[tuple[str, ...]] = ("init",)

    init: float
    dim: Axis | None = 1

    def axis(self, shape: Shape) -> int:
        return 0 if self.dim is None else axis_of(self.dim, shape)

    def out_shape(self, *inputs: Shape) -> Shape:
        (shape,) = inputs
        self.axis(shape)
        return shape

    def parameter_shapes(self, *inputs: Shape) -> dict[str, Shape]:
        """One tensor under the empty name: its full name is the node's."""
        (shape,) = inputs
        axis = self.axis(shape)
        return {"": (1,) if self.dim is None else (shape[axis], *(1 for _ in shape[axis + 1 :]))}

    def parameter_formula(self, *inputs: Shape) -> str:
        return "1" if self.dim is None else str(inputs[0][self.axis(inputs[0])])

    def initial(self, key: str, *inputs: Shape) -> Initial:
        return Initial(self.init)

    def other_flops(self, *inputs: Shape) -> int:
        """One operation per element."""
        return elements(inputs[0])


class Scale(_AbstractTrained):
    """Each channel times a trained factor that starts at `init`. `(C, *W) -> (C, *W)`.

    The factor is a parameter of shape `(C, 1, ...)` and bears the node's own name, without a `.weight`: ConvNeXt's
    `layer_scale` (Liu et al. 2022; Touvron et al. 2021, Going Deeper with Image Transformers). `dim` is the axis along
    which there is a factor for each unit, counted as in torch: 1 is the channels, -1 the last. With `dim=None` one
    factor stands for all, in a parameter of shape `(1,)`: ReZero's `resweight` (Bachlechner et al. 2021).
    """

    init: float = 1.0


class Bias(_AbstractTrained):
    """Each channel plus a trained term that starts at `init`. `(C, *W) -> (C, *W)`.

    The term is a parameter of shape `(C, 1, ...)` and bears the node's own name, without a `.bias`. `dim` is the axis
    along which there is a term for each unit, counted as in torch: 1 is the channels, -1 the last. With `dim=None` one
    term stands for all, in a parameter of shape `(1,)`, as in StarReLU (Yu et al. 2022, MetaFormer Baselines).
    """

    init: float = 0.0
