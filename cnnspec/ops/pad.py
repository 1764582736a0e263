"""Padding as a layer of its own, for what a symmetric `padding` cannot say."""

from collections.abc import Mapping
from typing import Any, ClassVar, Final, Literal

from cnnspec.errors import ShapeError
from cnnspec.ops.base import LIMIT, AbstractSpatialOp, Shape, Sizes, show_shape
from cnnspec.ops.window import Border, Sliding, Window

__all__ = ["PADS", "CircularPad", "ConstantPad", "ReflectionPad", "ReplicationPad", "ZeroPad", "refuse_wide"]


class _AbstractPad(AbstractSpatialOp):
    """More places around each channel, or fewer; `border` is what stands in them."""

    pointwise: ClassVar[bool] = False
    keeps_sizes: ClassVar[bool] = False
    slides: ClassVar[bool] = False
    activation: ClassVar[bool] = False
    passive: ClassVar[bool] = False
    keeps_groups: ClassVar[bool] = True
    windowed: ClassVar[bool] = False
    features_last: ClassVar[bool] = False
    positional: ClassVar[tuple[str, ...]] = ("padding",)
    border: ClassVar[Border]

    padding: Sizes

    @classmethod
    def spread(cls, name: str, value: Any, known: Mapping[str, Any]) -> Any:
        """Two values per axis."""
        if name != "padding":
            return value
        wanted = 2 * known["rank"]
        values = (value,) * wanted if type(value) is int else value
        if not isinstance(values, (tuple, list)) or len(values) != wanted:
            raise ValueError(f"wants a whole number, or {wanted} of them (before and after, the last axis first)")
        if any(type(size) is not int or abs(size) > LIMIT for size in values):
            raise ValueError(f"wants whole numbers, not {tuple(values)!r:.60}")
        return tuple(values)

    def windows(self, *inputs: Shape) -> tuple[Window, ...]:
        return self.axes

    @property
    def axes(self) -> tuple[Sliding, ...]:
        """The padding of each axis, the first axis first."""
        pairs = zip(self.padding[-2::-2], self.padding[-1::-2], strict=True)
        return tuple(Sliding(1, before=before, after=after, border=self.border) for before, after in pairs)

    def out_shape(self, *inputs: Shape) -> Shape:
        (shape,) = inputs
        self.check_rank(shape)
        for window, size in zip(self.axes, shape[1:], strict=True):
            left = size + min(window.before, 0) + min(window.after, 0)
            if window.out_size(size) < 1 or left < _LEAST.get(self.border, left):
                raise ShapeError(f"the padding {self.padding} leaves nothing of {show_shape(shape)}")
            refuse_wide(window, size)
        return (shape[0], *(window.out_size(size) for window, size in zip(self.axes, shape[1:], strict=True)))

    def other_flops(self, *inputs: Shape) -> int:
        return 0


_LEAST: Final[dict[Border, int]] = {"constant": 0, "circular": 1}  # that crops leave: no padding makes up for less


def refuse_wide(window: Sliding, size: int) -> None:
    """Raise ShapeError where the padding wants more places than there are to copy: torch copies each once."""
    widest = max(window.before, window.after)
    if window.border == "reflect" and widest >= size:
        raise ShapeError(f"the padding {widest} is not smaller than the axis that it mirrors, of {size}")
    left = size + min(window.before, 0) + min(window.after, 0)
    if window.border == "circular" and widest > left:
        raise ShapeError(f"the padding {widest} is wider than what goes round, an axis of {left}")


class ZeroPad(_AbstractPad):
    """`ZeroPad1d`, `2d`, `3d`: zeros around each channel. `(C, *W) -> (C, *W + before + after)`.

    `padding` is one number, or torch's list: before and after for each axis, the last axis first, in two dimensions
    `(left, right, top, bottom)`. Negative numbers crop.
    """

    border: ClassVar[Border] = "constant"


class ConstantPad(_AbstractPad):
    """`ConstantPad1d`, `2d`, `3d`: a number around each channel. `(C, *W) -> (C, *W + before + after)`.

    `value` is a number, or `-inf`, which no maximum takes: with it a max pool has paddings that differ from end to end.

    `padding` is one number, or torch's list: before and after for each axis, the last axis first, in two dimensions
    `(left, right, top, bottom)`. Negative numbers crop.
    """

    border: ClassVar[Border] = "constant"
    words: ClassVar[tuple[str, ...]] = ("value",)

    value: float | Literal["-inf", "inf"]

    @property
    def number(self) -> float:
        """The value as a number."""
        return float(self.value)


class ReflectionPad(_AbstractPad):
    """`ReflectionPad1d`, `2d`, `3d`: the axis mirrored at its ends. `(C, *W) -> (C, *W + before + after)`.

    Along a row `1 2 3`, two places before and one after give `3 2 1 2 3 2`: the padding is smaller than the axis.

    `padding` is one number, or torch's list: before and after for each axis, the last axis first, in two dimensions
    `(left, right, top, bottom)`. Negative numbers crop.
    """

    border: ClassVar[Border] = "reflect"


class ReplicationPad(_AbstractPad):
    """`ReplicationPad1d`, `2d`, `3d`: both ends of the axis repeated. `(C, *W) -> (C, *W + before + after)`.

    Along a row `1 2 3`, two places before and one after give `1 1 1 2 3 3`.

    `padding` is one number, or torch's list: before and after for each axis, the last axis first, in two dimensions
    `(left, right, top, bottom)`. Negative numbers crop.
    """

    border: ClassVar[Border] = "replicate"


class CircularPad(_AbstractPad):
    """`CircularPad1d`, `2d`, `3d`: the axis goes round. `(C, *W) -> (C, *W + before + after)`.

    Along a row `1 2 3`, two places before and one after give `2 3 1 2 3 1`: the padding is no wider than the axis.

    `padding` is one number, or torch's list: before and after for each axis, the last axis first, in two dimensions
    `(left, right, top, bottom)`. Negative numbers crop.
    """

    border: ClassVar[Border] = "circular"


PADS: Final = (ZeroPad, ConstantPad, ReflectionPad, ReplicationPad, CircularPad)
