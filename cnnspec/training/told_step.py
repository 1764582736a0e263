"""What is told of one training step: plain values, for people, JSON and pages. Nothing here imports torch."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from typing import Final

from cnnspec.ops import Shape

__all__ = ["ClassTerm", "LayerGradient", "MovedWeight", "Pixels", "TrainingStep"]

FAR: Final = 1e3  # between the signal of the first and of the last layer, from which it vanishes or explodes
DEAD: Final = 0.5  # share of an activation's channels through which no gradient goes, from which this is said


@dataclass(frozen=True, slots=True)
class ClassTerm:
    """One class: its score, what the network says of it, what it should say, and what the difference costs."""

    name: str
    score: float
    probability: float
    target: float
    error: float  # its term of the error
    probability_after: float  # of the same image, after the update


@dataclass(frozen=True, slots=True)
class LayerGradient:
    """What reaches one layer on the way back.

    All are Euclidean norms: `signal` of the error's gradient by the layer's output, None where none comes so far;
    `gradient` of that by all of its trained parameters, `weights` of these and `update` of their change, None of a
    layer without. `blocked` is the share of an
    activation's units whose derivative is zero, and `blocked_channels` counts those channels (or values of a vector)
    where it is zero throughout.
    """

    layer: str
    operator: str
    shape: Shape
    signal: float | None
    gradient: float | None
    weights: float | None
    update: float | None
    blocked: float | None
    blocked_channels: int | None


@dataclass(frozen=True, slots=True)
class MovedWeight:
    """One weight before and after the update, with the rule's arithmetic."""

    tensor: str
    index: tuple[int, ...]
    before: float
    gradient: float
    after: float
    arithmetic: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Pixels:
    """An image as bytes, one plane after the other: `shape` is `(C, H, W)`."""

    shape: tuple[int, int, int]
    values: bytes


@dataclass(frozen=True)
class TrainingStep:
    """One training step on one image: forward, error, backward, update, and forward again."""

    network: str
    start: str  # where its weights come from
    image: str
    label: str
    loss: str
    rule: str
    classes: tuple[ClassTerm, ...]
    error_after: float
    layers: tuple[LayerGradient, ...]
    moved: tuple[MovedWeight, ...]
    pixels: Pixels | None = None  # of the image, where it is known

    @property
    def error(self) -> float:
        """The sum of the terms of all classes."""
        return math.fsum(term.error for term in self.classes)

    @property
    def remarks(self) -> tuple[str, ...]:
        """What is out of the ordinary on the way back: gradients that vanish or explode, what blocks them."""
        return tuple(self._remarks())

    def _remarks(self) -> Iterator[str]:
        heads = [row for row in self.layers if row.gradient is not None and row.signal is not None]
        if len(heads) > 1:
            first, last = heads[0], heads[-1]
            assert first.signal is not None
            assert last.signal is not None
            both = f"{first.signal:.2g} at `{first.layer}`, {last.signal:.2g} at `{last.layer}`"
            if first.signal * FAR < last.signal:
                yield f"the gradient vanishes: {both}"
            elif first.signal > FAR * last.signal > 0:
                yield f"the gradient explodes: {both}"
        for row in heads:
            if row.gradient == 0:
                yield f"no gradient reaches the weights of `{row.layer}`"
        for row in self.layers:
            count = row.shape[0]
            if row.blocked_channels is not None and row.blocked_channels >= DEAD * count:
                what = "channels" if len(row.shape) > 1 else "values"
                yield f"`{row.layer}` lets nothing through {row.blocked_channels} of its {count} {what} for this image"

    def to_dict(self) -> dict[str, object]:
        """As JSON has it, without the pixels."""
        told = asdict(replace(self, pixels=None))
        del told["pixels"]
        return {"cnnspec": 1, **told, "error": self.error, "remarks": list(self.remarks)}
