"""Nodes that move values: their shapes, their order, and parts of them; and sums over axes."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np

from cnnspec.foreign.primitives import Cut, Joined, Padded, Reduced, Reshaped
from cnnspec.onnx_backend.read_constants import axes_of, ints, resolved, slices_of
from cnnspec.onnx_backend.read_values import (
    Activation,
    Known,
    Made,
    Malformed,
    Missing,
    NodeView,
    Reader,
    Result,
    Rule,
    Strung,
)
from cnnspec.ops import AnyOp, make_op

if TYPE_CHECKING:
    from cnnspec.foreign.primitives import Primitive

__all__ = ["SHAPES"]


def _same(reader: Reader, node: NodeView) -> Result:
    return node.activation()


def _reshape(reader: Reader, node: NodeView) -> Result:
    read, wanted = node.activation(), node.known(1)
    sizes = node.wholes("shape") if wanted is None else ints(wanted)
    shape = resolved(read.sizes(reader.batch), sizes, allow_zero=bool(node.whole("allowzero", 0)))
    return _seen_as(reader, read, shape)


def _seen_as(reader: Reader, read: Activation, shape: tuple[int, ...]) -> Result:
    """The same values in their order as another shape, which counts the batch."""
    if len(shape) == 1 and read.is_plain and not read.columns:
        return Strung(read)
    if shape[:1] != (reader.batch,):
        raise Missing("a reshape that mixes the samples of a batch")
    own = read.sizes(reader.batch)
    if shape == own:
        return read
    if read.is_plain:
        if read.columns:
            raise Missing("a reshape of maps that were flattened with their channels last")
        last = reader.channels_last and len(shape) > 2 and prod(shape[1:-1]) == 1 and len(read.shape) == 1
        ours = (shape[-1], *shape[1:-1]) if last else shape[1:]
        order = (0, *range(2, len(shape)), 1) if last else ()
        return Made(Reshaped(ours), (read,), shape=ours, order=order)
    if len(shape) == 2:
        return _flattened(read)
    if [size for size in own if size != 1] == [size for size in shape if size != 1] and len(own) == len(shape):
        return read  # axes of size 1 alone have moved
    return Made(Reshaped(shape[1:]), (reader.plain(read),), shape=shape[1:])


def _flattened(read: Activation) -> Made:
    """All axes as one. Where the channels are last in the file, whoever reads it has to know."""
    apart = [size for size in read.shape if size != 1]
    if read.is_plain or len(apart) <= 1 or (read.axis(-1) == 1 and prod(read.shape[1:]) == 1):
        return Made(make_op("Flatten"), (read,))
    if read.order != (0, *range(2, len(read.shape) + 1), 1):
        raise Missing("a flattening of axes in an order of their own")
    return Made(make_op("Flatten"), (read,), columns=(*read.shape[1:], read.shape[0]))


def _flatten(reader: Reader, node: NodeView) -> Result:
    read = node.activation()
    axes = len(read.shape) + 1
    axis = node.whole("axis", 1)
    if axis % axes != 1 and axis != 1:
        raise Missing("a flattening that takes the batch with it")
    return read if len(read.shape) == 1 else _flattened(read)


def _squeeze(reader: Reader, node: NodeView) -> Result:
    read, axes = node.activation(), axes_of(node)
    sizes = read.sizes(reader.batch)
    count = len(sizes)
    gone = {a for a, size in enumerate(sizes) if size == 1 and a} if axes is None else {a % count for a in axes}
    if any(sizes[axis] != 1 for axis in gone):
        raise Malformed("it takes away an axis that is not of size 1")
    return _seen_as(reader, read, tuple(size for axis, size in enumerate(sizes) if axis not in gone))


def _unsqueeze(reader: Reader, node: NodeView) -> Result:
    read, axes = node.activation(), axes_of(node) or ()
    count = len(read.shape) + 1 + len(axes)
    if count > 16 or any(not -count <= axis < count for axis in axes):
        raise Malformed(f"there are no axes {axes}")
    new, sizes = {axis % count for axis in axes}, iter(read.sizes(reader.batch))
    return _seen_as(reader, read, tuple(1 if axis in new else next(sizes) for axis in range(count)))


def _transpose(reader: Reader, node: NodeView) -> Result:
    read = node.activation()
    axes = len(read.shape) + 1
    order = node.wholes("perm", tuple(range(axes))[::-1])
    if sorted(order) != list(range(axes)):
        raise Malformed(f"`perm` {order} orders no {axes} axes")
    if order[0] != 0:
        raise Missing("an order of axes that moves the batch")
    if reader.channels_last:  # seen so, and put right where somebody has to
        composed = tuple(read.axis(axis) for axis in order)
        return Activation(read.name, read.shape, composed, read.columns)
    return Made(make_op("Permute", dims=order), (read,))


def _concat(reader: Reader, node: NodeView) -> Result:
    reads = tuple(node.activation(number) for number in range(len(node.values)))
    if len({read.order for read in reads}) > 1:
        reads = tuple(map(reader.plain, reads))
    first, axis = reads[0], reads[0].axis(node.whole("axis"))
    if len(reads) == 1:
        return first
    if any(read.columns for read in reads):
        raise Missing("a concatenation of maps that were flattened with their channels last")
    if axis == 0:
        raise Missing("a concatenation of samples")
    if any(len(read.shape) != len(first.shape) for read in reads):
        raise Malformed("its reads have different numbers of axes")
    shape = tuple(
        sum(read.shape[each] for read in reads) if each == axis - 1 else size for each, size in enumerate(first.shape)
    )
    op: AnyOp | Primitive = make_op("Concat") if axis == 1 else Joined(axis)
    return Made(op, reads, shape=shape, order=first.order)


def _expand(reader: Reader, node: NodeView) -> Result:
    """Axes of size 1 as long as others: joins do so by themselves, and what else reads it gets a shape that is told."""
    read, wanted = node.activation(), node.known(1)
    if wanted is None:
        raise Missing("an expansion to a shape that is worked out anew")
    sizes, target = read.sizes(reader.batch), ints(wanted)
    if len(target) > len(sizes):
        raise Missing("values that are repeated along a new axis")
    target = (*(1,) * (len(sizes) - len(target)), *target)
    if any(1 not in (one, other) and one != other for one, other in zip(sizes, target, strict=True)):
        raise Malformed(f"{sizes} cannot be expanded to {target}")
    if target[0] not in (1, sizes[0]):
        raise Missing("a batch that is repeated")
    return read


# Parts --------------------------------------------------------------------------------------------------------------


def _slice(reader: Reader, node: NodeView) -> Result:
    read = node.activation()
    sizes = read.sizes(reader.batch)
    cuts = []
    for axis, (start, end, step) in slices_of(node, sizes).items():
        if step < 0:
            raise Missing("a slice that runs backwards")
        first, last, _ = slice(start, end, step).indices(sizes[axis])
        if (first, last, step) != (0, sizes[axis], 1):
            cuts.append((read.axis(axis), first, last, step))
    for number, cut in enumerate(cuts, 1):
        made = _cut(read, *cut)
        if number == len(cuts):
            return made
        read = reader.add(node, "slice", made, inner=True)
    return read


def _cut(read: Activation, axis: int, start: int, end: int, step: int = 1) -> Made:
    """A part of a value along one of our axes."""
    if axis == 0:
        raise Missing("a slice of the batch")
    if read.columns:
        raise Missing("a slice of maps that were flattened with their channels last")
    size = len(range(start, end, step))
    if size < 1:
        raise Malformed("its slice is empty")
    shape = (*read.shape[: axis - 1], size, *read.shape[axis:])
    op: AnyOp | Primitive = Cut(axis, start, end, step)
    if axis == 1 and step == 1:
        op = make_op("Slice", start=start, end=None if end == read.shape[0] else end)
    return Made(op, (read,), shape=shape, order=read.order)


def _split(reader: Reader, node: NodeView) -> Result:
    read = node.activation()
    axis, count = read.axis(node.whole("axis", 0)), len(node.proto.output)
    size = (reader.batch, *read.shape)[axis]
    given = axes_of(node, 1, "split")
    each = -(-size // node.whole("num_outputs", count)) if count else 0
    sizes = given or tuple(min(each, size - each * number) for number in range(count))
    if sum(sizes) != size or len(sizes) != count or min(sizes) < 1:
        raise Malformed(f"parts of {sizes} of {size}")
    starts = [sum(sizes[:number]) for number in range(count)]
    return [_cut(read, axis, start, start + size) for start, size in zip(starts, sizes, strict=True)]


def _gather(reader: Reader, node: NodeView) -> Result:
    strung, places = node.value(0), node.known(1)
    if isinstance(strung, Strung) and places is not None and _counts(places):
        return _seen_as(reader, strung.read, places.shape)
    read, axis = node.activation(), node.whole("axis", 0)
    if places is None or places.size != 1 or places.kind not in "iu":
        raise Missing("a choice of several places in an order of its own")
    ours, index = read.axis(axis), int(places.array.reshape(-1)[0])
    size = (reader.batch, *read.shape)[ours]
    if not -size <= index < size:
        raise Malformed(f"there is no place {index} of {size}")
    made = _cut(read, ours, index % size, index % size + 1)
    if len(places.shape) == 1:
        return made
    part = reader.add(node, "slice", made, inner=True)
    sizes = part.sizes(reader.batch)
    return _seen_as(reader, part, tuple(size for each, size in enumerate(sizes) if each != axis % len(sizes)))


def _counts(places: Known) -> bool:
    """Whether these are all places in their order."""
    return places.kind == "i" and np.array_equal(places.array.reshape(-1), np.arange(places.size))


def _pad(reader: Reader, node: NodeView) -> Made:
    read = node.activation()
    count = len(read.shape) + 1
    pads, axes = axes_of(node, 1, "pads" if node.opset < 11 or "pads" in node.attributes else "\0"), axes_of(node, 3)
    value = node.known(2)
    number = node.number("value", 0.0) if value is None else float(value.array.reshape(-1)[0]) if value.size else 0.0
    places = tuple(range(count)) if axes is None else axes
    if pads is None or len(pads) != 2 * len(places):
        raise Malformed("its padding has not two numbers for each axis")
    ends = dict.fromkeys(range(count), (0, 0))
    for place, pair in zip(places, zip(pads[: len(places)], pads[len(places) :], strict=True), strict=True):
        ends[read.axis(place)] = pair
    modes: dict[str, Literal["constant", "reflect", "replicate", "circular"]] = {
        "constant": "constant",
        "reflect": "reflect",
        "edge": "replicate",
        "wrap": "circular",
    }
    mode = modes.get(node.word("mode", "constant"))
    if mode is None or any(ends[0]):
        raise Missing("a padding of the batch, or of a kind that nobody knows")
    first = 1 if any(ends[1]) else 2
    padding = tuple(size for axis in reversed(range(first, count)) for size in ends[axis])
    shape = tuple(size + sum(ends[axis]) for axis, size in enumerate(read.shape, 1))
    op: AnyOp | Primitive = Padded(padding, mode, number)
    if mode == "constant" and number == 0 and first == 2 and 2 <= len(read.shape) <= 4:
        op = make_op(f"ZeroPad{count - 2}d", padding=padding)
    return Made(op, (read,), shape=shape, order=read.order)


# Sums and sizes -----------------------------------------------------------------------------------------------------


def _reduce(how: Literal["mean", "sum", "max", "min"]) -> Rule:
    def rule(reader: Reader, node: NodeView) -> Result:
        read, axes = node.activation(), axes_of(node)
        count = len(read.shape) + 1
        if axes is None or not axes:
            if node.whole("noop_with_empty_axes", 0):
                return read
            axes = tuple(range(count))
        dims = tuple(sorted({read.axis(axis) for axis in axes}))
        if dims[:1] == (0,):
            raise Missing(f"the {how} over the samples of a batch")
        keeps = bool(node.whole("keepdims", 1))
        if keeps:
            shape = tuple(1 if axis in dims else size for axis, size in enumerate(read.shape, 1))
            return Made(Reduced(how, dims, True), (read,), shape=shape, order=read.order)
        left = [axis for axis in range(count) if axis not in dims]
        order = tuple(left.index(axis) for axis in read.order if axis in left)
        shape = tuple(read.shape[axis - 1] for axis in left[1:])
        return Made(Reduced(how, dims, False), (read,), shape=shape, order=order)

    return rule


def _resize(reader: Reader, node: NodeView) -> Made:
    read = reader.plain(node.activation())
    old = node.opset < 11
    scales, sizes = node.known(1 if old else 2), None if old else node.known(3)
    rank = len(read.shape) - 1
    op = make_op("Upsample", **_sampling(node, rank), **_target(read, scales, sizes))
    return Made(op, (read,))


def _target(read: Activation, scales: Known | None, sizes: Known | None) -> dict[str, Any]:
    count = len(read.shape) + 1
    if sizes is not None and sizes.size == count:
        given = ints(sizes)
        if given[1] != read.shape[0]:
            raise Missing("a resizing of the channels")
        size = given[2:]
        return {"size": size[0] if len(set(size)) == 1 else size}
    if scales is None or scales.size != count:
        raise Malformed("it lacks its sizes")
    factors = tuple(float(each) for each in scales.array.reshape(-1))
    if factors[:2] != (1.0, 1.0):
        raise Missing("a resizing of the channels")
    short = tuple(float(f"{factor:.7g}") for factor in factors[2:])
    return {"scale_factor": short[0] if len(set(short)) == 1 else short}


def _sampling(node: NodeView, rank: int) -> dict[str, Any]:
    """How values are found between places: what torch has of ONNX's many ways."""
    mode = node.word("mode", "nearest")
    places = node.word("coordinate_transformation_mode", "half_pixel" if node.opset >= 11 else "asymmetric")
    rounding = node.word("nearest_mode", "round_prefer_floor" if node.opset >= 11 else "floor")
    if node.whole("antialias", 0) or node.whole("exclude_outside", 0):
        raise Missing("a resizing that smooths")
    if mode == "nearest":
        if (places, rounding) == ("asymmetric", "floor"):
            return {"mode": "nearest"}
        raise Missing(f"nearest neighbours by `{places}` and `{rounding}`")
    words = {"linear": {1: "linear", 2: "bilinear", 3: "trilinear"}, "cubic": {2: "bicubic"}}
    word = words.get(mode, {}).get(rank)
    if word is None:
        raise Missing(f"a resizing by `{mode}` along {rank} axes")
    if mode == "cubic" and abs(node.number("cubic_coeff_a", -0.75) + 0.75) > 1e-6:
        raise Missing("cubic resizing by another polynomial than torch's")
    if places in ("half_pixel", "pytorch_half_pixel"):
        return {"mode": word}
    if places == "align_corners":
        return {"mode": word, "align_corners": True}
    raise Missing(f"a resizing by `{places}`")


def _depth_to_space(reader: Reader, node: NodeView) -> Made:
    if node.word("mode", "DCR") != "CRD":
        raise Missing("channels rearranged into space with the channels inside")
    op = make_op("PixelShuffle", upscale_factor=node.whole("blocksize"))
    return Made(op, (reader.plain(node.activation()),))


SHAPES: Final[dict[str, Rule]] = {
    "Identity": _same,
    "Cast": _same,
    "Reshape": _reshape,
    "Flatten": _flatten,
    "Squeeze": _squeeze,
    "Unsqueeze": _unsqueeze,
    "Transpose": _transpose,
    "Concat": _concat,
    "Expand": _expand,
    "Slice": _slice,
    "Split": _split,
    "Gather": _gather,
    "Pad": _pad,
    "ReduceMean": _reduce("mean"),
    "ReduceSum": _reduce("sum"),
    "ReduceMax": _reduce("max"),
    "ReduceMin": _reduce("min"),
    "Resize": _resize,
    "Upsample": _resize,
    "DepthToSpace": _depth_to_space,
}
