"""What an ONNX graph reads: one input, whose channels may be last."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from onnx import TensorProto

from cnnspec.errors import CnnspecError, UsageError
from cnnspec.ops import Shape, show_shape

__all__ = ["ANY_BATCH", "GivenInput", "input_of"]

ANY_BATCH: Final = 7919  # a prime: no other axis is mistaken for a batch of any size
_PASSING: Final = ("Add", "Mul", "Sub", "Div", "Identity", "Cast", "Pad")  # what may come before channels are moved


@dataclass(frozen=True)
class GivenInput:
    """The input. `shape` has the channels first, wherever the file has them."""

    name: str
    batch: int
    shape: Shape
    channels_last: bool

    @property
    def order(self) -> tuple[int, ...]:
        """Which axis of ours each of the file is, the batch included; empty where they are the same."""
        return (0, *range(2, len(self.shape) + 1), 1) if self.channels_last else ()


def input_of(graph: Any, shown: str, wanted: Shape) -> GivenInput:
    """The input of a graph. `wanted` is the shape that is asked for.

    Raises CnnspecError for several inputs and those that are no images or signals, and UsageError where the sizes are
    open and `wanted` does not say them, or does not fit.
    """
    kept = {tensor.name for tensor in graph.initializer}
    inputs = [each for each in graph.input if each.name not in kept]
    if len(inputs) != 1:
        raise CnnspecError(f"{shown} reads {len(inputs)} inputs, and a spec has one")
    (given,) = inputs
    tensor = given.type.tensor_type
    if tensor.elem_type != TensorProto.FLOAT:
        known = tensor.elem_type in TensorProto.DataType.values() and tensor.elem_type
        kind = TensorProto.DataType.Name(tensor.elem_type).lower() if known else "no tensors"
        raise CnnspecError(f"the input of {shown} is of {kind}, and numbers of 32 bits are read")
    sizes = [each.dim_value if each.HasField("dim_value") else 0 for each in tensor.shape.dim]
    if not 2 <= len(sizes) <= 5:
        raise CnnspecError(f"the input of {shown} has {len(sizes)} axes, and 2 to 5 are read")
    last = _is_channels_last(graph, given.name, sizes)
    shape = tuple([sizes[-1], *sizes[1:-1]] if last else sizes[1:])
    if wanted:
        if len(wanted) != len(shape) or any(own not in (0, new) for own, new in zip(shape, wanted, strict=True)):
            told = "x".join(str(size or "?") for size in shape)
            raise UsageError(f"{shown} reads {told}, not {show_shape(wanted)}")
        shape = wanted
    if 0 in shape:
        raise UsageError(f"{shown} does not say the size of its input", hint="`--input 3x224x224` says it")
    batch = sizes[0] or ANY_BATCH
    if min(batch, *shape) < 1 or max(batch, *shape) >= 2**31:
        raise CnnspecError(f"{shown} is damaged: its input has the sizes {sizes}")
    return GivenInput(given.name, batch, shape, last)


def _is_channels_last(graph: Any, name: str, sizes: Sequence[int]) -> bool:
    """Whether the first thing that happens to maps is that their channels are put in front."""
    if len(sizes) < 4:
        return False
    front = [0, len(sizes) - 1, *range(1, len(sizes) - 1)]
    seen = {name}
    for node in graph.node:  # in running order
        if seen.isdisjoint(node.input):
            continue
        if node.op_type == "Transpose":
            return any(list(each.ints) == front for each in node.attribute if each.name == "perm")
        if node.op_type in _PASSING:
            seen.update(node.output)
    return False
