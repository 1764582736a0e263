"""Operators that move or pick values and compute nothing."""

from math import prod
from typing import Annotated, ClassVar

from cnnspec.errors import ShapeError
from cnnspec.ops.arguments import Bounds
from cnnspec.ops.base import AXES, LIMIT, AbstractAlong, AbstractOp, Axis, Count, Shape, axis_of, show_shape
from cnnspec.ops.window import POINT, Shuffled, Sliding, Window

__all__ = ["ChannelShuffle", "Flatten", "Identity", "Permute", "Slice"]


class Identity(AbstractOp):
    """Gives back what it reads."""

    pointwise: ClassVar[bool] = True
    keeps_sizes: ClassVar[bool] = True
    slides: ClassVar[bool] = False
    activation: ClassVar[bool] = False
    passive: ClassVar[bool] = True
    keeps_groups: ClassVar[bool] = True
    windowed: ClassVar[bool] = False
    features_last: ClassVar[bool] = False

    def out_shape(self, *inputs: Shape) -> Shape:
        """Keeps the shape."""
        (shape,) = inputs
        return shape

    def other_flops(self, *inputs: Shape) -> int:
        return 0


class Flatten(AbstractOp):
    """The axes `start_dim` to `end_dim` as one. Axes count the batch, as in torch: 1 is the channels."""

    pointwise: ClassVar[bool] = False
    keeps_sizes: ClassVar[bool] = False
    slides: ClassVar[bool] = False
    activation: ClassVar[bool] = False
    passive: ClassVar[bool] = True
    keeps_groups: ClassVar[bool] = True
    windowed: ClassVar[bool] = False
    features_last: ClassVar[bool] = True
    positional: ClassVar[tuple[str, ...]] = ("start_dim",)
    start_dim: Axis = 1
    end_dim: Axis = -1

    def out_shape(self, *inputs: Shape) -> Shape:
        """`(C, H, W) -> (C*H*W)` for the defaults."""
        (shape,) = inputs
        first, last = self.merged(shape)
        return (*shape[:first], prod(shape[first : last + 1]), *shape[last + 1 :])

    def merged(self, shape: Shape) -> tuple[int, int]:
        """The first and the last axis of `shape` that become one. Raises ShapeError."""
        axes = len(shape) + 1
        start, end = (dim + axes if dim < 0 else dim for dim in (self.start_dim, self.end_dim))
        if not (1 <= start < axes and 1 <= end < axes):
            raise ShapeError(
                f"start_dim={self.start_dim}, end_dim={self.end_dim} are no axes of {show_shape(shape)}"
                " (0 is the batch, which stays)",
                "E204",
            )
        if start > end:
            raise ShapeError(f"start_dim {self.start_dim} comes after end_dim {self.end_dim}", "E204")
        return start - 1, end - 1

    def other_flops(self, *inputs: Shape) -> int:
        return 0


class Permute(AbstractOp):
    """The axes in the order `dims`, which counts the batch, as in torch: `[0, 2, 3, 1]` puts the channels last.

    The batch stays in front.
    """

    pointwise: ClassVar[bool] = False
    keeps_sizes: ClassVar[bool] = False
    slides: ClassVar[bool] = False
    activation: ClassVar[bool] = False
    passive: ClassVar[bool] = False
    keeps_groups: ClassVar[bool] = False
    windowed: ClassVar[bool] = False
    features_last: ClassVar[bool] = True
    positional: ClassVar[tuple[str, ...]] = ("dims",)
    dims: tuple[Axis, ...]

    def out_shape(self, *inputs: Shape) -> Shape:
        """`(C, H, W) -> (H, W, C)` for `dims=[0, 2, 3, 1]`."""
        (shape,) = inputs
        return tuple(shape[axis] for axis in self.permuted(shape))

    def permuted(self, shape: Shape) -> tuple[int, ...]:
        """Which axis of `shape` each axis of the result is. Raises ShapeError."""
        axes = len(shape) + 1
        order = tuple(dim + axes if dim < 0 else dim for dim in self.dims)
        if sorted(order) != list(range(axes)) or order[0] != 0:
            raise ShapeError(
                f"dims={list(self.dims)} does not order the {axes} axes of {show_shape(shape)} and the batch,"
                " which is 0 and stays in front",
                "E204",
            )
        return tuple(axis - 1 for axis in order[1:])

    def other_flops(self, *inputs: Shape) -> int:
        return 0


class ChannelShuffle(AbstractOp):
    """The channels dealt out anew: channel `c` of `C` comes from `(c % groups) * (C/groups) + c // groups`.

    Zhang et al. 2018, ShuffleNet. It mixes what a grouped convolution kept apart.
    """

    pointwise: ClassVar[bool] = False
    keeps_sizes: ClassVar[bool] = True
    slides: ClassVar[bool] = False
    activation: ClassVar[bool] = False
    passive: ClassVar[bool] = False
    keeps_groups: ClassVar[bool] = False
    windowed: ClassVar[bool] = False
    features_last: ClassVar[bool] = False
    positional: ClassVar[tuple[str, ...]] = ("groups",)
    groups: Count

    def out_shape(self, *inputs: Shape) -> Shape:
        """Keeps the shape."""
        (shape,) = inputs
        if len(shape) < 2:
            raise ShapeError(f"wants channels and at least one axis, not {show_shape(shape)}", "E202", verb=True)
        if shape[0] % self.groups:
            raise ShapeError(f"groups={self.groups} does not divide the {shape[0]} input channels", "E204")
        return shape

    def channel_window(self, *inputs: Shape) -> Window:
        return Shuffled(inputs[0][0], self.groups)

    def other_flops(self, *inputs: Shape) -> int:
        return 0


class Slice(AbstractAlong):
    """Of the axis `dim` the units `start` to `end - 1`; negative numbers count from its end, `end=None` is all of it.

    `dim` counts the batch, as in torch: 1 is the channels.
    """

    pointwise: ClassVar[bool] = False
    keeps_sizes: ClassVar[bool] = False  # along another axis than the first
    slides: ClassVar[bool] = False
    activation: ClassVar[bool] = False
    passive: ClassVar[bool] = False
    keeps_groups: ClassVar[bool] = False
    windowed: ClassVar[bool] = False
    features_last: ClassVar[bool] = False
    positional: ClassVar[tuple[str, ...]] = ("start", "end")
    start: Annotated[int, Bounds(ge=-LIMIT, le=LIMIT)]
    end: Annotated[int, Bounds(ge=-LIMIT, le=LIMIT)] | None = None
    dim: Axis = 1

    def axis(self, shape: Shape) -> int:
        return axis_of(self.dim, shape)

    def bounds(self, size: int) -> tuple[int, int]:
        """First unit and the one after the last, both counted from the front."""
        end = size if self.end is None else self.end
        return (self.start + size if self.start < 0 else self.start, end + size if end < 0 else end)

    def out_shape(self, *inputs: Shape) -> Shape:
        """`(C, *W) -> (end - start, *W)` for `dim=1`."""
        (shape,) = inputs
        axis = self.axis(shape)
        start, end = self.bounds(shape[axis])
        if not 0 <= start < end <= shape[axis]:
            what = "channels" if axis == 0 else f"places on the axis {AXES[len(shape) - 1][axis - 1]}"
            raise ShapeError(f"there are no {what} {start} to {end - 1} in {show_shape(shape)}", "E204")
        return (*shape[:axis], end - start, *shape[axis + 1 :])

    def windows(self, *inputs: Shape) -> tuple[Window, ...]:
        """The unit `start` further on, along the axis that is cut."""
        shape, cut = inputs[0], self.axis(inputs[0])
        return tuple(self._window(shape[axis]) if axis == cut else POINT for axis in range(1, len(shape)))

    def channel_window(self, *inputs: Shape) -> Window:
        """The channel `start` further on, where channels are cut."""
        return POINT if self.axis(inputs[0]) else self._window(inputs[0][0])

    def _window(self, size: int) -> Window:
        start, end = self.bounds(size)
        return Sliding(1, before=-start, after=end - size)

    def other_flops(self, *inputs: Shape) -> int:
        return 0
