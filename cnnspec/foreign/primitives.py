"""What sources compute that is no operator of the language by itself, but may be one together with its neighbours.

A reader gives a call one of these where there is no operator for it; `lift` makes operators of chains of them. What is
left at the end is a gap. Axes count the batch, as in torch: 1 is the channels. Shapes are without it.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import Literal

from cnnspec.ops import Shape, show_shape

__all__ = [
    "Affine",
    "Blurred",
    "Clamped",
    "Cut",
    "Divided",
    "Joined",
    "Padded",
    "Parameter",
    "Power",
    "Primitive",
    "Reduced",
    "Reshaped",
    "Subtracted",
]


class Primitive:
    """Base of all."""

    __slots__ = ()

    @property
    @abstractmethod
    def missing(self) -> str:
        """What the language lacks where this is left by itself."""


@dataclass(frozen=True, slots=True)
class Parameter(Primitive):
    """A trained tensor as a value: it reads nothing, and its one weight has the key ``""``. No batch axis.

    `start` is what all of its numbers are, where they are alike: so they are before any training.
    """

    shape: Shape
    start: float | None = None

    @property
    def missing(self) -> str:
        return f"a trained tensor of {show_shape(self.shape) or 'one number'} that is no weight of a layer"


@dataclass(frozen=True, slots=True)
class Affine(Primitive):
    """`x * factor + shift`, with constants."""

    factor: float = 1.0
    shift: float = 0.0

    @property
    def missing(self) -> str:
        return f"a product and a sum with constants, x*{self.factor:g}{self.shift:+g}"


@dataclass(frozen=True, slots=True)
class Power(Primitive):
    """`x ** exponent`."""

    exponent: float

    @property
    def missing(self) -> str:
        return f"the power {self.exponent:g}"


@dataclass(frozen=True, slots=True)
class Clamped(Primitive):
    """`min(max(x, low), high)`; None is no limit."""

    low: float | None = None
    high: float | None = None

    @property
    def missing(self) -> str:
        return f"limits at {self.low} and {self.high}"


@dataclass(frozen=True, slots=True)
class Subtracted(Primitive):
    """The first read less the second, broadcast."""

    @property
    def missing(self) -> str:
        return "a difference of two layers"


@dataclass(frozen=True, slots=True)
class Divided(Primitive):
    """The first read by the second, broadcast."""

    @property
    def missing(self) -> str:
        return "a quotient of two layers"


@dataclass(frozen=True, slots=True)
class Reshaped(Primitive):
    """The same values in their order as another shape, sample by sample."""

    shape: Shape

    @property
    def missing(self) -> str:
        return f"a reshape to {show_shape(self.shape)}"


@dataclass(frozen=True, slots=True)
class Reduced(Primitive):
    """Mean, sum, largest or smallest value, or Euclidean norm, over `dims`; `keepdim` leaves them with size 1."""

    how: Literal["mean", "sum", "max", "min", "norm"]
    dims: tuple[int, ...]
    keepdim: bool

    @property
    def missing(self) -> str:
        return f"the {self.how} over the axes {', '.join(map(str, self.dims))}"


@dataclass(frozen=True, slots=True)
class Cut(Primitive):
    """From `start` to before `end`, every `step`-th, along `dim`. All are counted from the front, within the axis."""

    dim: int
    start: int
    end: int
    step: int = 1

    @property
    def missing(self) -> str:
        every = f", one of {self.step}," if self.step != 1 else ""
        return f"a slice {self.start} to {self.end}{every} of axis {self.dim}"


@dataclass(frozen=True, slots=True)
class Joined(Primitive):
    """Its reads one after the other along `dim`."""

    dim: int

    @property
    def missing(self) -> str:
        return f"a concatenation along axis {self.dim}"


@dataclass(frozen=True, slots=True)
class Padded(Primitive):
    """Each axis of `padding` (before and after, the last axis first, as torch's) is padded; negative numbers crop."""

    padding: tuple[int, ...]
    mode: Literal["constant", "reflect", "replicate", "circular"] = "constant"
    value: float = 0.0

    @property
    def missing(self) -> str:
        filled = self.mode if self.mode != "constant" else f"{self.value:g}"
        return f"padding {self.padding} with {filled}"


@dataclass(frozen=True, slots=True)
class Blurred(Primitive):
    """Each channel of an image under the binomial filter of so many taps along each axis, without padding."""

    filt_size: int
    stride: int

    @property
    def missing(self) -> str:
        return f"a blur of {self.filt_size}x{self.filt_size} whose image is not mirrored at its ends"
