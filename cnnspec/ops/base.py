"""What every operator says about itself.

An operator is a frozen value: its fields are torch's arguments under torch's names, with torch's defaults
(`arguments.py`). Shapes are without the batch axis: `(features,)`, `(C, L)`, `(C, H, W)` or `(C, D, H, W)`.

The concrete methods of `AbstractOp` describe a pointwise operator without parameters. An operator overrides what is
different about it, in its own file, and nothing overrides it again: leaves are final. The facts that have no value
in `AbstractOp` are said by every operator, itself or its family.

The files of this package do without `from __future__ import annotations`: what a field takes is its annotation.
"""

from abc import abstractmethod
from collections.abc import Mapping
from math import prod
from typing import Annotated, Any, ClassVar, Final, NamedTuple

from cnnspec.errors import ShapeError
from cnnspec.ops.arguments import AbstractArguments, Bounds
from cnnspec.ops.window import POINT, Window

__all__ = [
    "AXES",
    "AbstractAlong",
    "AbstractOp",
    "AbstractSpatialOp",
    "Axis",
    "Count",
    "Initial",
    "Shape",
    "Sizes",
    "axis_of",
    "show_shape",
]

Shape = tuple[int, ...]

# The names of the spatial axes, by their number.
AXES: Final = {1: ("length",), 2: ("height", "width"), 3: ("depth", "height", "width")}

LIMIT = 2**31 - 1  # torch and onnxruntime index one axis with 32 bits in many kernels

Count = Annotated[int, Bounds(ge=1, le=LIMIT)]
Sizes = tuple[int, ...]
Axis = Annotated[int, Bounds(ge=-5, le=5)]  # of a tensor with its batch, as torch counts: 1 is the channels


def show_shape(shape: Shape) -> str:
    """`(6, 28, 28)` as people write it: `6x28x28`."""
    return "x".join(str(size) for size in shape)


def axis_of(dim: int, shape: Shape) -> int:
    """Which axis of `shape` torch's `dim` is, which counts the batch. Raises ShapeError where there is none."""
    axis = (dim if dim > 0 else len(shape) + 1 + dim) - 1
    if dim == 0 or not 0 <= axis < len(shape):
        raise ShapeError(f"dim={dim} is no axis of {show_shape(shape)} (0 is the batch, 1 the channels)", "E204")
    return axis


class Initial(NamedTuple):
    """How torch starts a tensor: as `value`, or drawn evenly within `spread` of it.

    A neutral value has no effect until it is trained or measured: the gain, the shift and the statistics of a norm.
    """

    value: float = 0.0
    spread: float = 0.0
    neutral: bool = False


class AbstractOp(AbstractArguments):
    """One kind of layer: its arguments, and the rules for shape, window, parameters and cost.

    It is no ABC, which would slow down every `isinstance` of every walk over a graph; mypy finds a missing rule anyway.
    """

    positional: ClassVar[tuple[str, ...]] = ()  # arguments that may be given by position, in order
    inferred: ClassVar[str | None] = None  # torch's argument that follows from the input shape
    arity: ClassVar[tuple[int, int | None]] = (1, 1)  # fewest and most inputs
    listed: ClassVar[tuple[str, ...]] = ()  # arguments of which one number is a list of one, and not one for all
    ranks: ClassVar[tuple[int, ...]] = ()  # for `Conv2d` and its siblings: spatial dimensions there are

    # No fact below has a default, which could be forgotten; the tests look for all of them.
    pointwise: ClassVar[bool]  # at inference one function at every place of the tensor, whichever axes it has
    keeps_sizes: ClassVar[bool]  # all axes but the first come out as they went in, whatever their sizes are
    slides: ClassVar[bool]  # a window of `kernel_size` slides over the input and reads it
    activation: ClassVar[bool]  # a nonlinearity on each value: two in a row are one too many
    passive: ClassVar[bool]  # at inference every value comes out as it went in, in the same order
    keeps_groups: ClassVar[bool]  # values stay in their group, however evenly the channels are cut into groups
    windowed: ClassVar[bool]  # it has a kernel or an output size: what it gives is a feature map
    features_last: ClassVar[bool]  # to it the last axis is one of features, or it puts another one last

    @property
    def op_name(self) -> str:
        """The name in a spec, which is torch's: `Conv2d`, `Linear`."""
        return type(self).__name__

    def arguments(self) -> dict[str, Any]:
        """The arguments that differ from their defaults, as short as a person would write them: 2 for (2, 2)."""
        arguments: dict[str, Any] = {}
        for name, field in self.fields().items():
            value = getattr(self, name)
            if isinstance(value, tuple) and len(set(value)) == 1 and (len(value) == 1 or name not in self.listed):
                value = value[0]
            if name != "rank" and (field.required or value != field.default):
                arguments[name] = value
        return arguments

    @abstractmethod
    def out_shape(self, *inputs: Shape) -> Shape:
        """The shape this layer gives for these input shapes. Raises ShapeError with the bare fact."""

    def windows(self, *inputs: Shape) -> tuple[Window, ...]:
        """What one output unit reads along each spatial axis of the (first) input."""
        return (POINT,) * (len(inputs[0]) - 1)

    def channel_window(self, *inputs: Shape) -> Window:
        """What one output channel reads along the first axis of the (first) input."""
        return POINT

    def parameter_shapes(self, *inputs: Shape) -> dict[str, Shape]:
        """Trainable tensors by their name in torch's `state_dict`, in torch's order."""
        return {}

    def buffer_shapes(self, *inputs: Shape) -> dict[str, Shape]:
        """Tensors that are saved but not trained, by their name in torch's `state_dict`."""
        return {}

    def constant_shapes(self, *inputs: Shape) -> dict[str, Shape]:
        """Tensors that a built layer holds and that are not saved, since they follow from its arguments."""
        return {}

    def parameter_formula(self, *inputs: Shape) -> str | None:
        """The parameter count as arithmetic with the numbers put in, without the result."""
        return None

    def initial(self, key: str, *inputs: Shape) -> Initial:
        """How torch starts the parameter or buffer `key`. Raises KeyError where there is none of this name."""
        raise KeyError(key)

    def macs(self, *inputs: Shape) -> int:
        """Multiply-accumulates of the matrix product inside, per sample; 0 where there is none."""
        return 0

    def mac_formula(self, *inputs: Shape) -> str | None:
        """The multiply-accumulates as a product in words, without the result; None where there are none."""
        return None

    @abstractmethod
    def other_flops(self, *inputs: Shape) -> int | None:
        """Operations besides the multiply-accumulates, per sample; None where they are not known."""


class AbstractAlong(AbstractOp):
    """An operator along one axis, which its argument `dim` chooses. The facts that it says hold for every choice.

    Along the channels, the default, all other axes come out as they went in, and no axis becomes one of features.
    """

    @abstractmethod
    def axis(self, shape: Shape) -> int:
        """The axis of `shape`, 0 for the channels or where `dim` is None. Raises ShapeError."""


class AbstractSpatialOp(AbstractOp):
    """An operator with a sibling for each number of spatial dimensions: `Conv1d`, `Conv2d`, `Conv3d` are one class.

    `rank` is that number. Fields named in `per_axis` hold one value per axis; a single number means all axes.
    """

    ranks: ClassVar[tuple[int, ...]] = (1, 2, 3)

    rank: int

    @property
    def op_name(self) -> str:
        return f"{type(self).__name__}{self.rank}d"

    @classmethod
    def spread(cls, name: str, value: Any, known: Mapping[str, Any]) -> Any:
        """One value per axis."""
        least = cls.per_axis.get(name)
        if least is None or isinstance(value, str) or value is None:
            return value
        rank = known["rank"]
        if type(value) is int:
            value = (value,) * rank
        elif not isinstance(value, (tuple, list)):
            raise ValueError(f"wants a whole number, or {rank} of them, not {value!r}")
        if len(value) != rank:
            raise ValueError(f"wants {rank} value{'s' if rank > 1 else ''}, one per axis, not {len(value)}")
        for size in value:
            if size is None and name == "output_size":
                continue
            if type(size) is not int:
                raise ValueError(f"wants whole numbers, not {size!r}")
            if not least <= size <= LIMIT:
                raise ValueError(f"{size} is out of range: at least {least}")
        return tuple(value)

    def check_rank(self, shape: Shape) -> None:
        """Raise ShapeError unless `shape` is channels and `rank` spatial axes."""
        if len(shape) != self.rank + 1:
            wanted = ", ".join(("channels", *AXES[self.rank]))
            raise ShapeError(f"wants {self.rank + 1} axes ({wanted}), not {show_shape(shape)}", "E202", verb=True)


def elements(shape: Shape) -> int:
    """How many numbers a tensor of this shape holds."""
    return prod(shape)
