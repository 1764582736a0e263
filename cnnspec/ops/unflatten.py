"""Operators that cut axes into several, or put them together anew, and leave every value where it is in memory."""

from collections.abc import Mapping
from math import prod
from typing import Annotated, Any, ClassVar, NamedTuple

from cnnspec.errors import ShapeError
from cnnspec.ops.arguments import Bounds
from cnnspec.ops.base import LIMIT, AbstractOp, Shape, elements, show_shape

__all__ = ["Regrouping", "Reshape", "Unflatten"]

Axis = Annotated[int, Bounds(ge=-5, le=5)]
Size = Annotated[int, Bounds(ge=-1, le=LIMIT)]

MOST_AXES = 4  # the channels and three of space


class Regrouping(NamedTuple):
    """Axes that become others with as many values: `shape[first:stop]` is `out[out_first:out_stop]`."""

    first: int
    stop: int
    out_first: int
    out_stop: int


class _AbstractReshape(AbstractOp):
    """Every value stays where it is in memory, and so does the batch."""

    pointwise: ClassVar[bool] = False
    keeps_sizes: ClassVar[bool] = False
    slides: ClassVar[bool] = False
    activation: ClassVar[bool] = False
    passive: ClassVar[bool] = True
    keeps_groups: ClassVar[bool] = True
    windowed: ClassVar[bool] = False

    def regroupings(self, shape: Shape) -> tuple[Regrouping, ...]:
        """Which axes become which, in parts as small as can be. Axes of size 1 go with those before them."""
        out = self.out_shape(shape)
        parts: list[Regrouping] = []
        at = out_at = 0
        while at < len(shape) and out_at < len(out):
            stop, out_stop = at + 1, out_at + 1
            size, out_size = shape[at], out[out_at]
            while size != out_size:
                if size < out_size:
                    size, stop = size * shape[stop], stop + 1
                else:
                    out_size, out_stop = out_size * out[out_stop], out_stop + 1
            parts.append(Regrouping(at, stop, out_at, out_stop))
            at, out_at = stop, out_stop
        return (*parts[:-1], parts[-1]._replace(stop=len(shape), out_stop=len(out)))

    def other_flops(self, *inputs: Shape) -> int:
        return 0


class Unflatten(_AbstractReshape):
    """The axis `dim` as several. It counts the batch, as in torch: 1 is the channels, -1 the last axis.

    One of the sizes may be -1: it is what the others leave.
    """

    features_last: ClassVar[bool] = False
    positional: ClassVar[tuple[str, ...]] = ("dim",)
    listed: ClassVar[tuple[str, ...]] = ("unflattened_size",)

    dim: Axis
    unflattened_size: Size | tuple[Size, ...]

    @classmethod
    def spread(cls, name: str, value: Any, known: Mapping[str, Any]) -> Any:
        """A list of one for a single size."""
        return (value,) if name == "unflattened_size" and type(value) is int else value

    def check_arguments(self) -> None:
        _check_sizes("unflattened_size", self.sizes)

    @property
    def sizes(self) -> tuple[int, ...]:
        """The sizes as they are written."""
        given = self.unflattened_size
        return given if isinstance(given, tuple) else (given,)

    def axis(self, shape: Shape) -> int:
        """The axis of `shape` that is cut. Raises ShapeError."""
        axes = len(shape) + 1
        dim = self.dim + axes if self.dim < 0 else self.dim
        if not 1 <= dim < axes:
            raise ShapeError(f"dim={self.dim} is no axis of {show_shape(shape)} (0 is the batch, which stays)", "E204")
        return dim - 1

    def out_shape(self, *inputs: Shape) -> Shape:
        """`(C, H, W) -> (2, C/2, H, W)` for `dim=1` and `unflattened_size=[2, -1]`."""
        (shape,) = inputs
        axis = self.axis(shape)
        sizes = _filled(self.sizes, shape[axis], f"an axis of {shape[axis]}")
        return _few_axes((*shape[:axis], *sizes, *shape[axis + 1 :]))


class Reshape(_AbstractReshape):
    """The values in the same order on axes of these sizes, without the batch.

    One of the sizes may be -1: it is what the others leave. `Unflatten` cuts one axis, and `Flatten` merges some,
    whatever the sizes of the others are.
    """

    features_last: ClassVar[bool] = True
    positional: ClassVar[tuple[str, ...]] = ("shape",)
    listed: ClassVar[tuple[str, ...]] = ("shape",)

    shape: Size | tuple[Size, ...]

    @classmethod
    def spread(cls, name: str, value: Any, known: Mapping[str, Any]) -> Any:
        """A list of one for a single size."""
        return (value,) if type(value) is int else value

    def check_arguments(self) -> None:
        _check_sizes("shape", self.sizes)

    @property
    def sizes(self) -> tuple[int, ...]:
        """The sizes as they are written."""
        return self.shape if isinstance(self.shape, tuple) else (self.shape,)

    def out_shape(self, *inputs: Shape) -> Shape:
        """`(C, H, W) -> (8, C*H*W/8)` for `shape=[8, -1]`."""
        (shape,) = inputs
        return _few_axes(_filled(self.sizes, elements(shape), f"the {elements(shape)} values of {show_shape(shape)}"))


def _check_sizes(name: str, sizes: tuple[int, ...]) -> None:
    if not sizes or 0 in sizes or sizes.count(-1) > 1:
        raise ValueError(f"wants whole numbers from 1 as `{name}`, one of which may be -1, not {list(sizes)!r:.60}")


def _filled(sizes: tuple[int, ...], total: int, what: str) -> Shape:
    """The sizes, with what is left in place of -1. Raises ShapeError where they do not multiply to `total`."""
    known = prod(size for size in sizes if size > 0)
    if total % known or (-1 not in sizes and known != total):
        raise ShapeError(f"{list(sizes)} does not fit {what}", "E204")
    return tuple(size if size > 0 else total // known for size in sizes)


def _few_axes(shape: Shape) -> Shape:
    if len(shape) > MOST_AXES:
        raise ShapeError(f"gives {len(shape)} axes, and there are {MOST_AXES} at most", "E202", verb=True)
    return shape
