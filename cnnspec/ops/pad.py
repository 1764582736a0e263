"""Padding as a layer of its own, for what a symmetric `padding` cannot say."""

from collections.abc import Mapping
from typing import Any, ClassVar

from cnnspec.errors import ShapeError
from cnnspec.ops.base import LIMIT, AbstractSpatialOp, Shape, Sizes, show_shape
from cnnspec.ops.window import Sliding, Window

__all__ = ["ZeroPad"]


class ZeroPad(AbstractSpatialOp):
    """`ZeroPad1d`, `2d`, `3d`: zeros around each channel. `(C, *W) -> (C, *W + before + after)`.

    `padding` is one number, or torch's list: before and after for each axis, the last axis first, in two dimensions
    `(left, right, top, bottom)`. Negative numbers crop.
    """

    pointwise: ClassVar[bool] = False
    keeps_sizes: ClassVar[bool] = False
    slides: ClassVar[bool] = False
    activation: ClassVar[bool] = False
    passive: ClassVar[bool] = False
    keeps_groups: ClassVar[bool] = True
    windowed: ClassVar[bool] = False
    features_last: ClassVar[bool] = False
    positional: ClassVar[tuple[str, ...]] = ("padding",)
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
        return self._sliding()

    def _sliding(self) -> tuple[Sliding, ...]:
        pairs = zip(self.padding[-2::-2], self.padding[-1::-2], strict=True)
        return tuple(Sliding(1, before=before, after=after) for before, after in pairs)

    def out_shape(self, *inputs: Shape) -> Shape:
        (shape,) = inputs
        self.check_rank(shape)
        axes = list(zip(self._sliding(), shape[1:], strict=True))
        out = tuple(window.out_size(size) for window, size in axes)
        if min(out) < 1 or any(size + min(window.before, 0) + min(window.after, 0) < 0 for window, size in axes):
            raise ShapeError(f"the padding {self.padding} leaves nothing of {show_shape(shape)}")
        return (shape[0], *out)

    def other_flops(self, *inputs: Shape) -> int:
        return 0
