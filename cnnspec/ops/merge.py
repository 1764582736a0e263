"""Joins: the operators that read several nodes."""

from typing import ClassVar, Final

from cnnspec.errors import ShapeError
from cnnspec.ops.base import AbstractOp, Axis, Shape, axis_of, elements, show_shape

__all__ = ["ELEMENTWISE", "Add", "Concat", "Div", "Mul", "Sub"]


class _AbstractJoin(AbstractOp):
    """Reads any number of nodes, whose sizes have to fit together."""

    pointwise: ClassVar[bool] = False
    keeps_sizes: ClassVar[bool] = False
    slides: ClassVar[bool] = False
    activation: ClassVar[bool] = False
    passive: ClassVar[bool] = False
    keeps_groups: ClassVar[bool] = False
    windowed: ClassVar[bool] = False
    features_last: ClassVar[bool] = False
    arity: ClassVar[tuple[int, int | None]] = (1, None)


class _AbstractElementwise(_AbstractJoin):
    """Combines its reads number by number, as torch broadcasts: axes of size 1 are as long as the others want.

    All have as many axes as the first: the batch is one of them, and the others cannot move beside it.
    """

    def out_shape(self, *inputs: Shape) -> Shape:
        """Each axis as long as the longest: `(C, H, W), (C, 1, 1) -> (C, H, W)`."""
        return self.results(*inputs)[-1]

    def results(self, *inputs: Shape) -> list[Shape]:
        """The shapes of the first read, of what it and the second give, and so on. Raises ShapeError."""
        out = inputs[0]
        shapes = [out]
        for shape in inputs[1:]:
            if len(shape) != len(out) or any(a != b and 1 not in (a, b) for a, b in zip(out, shape, strict=True)):
                message = f"wants equal shapes, or 1 in place of a size, not {show_shape(out)} and {show_shape(shape)}"
                raise ShapeError(message, "E205", verb=True)
            out = tuple(max(a, b) for a, b in zip(out, shape, strict=True))
            shapes.append(out)
        return shapes

    def other_flops(self, *inputs: Shape) -> int:
        return sum(map(elements, self.results(*inputs)[1:]))


class Add(_AbstractElementwise):
    """The sum of its reads; axes of size 1 are broadcast."""


class Sub(_AbstractElementwise):
    """The first of two reads less the second; axes of size 1 are broadcast."""

    arity: ClassVar[tuple[int, int | None]] = (2, 2)


class Mul(_AbstractElementwise):
    """The product of its reads; axes of size 1 are broadcast, as in a squeeze-and-excitation gate."""


class Div(_AbstractElementwise):
    """The first of two reads divided by the second; axes of size 1 are broadcast."""

    arity: ClassVar[tuple[int, int | None]] = (2, 2)


class Concat(_AbstractJoin):
    """Its reads side by side on the axis `dim`, by default the channels; all other axes are equal.

    `dim` counts the batch, as in torch: `Concat(a, b, dim=2)` puts them one below the other.
    """

    dim: Axis = 1

    def axis(self, shape: Shape) -> int:
        """The axis of `shape` on which they are joined. Raises ShapeError."""
        return axis_of(self.dim, shape)

    def out_shape(self, *inputs: Shape) -> Shape:
        """`(A, *W), (B, *W) -> (A + B, *W)` for `dim=1`."""
        first = inputs[0]
        axis = self.axis(first)
        for shape in inputs[1:]:
            if len(shape) != len(first) or (*shape[:axis], *shape[axis + 1 :]) != (*first[:axis], *first[axis + 1 :]):
                what = "channels" if axis == 0 else f"axis {axis + 1}"
                raise ShapeError(
                    f"joins {what}, and all other axes must be equal: {show_shape(first)} and {show_shape(shape)}",
                    "E205",
                    verb=True,
                )
        return (*first[:axis], sum(shape[axis] for shape in inputs), *first[axis + 1 :])

    def other_flops(self, *inputs: Shape) -> int:
        return 0


ELEMENTWISE: Final = (Add, Sub, Mul, Div)
