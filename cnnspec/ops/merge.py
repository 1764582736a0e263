"""Joins: the operators that read several nodes."""

from typing import ClassVar

from cnnspec.errors import ShapeError
from cnnspec.ops.base import AbstractOp, Shape, elements, show_shape

__all__ = ["Add", "Concat", "Mul"]


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


class Add(_AbstractJoin):
    """The sum of its reads, which have equal shapes."""

    def out_shape(self, *inputs: Shape) -> Shape:
        """Keeps the shape."""
        for shape in inputs[1:]:
            if shape != inputs[0]:
                raise ShapeError(
                    f"wants equal shapes, not {show_shape(inputs[0])} and {show_shape(shape)}", "E205", verb=True
                )
        return inputs[0]

    def other_flops(self, *inputs: Shape) -> int:
        return (len(inputs) - 1) * elements(inputs[0])


class Mul(_AbstractJoin):
    """The product of its reads; axes of size 1 are broadcast, as in a squeeze-and-excitation gate."""

    def out_shape(self, *inputs: Shape) -> Shape:
        """Each axis as long as the longest: `(C, H, W), (C, 1, 1) -> (C, H, W)`."""
        return self.products(*inputs)[-1]

    def products(self, *inputs: Shape) -> list[Shape]:
        """The shapes of the first read, of its product with the second, and so on. Raises ShapeError."""
        out = inputs[0]
        shapes = [out]
        for shape in inputs[1:]:
            if len(shape) != len(out) or any(a != b and 1 not in (a, b) for a, b in zip(out, shape, strict=True)):
                raise ShapeError(f"cannot broadcast {show_shape(out)} and {show_shape(shape)}", "E205", verb=True)
            out = tuple(max(a, b) for a, b in zip(out, shape, strict=True))
            shapes.append(out)
        return shapes

    def other_flops(self, *inputs: Shape) -> int:
        return sum(map(elements, self.products(*inputs)[1:]))


class Concat(_AbstractJoin):
    """Its reads side by side on the channel axis; all other axes are equal."""

    def out_shape(self, *inputs: Shape) -> Shape:
        """`(A, *W), (B, *W) -> (A + B, *W)`."""
        for shape in inputs[1:]:
            if shape[1:] != inputs[0][1:]:
                raise ShapeError(
                    "joins channels, and all other axes must be equal:"
                    f" {show_shape(inputs[0])} and {show_shape(shape)}",
                    "E205",
                    verb=True,
                )
        return (sum(shape[0] for shape in inputs), *inputs[0][1:])

    def other_flops(self, *inputs: Shape) -> int:
        return 0
