"""What depends on no input is worked out while a file is read: the chains in which exporters compute shapes."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import numpy as np

from cnnspec.onnx_backend.read_values import MAX_FOLDED, Known, Malformed, Missing, NodeView

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["MAX_SIZE", "axes_of", "fold_constants", "ints", "is_foldable", "resolved", "shape_of", "slices_of"]

MAX_SIZE: Final = 2**31 - 1  # numbers of one tensor

_KINDS: Final = {1: np.float32, 6: np.int32, 7: np.int64, 9: np.bool_, 11: np.float64}  # of TensorProto.DataType

Array: TypeAlias = "NDArray[Any]"
Rule: TypeAlias = Callable[[NodeView, list[Any]], Any]


def is_foldable(kind: str) -> bool:
    """Whether an operator is worked out where all that it reads is known."""
    return kind in _VIEWS or kind in _RULES or kind == "ConstantOfShape"


def fold_constants(node: NodeView) -> Known:
    """The result of a node of which all arguments are known. Raises Missing and Malformed."""
    name = node.proto.output[0]
    if node.kind == "ConstantOfShape":
        return _constant_of_shape(node, name)
    known = node.known(0)
    if known is None:
        raise Malformed("it lacks its argument 0")
    if node.kind in _VIEWS:
        return _VIEWS[node.kind](node, known, name)
    sizes = [value.size for value in node.values if isinstance(value, Known)]
    if max(sizes) > MAX_FOLDED:
        raise Missing(f"{node.kind} of {max(sizes):,} numbers that are no weights of a layer")
    result = _result(node)
    if result.size > MAX_FOLDED:
        raise Missing(f"{node.kind} to {result.size:,} numbers")
    return Known(name, result.shape, lambda: result, result.dtype.kind)


def _result(node: NodeView) -> Array:
    arrays = [value.array if isinstance(value, Known) else None for value in node.values]
    with np.errstate(all="ignore"):
        return np.asarray(_RULES[node.kind](node, arrays))


# What keeps the numbers --------------------------------------------------------------------------------------------


def _constant_of_shape(node: NodeView, name: str) -> Known:
    sizes = node.known(0)
    if sizes is None or sizes.size > 8:
        raise Malformed("it lacks its shape")
    shape = tuple(int(size) for size in sizes.array.reshape(-1))
    if min(shape, default=0) < 0 or prod(shape) > MAX_SIZE:
        raise Malformed(f"no tensor has the shape {shape}")
    value = node.attributes.get("value")
    filling = np.zeros(1, np.float32) if value is None else np.asarray(value).reshape(-1)
    if filling.size != 1:
        raise Malformed("`value` is not one number")
    return Known(name, shape, lambda: np.broadcast_to(filling[0], shape), filling.dtype.kind)


def _same(node: NodeView, known: Known, name: str) -> Known:
    return Known(name, known.shape, lambda: known.array, known.kind, known.reference)


def _cast(node: NodeView, known: Known, name: str) -> Known:
    wanted = _KINDS.get(node.whole("to"))
    if wanted is None:
        raise Missing("numbers of another kind than 32 bits")
    kind = np.dtype(wanted).kind
    if kind == known.kind == "f":
        return _same(node, known, name)
    if known.size > MAX_FOLDED:
        raise Missing(f"a change of kind of {known.size:,} numbers")
    return Known(name, known.shape, lambda: known.array.astype(wanted), kind)


def _reshape(node: NodeView, known: Known, name: str) -> Known:
    wanted = node.known(1)
    if wanted is None:
        raise Malformed("it lacks its shape")
    return known.seen_as(name, resolved(known.shape, ints(wanted), allow_zero=bool(node.whole("allowzero", 0))))


def resolved(shape: tuple[int, ...], wanted: tuple[int, ...], *, allow_zero: bool) -> tuple[int, ...]:
    """The shape that a Reshape gives: 0 keeps an axis, -1 is what is left. Raises Malformed."""
    if len(wanted) > 16 or wanted.count(-1) > 1 or min(wanted, default=0) < -1:
        raise Malformed(f"no tensor has the shape {wanted[:16]}")
    if not allow_zero:
        if any(size == 0 and axis >= len(shape) for axis, size in enumerate(wanted)):
            raise Malformed(f"the shape {wanted} keeps an axis that is not there")
        wanted = tuple(size or shape[axis] for axis, size in enumerate(wanted))
    if -1 in wanted:
        rest = prod(size for size in wanted if size != -1)
        wanted = tuple(prod(shape) // rest if size == -1 and rest else size for size in wanted)
    if prod(wanted) != prod(shape) or min(wanted, default=0) < 0:
        raise Malformed(f"{shape} cannot be seen as {wanted}")
    return wanted


def ints(known: Known) -> tuple[int, ...]:
    """A short list of whole numbers. Raises Malformed for what is none."""
    if known.size > 64 or known.kind not in "iub":
        raise Malformed("a list of whole numbers is wanted")
    return tuple(int(each) for each in known.array.reshape(-1))


def axes_of(node: NodeView, number: int = 1, name: str = "axes") -> tuple[int, ...] | None:
    """Axes, an attribute in old opsets and an argument in new ones; None where they are left out."""
    if name in node.attributes:
        return node.wholes(name)
    known = node.known(number)
    return None if known is None else ints(known)


def _squeeze(node: NodeView, known: Known, name: str) -> Known:
    axes = axes_of(node)
    count = len(known.shape)
    gone = {axis for axis, size in enumerate(known.shape) if size == 1} if axes is None else {a % count for a in axes}
    return known.seen_as(name, tuple(size for axis, size in enumerate(known.shape) if axis not in gone))


def _unsqueeze(node: NodeView, known: Known, name: str) -> Known:
    axes = axes_of(node) or ()
    count = len(known.shape) + len(axes)
    if any(not -count <= axis < count for axis in axes) or count > 16:
        raise Malformed(f"there are no axes {axes}")
    new, sizes = {axis % count for axis in axes}, iter(known.shape)
    return known.seen_as(name, tuple(1 if axis in new else next(sizes) for axis in range(count)))


def _transpose(node: NodeView, known: Known, name: str) -> Known:
    order = node.wholes("perm", tuple(range(len(known.shape)))[::-1])
    if sorted(order) != list(range(len(known.shape))):
        raise Malformed(f"`perm` {order} orders no {len(known.shape)} axes")
    return known.turned(name, order)


def _flatten(node: NodeView, known: Known, name: str) -> Known:
    axis = node.whole("axis", 1)
    return known.seen_as(name, (prod(known.shape[:axis]), prod(known.shape[axis:])))


_VIEWS: Final[dict[str, Callable[[NodeView, Known, str], Known]]] = {
    "Identity": _same,
    "Cast": _cast,
    "Reshape": _reshape,
    "Squeeze": _squeeze,
    "Unsqueeze": _unsqueeze,
    "Transpose": _transpose,
    "Flatten": _flatten,
}


# What works with them ----------------------------------------------------------------------------------------------


def shape_of(node: NodeView, shape: tuple[int, ...]) -> Array:
    """What a Shape gives for a tensor of this shape."""
    end = node.whole("end") if "end" in node.attributes else None
    return np.array(shape[node.whole("start", 0) : end], np.int64)


def _slice(node: NodeView, arrays: list[Any]) -> Any:
    cuts = slices_of(node, arrays[0].shape)
    return arrays[0][tuple(slice(*cuts.get(axis, (None, None, None))) for axis in range(arrays[0].ndim))]


def slices_of(node: NodeView, shape: tuple[int, ...]) -> dict[int, tuple[int, int | None, int]]:
    """Start, end and step of each axis that a Slice cuts, as Python has them."""
    starts, ends = axes_of(node, 1, "starts"), axes_of(node, 2, "ends")
    if starts is None or ends is None:
        raise Malformed("it lacks its `starts` or `ends`")
    axes, steps = axes_of(node, 3), None if "starts" in node.attributes else axes_of(node, 4, "steps")
    axes = tuple(range(len(starts))) if axes is None else axes
    steps = (1,) * len(starts) if steps is None else steps
    if not len(starts) == len(ends) == len(axes) == len(steps) or 0 in steps:
        raise Malformed("its `starts`, `ends`, `axes` and `steps` do not fit together")
    cuts: dict[int, tuple[int, int | None, int]] = {}
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        if not -len(shape) <= axis < len(shape):
            raise Malformed(f"there is no axis {axis}")
        size = shape[axis % len(shape)]
        last = None if step < 0 and end < -size else max(-size - 1, min(end, size))
        cuts[axis % len(shape)] = (max(-size - 1, min(start, size)), last, step)
    return cuts


def _range(node: NodeView, arrays: list[Any]) -> Any:
    start, limit, step = (each.item() for each in arrays)
    if not step or abs((limit - start) / step) > MAX_FOLDED:
        raise Malformed("its range is too long")
    return np.arange(start, limit, step, dtype=arrays[0].dtype)


def _expand(node: NodeView, arrays: list[Any]) -> Any:
    shape = np.broadcast_shapes(arrays[0].shape, tuple(int(size) for size in arrays[1].reshape(-1)[:16]))
    if prod(shape) > MAX_FOLDED:
        raise Missing(f"Expand to {prod(shape):,} numbers")
    return np.broadcast_to(arrays[0], shape)


def _quotient(one: Any, other: Any) -> Any:
    if one.dtype.kind == "f":
        return one / other
    if not np.all(other):
        raise Malformed("it divides by zero")
    return (np.sign(one) * np.sign(other) * (abs(one) // abs(other))).astype(one.dtype)  # towards zero, as in C


def _reduced(function: Callable[..., Any]) -> Rule:
    def rule(node: NodeView, arrays: list[Any]) -> Any:
        axes = axes_of(node)
        return function(arrays[0], axis=axes or None, keepdims=bool(node.whole("keepdims", 1)))

    return rule


def _pairwise(function: Callable[[Any, Any], Any]) -> Rule:
    def rule(node: NodeView, arrays: list[Any]) -> Any:
        sizes = np.broadcast_shapes(*(each.shape for each in arrays))
        if prod(sizes) > MAX_FOLDED:
            raise Missing(f"{node.kind} to {prod(sizes):,} numbers")
        return function(*arrays)

    return rule


_RULES: Final[dict[str, Rule]] = {
    "Shape": lambda node, arrays: shape_of(node, arrays[0].shape),
    "Size": lambda node, arrays: np.array(arrays[0].size),
    "Gather": lambda node, arrays: np.take(arrays[0], arrays[1], axis=node.whole("axis", 0)),
    "Concat": lambda node, arrays: np.concatenate(arrays, axis=node.whole("axis")),
    "Slice": _slice,
    "Range": _range,
    "Expand": _expand,
    "Where": lambda node, arrays: np.where(*arrays),
    "Add": _pairwise(lambda one, other: one + other),
    "Sub": _pairwise(lambda one, other: one - other),
    "Mul": _pairwise(lambda one, other: one * other),
    "Div": _pairwise(_quotient),
    "Mod": _pairwise(np.mod),
    "Pow": _pairwise(lambda one, other: np.power(one, other.astype(one.dtype))),
    "Equal": _pairwise(lambda one, other: one == other),
    "Less": _pairwise(lambda one, other: one < other),
    "Greater": _pairwise(lambda one, other: one > other),
    "And": _pairwise(np.logical_and),
    "Or": _pairwise(np.logical_or),
    "Not": lambda node, arrays: np.logical_not(arrays[0]),
    "Neg": lambda node, arrays: -arrays[0],
    "Abs": lambda node, arrays: abs(arrays[0]),
    "Sqrt": lambda node, arrays: np.sqrt(arrays[0]),
    "Reciprocal": lambda node, arrays: 1 / arrays[0],
    "Exp": lambda node, arrays: np.exp(arrays[0]),
    "Floor": lambda node, arrays: np.floor(arrays[0]),
    "Ceil": lambda node, arrays: np.ceil(arrays[0]),
    "ReduceMean": _reduced(np.mean),
    "ReduceSum": _reduced(np.sum),
    "ReduceProd": _reduced(np.prod),
    "ReduceMax": _reduced(np.max),
    "ReduceMin": _reduced(np.min),
}
