"""Activations: pointwise, except softmax and its logarithm."""

from typing import ClassVar, Literal

from cnnspec.errors import ShapeError
from cnnspec.ops.base import AbstractOp, Axis, Count, Initial, Shape, axis_of, elements, show_shape
from cnnspec.ops.window import GLOBAL, POINT, Window

__all__ = [
    "ELU",
    "GELU",
    "AbstractSoftmax",
    "Hardsigmoid",
    "Hardswish",
    "Hardtanh",
    "LeakyReLU",
    "LogSoftmax",
    "Mish",
    "PReLU",
    "ReLU",
    "ReLU6",
    "SiLU",
    "Sigmoid",
    "Softmax",
    "Softplus",
    "Tanh",
]


class _AbstractPointwise(AbstractOp):
    """Keeps the shape; each output depends on the input at the same place."""

    pointwise: ClassVar[bool] = True
    keeps_sizes: ClassVar[bool] = True
    slides: ClassVar[bool] = False
    activation: ClassVar[bool] = True
    passive: ClassVar[bool] = False
    keeps_groups: ClassVar[bool] = True
    windowed: ClassVar[bool] = False
    features_last: ClassVar[bool] = False

    def out_shape(self, *inputs: Shape) -> Shape:
        """Keeps the shape."""
        (shape,) = inputs
        return shape

    def other_flops(self, *inputs: Shape) -> int:
        """One operation per element."""
        return elements(inputs[0])


class ReLU(_AbstractPointwise):
    """`max(0, x)`."""

    positional: ClassVar[tuple[str, ...]] = ("inplace",)
    inplace: bool = False


class LeakyReLU(_AbstractPointwise):
    """`x` where positive, `negative_slope * x` elsewhere."""

    positional: ClassVar[tuple[str, ...]] = ("negative_slope",)
    negative_slope: float = 0.01
    inplace: bool = False


class SiLU(_AbstractPointwise):
    """`x * sigmoid(x)`, also called swish."""

    positional: ClassVar[tuple[str, ...]] = ("inplace",)
    inplace: bool = False


class GELU(_AbstractPointwise):
    """`x * Phi(x)`, with `Phi` the normal distribution function, or its tanh approximation."""

    positional: ClassVar[tuple[str, ...]] = ("approximate",)
    words: ClassVar[tuple[str, ...]] = ("approximate",)
    approximate: Literal["none", "tanh"] = "none"


class Tanh(_AbstractPointwise):
    """The hyperbolic tangent."""


class Sigmoid(_AbstractPointwise):
    """`1 / (1 + exp(-x))`."""


class ReLU6(_AbstractPointwise):
    """`min(max(0, x), 6)`."""

    positional: ClassVar[tuple[str, ...]] = ("inplace",)
    inplace: bool = False


class ELU(_AbstractPointwise):
    """`x` where positive, `alpha * (exp(x) - 1)` elsewhere (Clevert, Unterthiner and Hochreiter 2015)."""

    positional: ClassVar[tuple[str, ...]] = ("alpha",)
    alpha: float = 1.0
    inplace: bool = False


class Hardsigmoid(_AbstractPointwise):
    """`min(max(0, x + 3), 6) / 6`."""

    positional: ClassVar[tuple[str, ...]] = ("inplace",)
    inplace: bool = False


class Hardswish(_AbstractPointwise):
    """`x * hardsigmoid(x)` (Howard et al. 2019, Searching for MobileNetV3)."""

    positional: ClassVar[tuple[str, ...]] = ("inplace",)
    inplace: bool = False


class Hardtanh(_AbstractPointwise):
    """`min(max(min_val, x), max_val)`."""

    positional: ClassVar[tuple[str, ...]] = ("min_val",)
    min_val: float = -1.0
    max_val: float = 1.0
    inplace: bool = False

    def check_arguments(self) -> None:
        if self.min_val >= self.max_val:
            raise ValueError(f"wants a `min_val` below `max_val`, not {self.min_val} and {self.max_val}")


class Mish(_AbstractPointwise):
    """`x * tanh(softplus(x))` (Misra 2019)."""

    positional: ClassVar[tuple[str, ...]] = ("inplace",)
    inplace: bool = False


class Softplus(_AbstractPointwise):
    """`log(1 + exp(beta * x)) / beta`, and `x` where `beta * x` is above `threshold`."""

    positional: ClassVar[tuple[str, ...]] = ("beta",)
    beta: float = 1.0
    threshold: float = 20.0


class PReLU(_AbstractPointwise):
    """`x` where positive, `weight * x` elsewhere, with one trained weight or one per channel (He et al. 2015)."""

    pointwise: ClassVar[bool] = False  # channels have weights of their own
    positional: ClassVar[tuple[str, ...]] = ("num_parameters",)
    num_parameters: Count = 1
    init: float = 0.25

    def out_shape(self, *inputs: Shape) -> Shape:
        (shape,) = inputs
        if self.num_parameters not in (1, shape[0]):
            raise ShapeError(
                f"num_parameters is {self.num_parameters}, but the input {show_shape(shape)} has {shape[0]} channels:"
                " one for all, or one for each",
                "E203",
            )
        return shape

    def parameter_shapes(self, *inputs: Shape) -> dict[str, Shape]:
        return {"weight": (self.num_parameters,)}

    def parameter_formula(self, *inputs: Shape) -> str:
        return str(self.num_parameters)

    def initial(self, key: str, *inputs: Shape) -> Initial:
        return Initial(self.init)


class AbstractSoftmax(AbstractOp):
    """Keeps the shape; each output depends on all that the input has along `dim`."""

    pointwise: ClassVar[bool] = False
    keeps_sizes: ClassVar[bool] = True
    slides: ClassVar[bool] = False
    activation: ClassVar[bool] = False
    passive: ClassVar[bool] = False
    keeps_groups: ClassVar[bool] = True
    windowed: ClassVar[bool] = False
    features_last: ClassVar[bool] = False

    positional: ClassVar[tuple[str, ...]] = ("dim",)
    dim: Axis = 1

    def out_shape(self, *inputs: Shape) -> Shape:
        """Keeps the shape."""
        (shape,) = inputs
        axis_of(self.dim, shape)
        return shape

    def windows(self, *inputs: Shape) -> tuple[Window, ...]:
        along = axis_of(self.dim, inputs[0]) - 1
        return tuple(GLOBAL if axis == along else POINT for axis in range(len(inputs[0]) - 1))

    def channel_window(self, *inputs: Shape) -> Window:
        return POINT if axis_of(self.dim, inputs[0]) else GLOBAL


class Softmax(AbstractSoftmax):
    """Exponentials along `dim`, scaled to sum to 1. `dim` counts the batch axis, as in torch; 1 is the channels.

    Torch's default, `dim=None`, is deprecated there; here it is 1.
    """

    def other_flops(self, *inputs: Shape) -> int:
        """Five per element: compare, subtract, exponential, add, divide."""
        return 5 * elements(inputs[0])


class LogSoftmax(AbstractSoftmax):
    """The logarithm of `Softmax`: `x` less the logarithm of the sum of the exponentials along `dim`.

    Torch's default, `dim=None`, is deprecated there; here it is 1, the channels. Cross-entropy gives the same
    for what it puts out as for what it reads.
    """

    def other_flops(self, *inputs: Shape) -> int:
        """Five per element: compare, subtract, exponential, add, subtract."""
        return 5 * elements(inputs[0])
