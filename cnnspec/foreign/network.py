"""What every source is read to: its calls in running order, with the scopes they ran in and the tensors they use."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from cnnspec.foreign.primitives import Primitive
from cnnspec.ops import AnyOp, Shape

__all__ = ["Call", "Filled", "Network", "Reference", "Stored"]


@dataclass(frozen=True, slots=True)
class Stored:
    """A tensor of the source, and how it lies here: seen as `view`, its axes put into `order`, then seen as `shape`."""

    key: str  # in the source
    view: Shape | None = None
    order: tuple[int, ...] | None = None
    shape: Shape | None = None


@dataclass(frozen=True, slots=True)
class Filled:
    """A tensor that the source lacks and a layer here has: all of it is one value."""

    value: float
    shape: Shape


Reference: TypeAlias = Stored | Filled


@dataclass(frozen=True, slots=True)
class Call:
    """One thing that the source computes.

    `name` is dotted and unique: a layer with weights has its path in the source, one without a name in the scope in
    which it ran. `source_op` is the source's own word for it. `inputs` are names of calls, or `INPUT`. `op` is what it
    is here, or None; then `gap` says what is missing. `weights` are by the key that they have in our layer: `weight`,
    `running_mean`, or the empty one for a parameter that has the layer's own name. `shape` is what the source gives,
    without the batch axis, where that is known. `inner` calls are made by a reader on the way, and the source has no
    value of that name.
    """

    name: str
    source_op: str
    inputs: tuple[str, ...]
    op: AnyOp | Primitive | None = None
    gap: str = ""
    weights: Mapping[str, Reference] = field(default_factory=dict)
    shape: Shape | None = None
    inner: bool = False


@dataclass(frozen=True)
class Network:
    """A network as its source has it, before any of it is made ours."""

    name: str
    input_shape: Shape
    calls: tuple[Call, ...]  # in running order
    outputs: tuple[str, ...]  # names of calls
    aux_outputs: tuple[str, ...] = ()  # heads that run in training only
    classes: Mapping[str, str] = field(default_factory=dict)  # of modules, by their path
    tensors: Mapping[str, Shape] = field(default_factory=dict)  # all that the source keeps, used or not
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    labels: tuple[str, ...] = ()  # of the classes that it tells apart
    notes: tuple[str, ...] = ()  # what has to be said of how it was read
    equal_once: bool = False  # equal tensors are kept once: that two layers have one does not say that they share it
