"""What torch's moves of values are here: views, orders of axes, slices, paddings."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

from torch import fx

from cnnspec.foreign.primitives import Cut, Padded, Reshaped
from cnnspec.ops import make_op
from cnnspec.torch_backend.program_values import (
    PREVIOUS,
    Activation,
    Arguments,
    Made,
    Missing,
    Rule,
    Value,
    Weight,
    base_name,
    read_of,
)

__all__ = ["LEFT_OUT", "SHAPES"]

LEFT_OUT: Final = ("feature_dropout", "alpha_dropout", "feature_alpha_dropout")  # noise that no operator makes


def _viewed(node: fx.Node, arguments: Arguments) -> Value:
    """The same values in their order, whatever torch calls it."""
    read, shape = arguments["input"], tuple(node.meta["val"].shape)
    if isinstance(read, Weight):
        seen = None if read.values is None else read.values.reshape(shape)
        return replace(read, reference=replace(read.reference, shape=shape), shape=shape, values=seen)
    return Made(Reshaped(shape[1:]), (read_of(arguments),))


def _flatten(node: fx.Node, arguments: Arguments) -> Value:
    read = arguments["input"]
    if not isinstance(read, Activation):
        return _viewed(node, arguments)
    axes = len(read.shape) + 1
    start, end = (arguments[name] % axes for name in ("start_dim", "end_dim"))
    if start == 0:
        raise Missing("a flatten that mixes the samples of a batch")
    return Made(make_op("Flatten", start_dim=start, end_dim=-1 if end == axes - 1 else end), (read,))


def _permute(node: fx.Node, arguments: Arguments) -> Value:
    read = arguments["input"]
    axes = len(node.meta["val"].shape)
    if "dims" in arguments:
        dims = [dim % axes for dim in arguments["dims"]]
    elif base_name(node.target) == "t":
        dims = list(range(axes))[::-1]
    else:
        dims = list(range(axes))
        one, other = (arguments[name] % axes for name in ("dim0", "dim1"))
        dims[one], dims[other] = other, one
    if isinstance(read, Weight):
        if read.reference.order is not None or read.reference.shape is not None:
            raise Missing("a weight whose axes change places twice")
        shape = tuple(read.shape[dim] for dim in dims)
        return replace(read, reference=replace(read.reference, order=tuple(dims)), shape=shape, values=None)
    if dims[0] != 0:
        raise Missing("an order of axes that moves the batch")
    return Made(make_op("Permute", dims=tuple(dims)), (read_of(arguments),))


def _same(node: fx.Node, arguments: Arguments) -> Value:
    return arguments["input"]


def _expand(node: fx.Node, arguments: Arguments) -> Value:
    read, shape = arguments["input"], tuple(node.meta["val"].shape)
    if isinstance(read, Weight) and not read.trained and read.values is not None:
        return replace(read, shape=shape, values=read.values.expand(shape))
    if isinstance(read, Activation) and len(read.shape) == len(shape) - 1:
        return read  # joins broadcast by themselves, and whoever else reads it gets another shape than in the source
    raise Missing("values that are repeated along an axis")


def _slice(node: fx.Node, arguments: Arguments) -> Value:
    read = read_of(arguments)
    dim = arguments["dim"] % (len(read.shape) + 1)
    if dim == 0:
        if node.meta["val"].shape[0] == node.args[0].meta["val"].shape[0]:  # type: ignore[union-attr]
            return read
        raise Missing("a part of the batch")
    return _cut(read, dim, arguments["start"], arguments["end"], arguments["step"])


def _cut(read: Activation, dim: int, start: Any, end: Any, step: int = 1) -> Value:
    size = read.shape[dim - 1]
    first, last, _ = slice(start, end).indices(size)
    if (first, last, step) == (0, size, 1):
        return read
    return Made(Cut(dim, first, last, step), (read,))


def _select(node: fx.Node, arguments: Arguments) -> Value:
    read = read_of(arguments)
    dim = arguments["dim"] % (len(read.shape) + 1)
    if dim == 0:
        raise Missing("one sample of the batch")
    return _selected(read, dim, arguments["index"] % read.shape[dim - 1])


def _selected(read: Activation, dim: int, index: int) -> list[Made]:
    left = (*read.shape[: dim - 1], *read.shape[dim:])
    return [Made(Cut(dim, index, index + 1), (read,)), Made(Reshaped(left), (PREVIOUS,))]


def _unbind(node: fx.Node, arguments: Arguments) -> Value:
    read = read_of(arguments)
    dim = arguments["dim"] % (len(read.shape) + 1)
    if dim == 0:
        raise Missing("the samples of the batch one by one")
    return tuple(_selected(read, dim, index) for index in range(read.shape[dim - 1]))


def _split(node: fx.Node, arguments: Arguments) -> Value:
    """Neighbouring parts along an axis, whose sizes are those of the results."""
    read = read_of(arguments)
    dim = arguments["dim"] % (len(read.shape) + 1)
    if dim == 0:
        raise Missing("parts of the batch")
    parts, start = [], 0
    for part in node.meta["val"]:
        size = part.shape[dim]
        parts.append(_cut(read, dim, start, start + size))
        start += size
    return tuple(parts)


def _pad(node: fx.Node, arguments: Arguments) -> Made:
    mode = arguments.get("mode", "constant")
    value = arguments.get("value")
    return Made(Padded(tuple(arguments["pad"]), mode, float(value or 0)), (read_of(arguments),))


def _pixel_shuffle(node: fx.Node, arguments: Arguments) -> Made:
    return Made(make_op("PixelShuffle", upscale_factor=arguments["upscale_factor"]), (read_of(arguments),))


def _pixel_unshuffle(node: fx.Node, arguments: Arguments) -> list[Made]:
    """Squares of places as channels: `(C, H, W) -> (C*r*r, H/r, W/r)`."""
    read, factor = read_of(arguments), arguments["downscale_factor"]
    if len(read.shape) != 3:
        raise Missing("a pixel_unshuffle of what is no image")
    channels, height, width = read.shape
    apart = (channels, height // factor, factor, width // factor, factor)
    turned = make_op("Permute", dims=(0, 1, 3, 5, 2, 4))
    given = Reshaped(tuple(node.meta["val"].shape[1:]))
    return [Made(Reshaped(apart), (read,)), Made(turned, (PREVIOUS,)), Made(given, (PREVIOUS,))]


SHAPES: Final[dict[str, Rule]] = {
    **dict.fromkeys(("view", "reshape", "_unsafe_view", "squeeze", "unsqueeze", "view_as", "unflatten"), _viewed),
    "flatten": _flatten,
    **dict.fromkeys(("permute", "transpose", "movedim", "t"), _permute),
    **dict.fromkeys(("contiguous", "clone", "to", "alias", "detach", "lift_fresh_copy", "type_as", "_to_copy"), _same),
    **dict.fromkeys(LEFT_OUT, _same),
    **dict.fromkeys(("expand", "expand_as"), _expand),
    "slice": _slice,
    "select": _select,
    "unbind": _unbind,
    **dict.fromkeys(("split", "split_with_sizes", "chunk", "tensor_split"), _split),
    **dict.fromkeys(("pad", "constant_pad_nd"), _pad),
    "pixel_shuffle": _pixel_shuffle,
    "pixel_unshuffle": _pixel_unshuffle,
}
