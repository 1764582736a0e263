"""Convolutions with standardised weights, for networks without batch norm.

In training the weight is standardised anew in each step; at inference it is one constant weight, as an exported file
has it, so that these cost as much as other convolutions.
"""

from math import prod
from typing import Annotated, ClassVar

from cnnspec.errors import ShapeError
from cnnspec.ops.arguments import Bounds
from cnnspec.ops.base import Initial, Shape
from cnnspec.ops.conv import AbstractSlidingConv

__all__ = ["ScaledStdConv", "StdConv"]

Positive = Annotated[float, Bounds(gt=0)]


class _AbstractStdConv(AbstractSlidingConv):
    """What both kinds share: an output channel reads more than one value, or there is no variance."""

    ranks: ClassVar[tuple[int, ...]] = (2,)

    def check_channels(self, shape: Shape) -> None:
        super().check_channels(shape)
        if shape[0] // self.groups * prod(self.kernel_size) == 1:
            raise ShapeError("an output channel has one weight, which cannot be standardised", "E204")


class StdConv(_AbstractStdConv):
    """`StdConv2d`: a convolution whose weight has mean 0 and variance 1 over all that an output channel reads.

    `(C, H, W) -> (out_channels, *out)`. Weight standardisation (Qiao et al. 2019), as in BiT (Kolesnikov et al. 2020).
    `eps` is added to the variance.
    """

    bias: bool = False
    eps: Positive = 1e-6


class ScaledStdConv(_AbstractStdConv):
    """`ScaledStdConv2d`: a convolution with a standardised weight, times a trained `gain` per output channel.

    `(C, H, W) -> (out_channels, *out)`. Scaled weight standardisation (Brock, De and Smith 2021): over the root of the
    fan-in, and times `gamma`, which makes up for what the activation before it takes of the variance. `gain` starts at
    `gain_init`.
    """

    eps: Positive = 1e-6
    gamma: float = 1.0
    gain_init: float = 1.0

    def scale(self, *inputs: Shape) -> float:
        """What the gain is multiplied by: `gamma / √fan_in`."""
        return float(self.gamma * super().initial("weight", *inputs).spread)

    def parameter_shapes(self, *inputs: Shape) -> dict[str, Shape]:
        return super().parameter_shapes(*inputs) | {"gain": (self.out_channels, *(1 for _ in inputs[0]))}

    def parameter_formula(self, *inputs: Shape) -> str:
        return f"{super().parameter_formula(*inputs)} + {self.out_channels}"

    def initial(self, key: str, *inputs: Shape) -> Initial:
        return Initial(self.gain_init) if key == "gain" else super().initial(key, *inputs)
