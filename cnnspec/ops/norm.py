"""Normalisation. The statistics of all but batch norm are worked out at inference too, over the axes they name."""

from typing import Annotated, ClassVar

from cnnspec.errors import ShapeError
from cnnspec.ops.arguments import Bounds
from cnnspec.ops.base import (
    AbstractAlong,
    AbstractOp,
    AbstractSpatialOp,
    Axis,
    Count,
    Initial,
    Shape,
    axis_of,
    elements,
    show_shape,
)
from cnnspec.ops.window import GLOBAL, POINT, Sliding, Window

__all__ = ["GRN", "BatchNorm", "GroupNorm", "InstanceNorm", "LayerNorm", "LayerNorm2d", "LocalResponseNorm"]

Positive = Annotated[float, Bounds(gt=0)]


# Mean and variance take four operations per element (a sum; a difference, its square, their sum), the division one.
STATISTICS = 5

# What a norm starts with has no effect. Torch's counter of batches is the only whole number.
_NEUTRAL = {
    "weight": Initial(1, neutral=True),
    "bias": Initial(0, neutral=True),
    "running_mean": Initial(0, neutral=True),
    "running_var": Initial(1, neutral=True),
    "num_batches_tracked": Initial(0, neutral=True),
}


def _check_written(name: str, value: int | None, shape: Shape, actual: int) -> None:
    """Raise ShapeError unless an argument that follows from the input is absent or right."""
    if value is not None and value != actual:
        raise ShapeError(f"{name} is {value}, but the input {show_shape(shape)} has {actual}", "E203")


class _AbstractChannelNorm(AbstractSpatialOp):
    """Normalises each channel, by statistics of its own or by a running mean and variance, which are buffers."""

    pointwise: ClassVar[bool] = False
    keeps_sizes: ClassVar[bool] = True
    slides: ClassVar[bool] = False
    activation: ClassVar[bool] = False
    passive: ClassVar[bool] = False
    keeps_groups: ClassVar[bool] = True
    windowed: ClassVar[bool] = False
    features_last: ClassVar[bool] = False
    inferred: ClassVar[str | None] = "num_features"

    eps: Positive = 1e-5
    momentum: float | None = 0.1
    affine: bool = True
    track_running_stats: bool = True
    num_features: Count | None = None

    @property
    def global_statistics(self) -> bool:
        """Whether, at inference, every unit depends on all of its channel: without running statistics."""
        return not self.track_running_stats

    def parameter_shapes(self, *inputs: Shape) -> dict[str, Shape]:
        channels = inputs[0][:1]
        return {"weight": channels, "bias": channels} if self.affine else {}

    def buffer_shapes(self, *inputs: Shape) -> dict[str, Shape]:
        if not self.track_running_stats:
            return {}
        channels = inputs[0][:1]
        return {"running_mean": channels, "running_var": channels, "num_batches_tracked": ()}

    def parameter_formula(self, *inputs: Shape) -> str | None:
        return f"2*{inputs[0][0]}" if self.affine else None

    def initial(self, key: str, *inputs: Shape) -> Initial:
        return _NEUTRAL[key]


class BatchNorm(_AbstractChannelNorm):
    """`BatchNorm1d`, `2d`, `3d`: each channel to mean 0 and variance 1 over the batch (Ioffe and Szegedy 2015).

    Keeps the shape; `BatchNorm1d` also takes plain features.
    """

    def out_shape(self, *inputs: Shape) -> Shape:
        (shape,) = inputs
        if not (self.rank == 1 and len(shape) == 1):
            self.check_rank(shape)
        _check_written("num_features", self.num_features, shape, shape[0])
        return shape

    def other_flops(self, *inputs: Shape) -> int:
        """Two per element: at inference scale and shift are folded into one multiply and one add."""
        return 2 * elements(inputs[0])


class InstanceNorm(_AbstractChannelNorm):
    """`InstanceNorm1d`, `2d`, `3d`: each channel of each sample to mean 0 and variance 1 (Ulyanov et al. 2016)."""

    keeps_sizes: ClassVar[bool] = False  # one value per channel is refused

    affine: bool = False
    track_running_stats: bool = False

    def out_shape(self, *inputs: Shape) -> Shape:
        """Keeps the shape."""
        (shape,) = inputs
        self.check_rank(shape)
        _check_written("num_features", self.num_features, shape, shape[0])
        if not self.track_running_stats and elements(shape[1:]) == 1:
            raise ShapeError(f"wants more than one value per channel, not {show_shape(shape)}", verb=True)
        return shape

    def other_flops(self, *inputs: Shape) -> int:
        """2 per element with running statistics, as batch norm; else those, and 2 for scale and shift."""
        each = 2 if self.track_running_stats else STATISTICS + 2 * self.affine
        return each * elements(inputs[0])


class GroupNorm(AbstractOp):
    """The channels in `num_groups` groups, each to mean 0 and variance 1 (Wu and He 2018). Keeps the shape.

    `num_channels` follows from the input; where it is written it is checked.
    """

    pointwise: ClassVar[bool] = False
    keeps_sizes: ClassVar[bool] = True
    slides: ClassVar[bool] = False
    activation: ClassVar[bool] = False
    passive: ClassVar[bool] = False
    keeps_groups: ClassVar[bool] = True
    windowed: ClassVar[bool] = False
    features_last: ClassVar[bool] = False
    positional: ClassVar[tuple[str, ...]] = ("num_groups",)
    global_statistics: ClassVar[bool] = True  # every unit depends on all of its group

    num_groups: Count
    num_channels: Count | None = None
    eps: Positive = 1e-5
    affine: bool = True

    def out_shape(self, *inputs: Shape) -> Shape:
        (shape,) = inputs
        _check_written("num_channels", self.num_channels, shape, shape[0])
        if shape[0] % self.num_groups:
            raise ShapeError(f"num_groups={self.num_groups} does not divide the {shape[0]} input channels", "E204")
        return shape

    def parameter_shapes(self, *inputs: Shape) -> dict[str, Shape]:
        channels = inputs[0][:1]
        return {"weight": channels, "bias": channels} if self.affine else {}

    def parameter_formula(self, *inputs: Shape) -> str | None:
        return f"2*{inputs[0][0]}" if self.affine else None

    def initial(self, key: str, *inputs: Shape) -> Initial:
        return _NEUTRAL[key]

    def other_flops(self, *inputs: Shape) -> int:
        return (STATISTICS + 2 * self.affine) * elements(inputs[0])


class _AbstractLayerNorm(AbstractOp):
    """One axis of each sample to mean 0 and variance 1 (Ba, Kiros and Hinton 2016). Keeps the shape."""

    pointwise: ClassVar[bool] = False
    slides: ClassVar[bool] = False
    activation: ClassVar[bool] = False
    passive: ClassVar[bool] = False
    keeps_groups: ClassVar[bool] = True
    windowed: ClassVar[bool] = False
    inferred: ClassVar[str | None] = "normalized_shape"
    axis: ClassVar[int]  # of the shape, which has no batch

    eps: Positive = 1e-5
    elementwise_affine: bool = True
    bias: bool = True
    normalized_shape: Count | None = None

    def out_shape(self, *inputs: Shape) -> Shape:
        (shape,) = inputs
        _check_written("normalized_shape", self.normalized_shape, shape, shape[self.axis])
        return shape

    def parameter_shapes(self, *inputs: Shape) -> dict[str, Shape]:
        if not self.elementwise_affine:
            return {}
        weight: dict[str, Shape] = {"weight": (inputs[0][self.axis],)}
        return weight | {"bias": (inputs[0][self.axis],)} if self.bias else weight

    def parameter_formula(self, *inputs: Shape) -> str | None:
        size = inputs[0][self.axis]
        return (f"2*{size}" if self.bias else str(size)) if self.elementwise_affine else None

    def initial(self, key: str, *inputs: Shape) -> Initial:
        return _NEUTRAL[key]

    def other_flops(self, *inputs: Shape) -> int:
        affine = (1 + self.bias) if self.elementwise_affine else 0
        return (STATISTICS + affine) * elements(inputs[0])


class LayerNorm(_AbstractLayerNorm):
    """Layer norm over the last axis, as torch's with one number. `(*, features) -> (*, features)`."""

    keeps_sizes: ClassVar[bool] = False  # its weights are as wide as the last axis
    features_last: ClassVar[bool] = True
    axis: ClassVar[int] = -1

    def windows(self, *inputs: Shape) -> tuple[Window, ...]:
        """The whole of the last axis."""
        spatial = len(inputs[0]) - 1
        return (POINT,) * (spatial - 1) + (GLOBAL,) * min(1, spatial)

    def channel_window(self, *inputs: Shape) -> Window:
        """All of them where they are the last axis."""
        return GLOBAL if len(inputs[0]) == 1 else POINT


class LayerNorm2d(_AbstractLayerNorm):
    """Layer norm over the channels of images, as ConvNeXt's (Liu et al. 2022). `(C, H, W) -> (C, H, W)`."""

    keeps_sizes: ClassVar[bool] = True
    features_last: ClassVar[bool] = False
    axis: ClassVar[int] = 0

    def out_shape(self, *inputs: Shape) -> Shape:
        (shape,) = inputs
        if len(shape) != 3:
            raise ShapeError(f"wants 3 axes (channels, height, width), not {show_shape(shape)}", "E202", verb=True)
        _check_written("normalized_shape", self.normalized_shape, shape, shape[0])
        return shape

    def channel_window(self, *inputs: Shape) -> Window:
        """All channels of its place."""
        return GLOBAL


class LocalResponseNorm(AbstractOp):
    """Each value over `(k + alpha/size * the sum of squares of the size channels around it) ^ beta`.

    Krizhevsky, Sutskever and Hinton 2012, section 3.3, with torch's division by `size`. Keeps the shape.
    """

    pointwise: ClassVar[bool] = False
    keeps_sizes: ClassVar[bool] = True
    slides: ClassVar[bool] = False
    activation: ClassVar[bool] = False
    passive: ClassVar[bool] = False
    keeps_groups: ClassVar[bool] = True
    windowed: ClassVar[bool] = False
    features_last: ClassVar[bool] = False
    positional: ClassVar[tuple[str, ...]] = ("size",)

    size: Count
    alpha: float = 1e-4
    beta: float = 0.75
    k: float = 1.0

    def out_shape(self, *inputs: Shape) -> Shape:
        (shape,) = inputs
        if len(shape) < 2:
            raise ShapeError(f"wants channels and at least one axis, not {show_shape(shape)}", "E202", verb=True)
        return shape

    def channel_window(self, *inputs: Shape) -> Window:
        """The `size` channels around it."""
        return Sliding(self.size, before=self.size // 2, after=(self.size - 1) // 2)

    def other_flops(self, *inputs: Shape) -> int:
        """`size + 4` per element: its square, the sums, two for the base, the power and the division."""
        return (self.size + 4) * elements(inputs[0])


class GRN(AbstractAlong):
    """Each channel by how large it is beside the others, with a trained gain and shift, added to what it reads.

    Global response normalisation of ConvNeXt V2 (Woo et al. 2023): the Euclidean norm of each channel over all its
    places, divided by the mean of those norms. Gain and shift start at 0, so that it begins as the identity. `dim` is
    the axis of the channels, counted as in torch: 1, or -1 where they come last. Keeps the shape.
    """

    pointwise: ClassVar[bool] = False
    keeps_sizes: ClassVar[bool] = False  # with dim=-1 its weights are as wide as the last axis
    slides: ClassVar[bool] = False
    activation: ClassVar[bool] = False
    passive: ClassVar[bool] = False
    keeps_groups: ClassVar[bool] = True
    windowed: ClassVar[bool] = False
    features_last: ClassVar[bool] = True  # with dim=-1
    global_statistics: ClassVar[bool] = True  # every unit depends on all others

    eps: Positive = 1e-6
    dim: Axis = 1

    def axis(self, shape: Shape) -> int:
        return axis_of(self.dim, shape)

    def out_shape(self, *inputs: Shape) -> Shape:
        (shape,) = inputs
        self.axis(shape)
        if len(shape) < 2:
            raise ShapeError(f"wants channels and at least one axis, not {show_shape(shape)}", "E202", verb=True)
        return shape

    def parameter_shapes(self, *inputs: Shape) -> dict[str, Shape]:
        channels = (inputs[0][self.axis(inputs[0])],)
        return {"weight": channels, "bias": channels}

    def parameter_formula(self, *inputs: Shape) -> str:
        return f"2*{inputs[0][self.axis(inputs[0])]}"

    def initial(self, key: str, *inputs: Shape) -> Initial:
        return Initial(0)

    def other_flops(self, *inputs: Shape) -> int:
        """Six per element: its square, the sum of squares, the quotient, gain, shift and the sum."""
        return 6 * elements(inputs[0])
