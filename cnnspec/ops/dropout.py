"""Noise in training that is absent at inference."""

from typing import Annotated, ClassVar, Literal

from cnnspec.ops.arguments import Bounds
from cnnspec.ops.base import AbstractOp, Shape

__all__ = ["Dropout", "StochasticDepth"]

Probability = Annotated[float, Bounds(ge=0, le=1)]


class _AbstractDropout(AbstractOp):
    """Keeps the shape, and at inference the values: no operations."""

    pointwise: ClassVar[bool] = True
    keeps_sizes: ClassVar[bool] = True
    slides: ClassVar[bool] = False
    activation: ClassVar[bool] = False
    passive: ClassVar[bool] = True
    keeps_groups: ClassVar[bool] = True
    windowed: ClassVar[bool] = False
    features_last: ClassVar[bool] = False
    positional: ClassVar[tuple[str, ...]] = ("p",)

    def out_shape(self, *inputs: Shape) -> Shape:
        """Keeps the shape."""
        (shape,) = inputs
        return shape

    def other_flops(self, *inputs: Shape) -> int:
        return 0


class Dropout(_AbstractDropout):
    """Zeroes each element with probability `p` in training; nothing at inference."""

    p: Probability = 0.5
    inplace: bool = False


class StochasticDepth(_AbstractDropout):
    """Zeroes the whole tensor of a sample (mode `row`) or of the batch with probability `p` in training.

    Placed at the end of a residual branch it drops the branch (Huang et al. 2016, Deep Networks with Stochastic
    Depth; `torchvision.ops.StochasticDepth`). What is kept is divided by `1 - p`.
    """

    words: ClassVar[tuple[str, ...]] = ("mode",)
    p: Probability
    mode: Literal["row", "batch"] = "row"
