"""A random network in the making: layers are added where they fit what they read."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import prod
from random import Random
from typing import Any

from cnnspec.errors import ShapeError
from cnnspec.ops import JOINS, ArgumentError, Shape, make_op

__all__ = ["MOST_UNITS", "Args", "Builder"]

MOST_UNITS = 4_000  # of one tensor
LONGEST = {1: 60, 2: 30, 3: 14}  # the longest axis by spatial dimensions

JOINED = tuple(join.__name__ for join in JOINS)

Args = dict[str, Any]


@dataclass
class Builder:
    """The layers so far, and for each the shape and which axis of the input lies on which of its axes."""

    rng: Random
    rank: int
    shapes: dict[str, Shape]
    axes: dict[str, tuple[Any, ...]]
    broken: bool
    layers: dict[str, Any] = field(default_factory=dict)
    uses_block: bool = False
    uses_width: bool = False
    stopped: bool = False

    @property
    def last(self) -> str:
        return next(reversed(self.shapes))

    def put(self, kind: str, args: Args, *reads: str) -> str | None:
        """Add a layer if it fits: its name, or None."""
        shapes = [self.shapes[read] for read in reads]
        if kind in JOINED and len({self.axes[read] for read in reads}) > 1:
            return None  # axes of different meaning
        try:
            concrete = {k: tuple(v) if isinstance(v, list) else v for k, v in args.items()}
            op = make_op(kind, **concrete)
            shape = op.out_shape(*shapes)
        except (ArgumentError, ShapeError):
            batched = len(shapes[0]) == self.rank + 1  # torch takes a tensor of fewer axes for one without a batch
            if self.broken and batched and self.rng.random() < 0.7:
                self.layers[f"n{len(self.layers)}"] = {"type": kind, **args, "in": list(reads)}
                self.stopped = True
            return None
        if prod(shape) > MOST_UNITS or max(shape[1:], default=0) > LONGEST[self.rank] or shape[0] > 400:
            return None
        axes = self.axes[reads[0]]
        if kind == "Permute":
            axes = tuple(axes[axis] for axis in op.permuted(shapes[0]))  # type: ignore[union-attr]
        elif kind in ("Mean", "Sum", "Amax", "Amin"):
            gone = op.gone(shapes[0])  # type: ignore[union-attr]
            axes = tuple(axis for place, axis in enumerate(axes) if place not in gone)
        elif kind in ("Reshape", "Unflatten"):
            groups = op.regroupings(shapes[0])  # type: ignore[union-attr]
            axes = tuple(
                axes[group.first]
                if group.stop - group.first == group.out_stop - group.out_first == 1
                else (axes[group.first : group.stop], place)
                for group in groups
                for place in range(group.out_stop - group.out_first)
            )
        elif kind == "Flatten":
            first, last = op.merged(shapes[0])  # type: ignore[union-attr]
            merged = axes[first] if first == last else axes[first : last + 1]
            axes = (*axes[:first], merged, *axes[last + 1 :])
        return self.add({"type": kind, **args, "in": reads[0] if len(reads) == 1 else list(reads)}, shape, axes)

    def add(self, entry: Any, shape: Shape, axes: tuple[Any, ...]) -> str:
        name = f"n{len(self.layers)}"
        self.layers[name] = entry
        self.shapes[name] = shape
        self.axes[name] = axes
        return name

    def natural(self, name: str) -> bool:
        """Whether the tensor is channels and then the input's spatial axes."""
        return self.axes[name] == ("C", *range(self.rank))

    def sizes(self, choices: tuple[Any, ...]) -> Any:
        """One number for all axes, or one for each."""
        each = self.rng.random() >= 0.6
        return [self.rng.choice(choices) for _ in range(self.rank)] if each else self.rng.choice(choices)

    def groups(self, channels: int, out: int) -> int:
        fits = [g for g in (1, 2, 3, 4, 6) if channels % g == 0 and out % g == 0]
        return self.rng.choice(fits) if self.rng.random() < 0.4 else 1
