"""Nodes that work on each value by itself, and those that join several values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from cnnspec.foreign.primitives import Affine, Clamped, Divided, Power, Subtracted
from cnnspec.onnx_backend.read_values import Activation, Known, Made, Malformed, Missing, NodeView, Reader, Result, Rule
from cnnspec.ops import AnyOp, make_op

if TYPE_CHECKING:
    from cnnspec.foreign.primitives import Primitive

__all__ = ["POINTWISE"]

_SIXTH: Final = 1 / 6


def _each(node: NodeView, op: AnyOp | Primitive, read: Activation | None = None) -> Made:
    """A call that keeps its input's shape, and how that lies."""
    read = read or node.activation()
    return Made(op, (read,), shape=read.shape, order=read.order, columns=read.columns)


def _plain(name: str) -> Rule:
    return lambda reader, node: _each(node, make_op(name))


def _short(value: float) -> float:
    """A number as it was before it was stored in 32 bits."""
    return float(f"{value:.7g}")


def _leaky(reader: Reader, node: NodeView) -> Made:
    return _each(node, make_op("LeakyReLU", negative_slope=_short(node.number("alpha", 0.01))))


def _elu(reader: Reader, node: NodeView) -> Made:
    return _each(node, make_op("ELU", alpha=_short(node.number("alpha", 1.0))))


def _hard_sigmoid(reader: Reader, node: NodeView) -> Made:
    alpha, beta = node.number("alpha", 0.2), node.number("beta", 0.5)
    if abs(alpha - _SIXTH) < 1e-6 and beta == 0.5:
        return _each(node, make_op("Hardsigmoid"))
    inner = reader.add(node, "affine", _each(node, Affine(_short(alpha), _short(beta))), inner=True)
    return _each(node, Clamped(0.0, 1.0), inner)


def _clip(reader: Reader, node: NodeView) -> Made:
    limits = []
    for number, name in ((1, "min"), (2, "max")):
        known = node.known(number)
        if known is not None and known.size != 1:
            raise Malformed(f"its `{name}` is not one number")
        given = float(known.array.reshape(-1)[0]) if known is not None else None
        limits.append(node.number(name, 0.0) if name in node.attributes else given)
    low, high = (None if each is None or abs(each) > 3e38 else _short(each) for each in limits)
    return _each(node, Clamped(low, high))


def _gelu(reader: Reader, node: NodeView) -> Made:
    return _each(node, make_op("GELU", approximate=node.word("approximate", "none")))


def _swish(reader: Reader, node: NodeView) -> Made:
    if node.number("alpha", 1.0) != 1:
        raise Missing("a swish with a factor inside")
    return _each(node, make_op("SiLU"))


def _softmax(reader: Reader, node: NodeView) -> Made:
    """`Softmax` and `LogSoftmax`."""
    read = node.activation()
    old = node.opset < 13
    axis = node.whole("axis", 1 if old else -1)
    sizes = read.sizes(reader.batch)
    if old and any(size != 1 for size in sizes[axis % len(sizes) + 1 :]):
        raise Missing("a softmax over several axes together")
    dim = read.axis(axis)
    if dim == 0:
        raise Missing("a softmax over the samples of a batch")
    return _each(node, make_op(node.kind, dim=dim))


def _dropout(reader: Reader, node: NodeView) -> Made:
    ratio = node.known(1) if node.opset >= 12 else None
    rate = float(ratio.array.reshape(-1)[0]) if ratio is not None and ratio.size == 1 else node.number("ratio", 0.5)
    return _each(node, make_op("Dropout", p=_short(rate)))


def _negative(reader: Reader, node: NodeView) -> Made:
    return _each(node, Affine(-1.0))


def _power(exponent: float) -> Rule:
    return lambda reader, node: _each(node, Power(exponent))


def _pow(reader: Reader, node: NodeView) -> Made:
    known = node.known(1)
    if known is None or known.size != 1:
        raise Missing("a power with an exponent for each place")
    return _each(node, Power(_short(float(known.array.reshape(-1)[0]))))


# Two values ---------------------------------------------------------------------------------------------------------


def _binary(reader: Reader, node: NodeView) -> Made:
    one, other = node.value(0), node.value(1)
    if isinstance(one, Activation) and isinstance(other, Activation):
        joins: dict[str, AnyOp | Primitive] = {
            "Add": make_op("Add"),
            "Mul": make_op("Mul"),
            "Sub": Subtracted(),
            "Div": Divided(),
        }
        return _join(reader, joins[node.kind], (one, other))
    if isinstance(one, Activation) and isinstance(other, Known):
        return _with_known(reader, node, one, other)
    if isinstance(one, Known) and isinstance(other, Activation):
        return _with_known(reader, node, other, one, turned=True)
    raise Malformed("it lacks an argument")


def _join(reader: Reader, op: AnyOp | Primitive, reads: tuple[Activation, ...]) -> Made:
    if any(len(read.shape) != len(reads[0].shape) for read in reads):
        raise Missing("a join of values with different numbers of axes")
    if any(read.columns != reads[0].columns for read in reads):
        raise Missing("a join with maps that were flattened with their channels last")
    if len({read.order for read in reads if not read.is_plain or len(reads) > 1}) > 1:
        reads = tuple(map(reader.plain, reads))
    shape = reads[0].shape
    for read in reads[1:]:
        if any(a != b and 1 not in (a, b) for a, b in zip(shape, read.shape, strict=True)):
            raise Malformed(f"{shape} and {read.shape} do not fit together")
        shape = tuple(max(a, b) for a, b in zip(shape, read.shape, strict=True))
    return Made(op, reads, shape=shape, order=reads[0].order, columns=reads[0].columns)


def _sum(reader: Reader, node: NodeView) -> Result:
    reads = tuple(node.activation(number) for number in range(len(node.values)))
    return reads[0] if len(reads) == 1 else _join(reader, make_op("Add"), reads)


def _with_known(reader: Reader, node: NodeView, read: Activation, known: Known, *, turned: bool = False) -> Made:
    """A value and a tensor of the file: a number, or one that is trained."""
    if known.size == 1:
        return _each(node, _affine(node.kind, _short(float(known.array.reshape(-1)[0])), turned), read)
    if node.kind not in ("Add", "Mul"):
        raise Missing(f"{'a difference' if node.kind == 'Sub' else 'a quotient'} with a tensor of the file")
    if read.columns:
        raise Missing("a tensor for maps that were flattened with their channels last")
    factor = _aligned(known, read)
    parameter = reader.parameter(node, factor)
    return _join(reader, make_op(node.kind), (read, Activation(parameter, factor.shape, read.order)))


def _affine(kind: str, number: float, turned: bool) -> Affine | Power:
    match kind:
        case "Add":
            return Affine(1.0, number)
        case "Mul":
            return Affine(number)
        case "Sub":
            return Affine(-1.0, number) if turned else Affine(1.0, -number)
        case _:
            if turned and number != 1:
                raise Missing("a number that is divided by a layer")
            if not turned and not number:
                raise Malformed("it divides by zero")
            return Power(-1.0) if turned else Affine(1 / number)


def _aligned(known: Known, read: Activation) -> Known:
    """A tensor with our axes for a value, without the batch. Raises Missing."""
    axes = len(read.shape) + 1
    if len(known.shape) > axes or (len(known.shape) == axes and known.shape[0] != 1):
        raise Missing("a tensor that is no weight of a layer")
    whole = known.seen_as(known.name, (*(1,) * (axes - len(known.shape)), *known.shape))
    if not read.is_plain:
        whole = whole.turned(known.name, tuple(read.order.index(axis) for axis in range(axes)))
    if any(size not in (1, own) for size, own in zip(whole.shape[1:], read.shape, strict=True)):
        raise Missing("a tensor that makes a value larger")
    return whole.seen_as(known.name, whole.shape[1:])


POINTWISE: Final[dict[str, Rule]] = {
    "Relu": _plain("ReLU"),
    "Sigmoid": _plain("Sigmoid"),
    "Tanh": _plain("Tanh"),
    "HardSwish": _plain("Hardswish"),
    "Mish": _plain("Mish"),
    "Softplus": _plain("Softplus"),
    "LeakyRelu": _leaky,
    "Elu": _elu,
    "HardSigmoid": _hard_sigmoid,
    "Clip": _clip,
    "Gelu": _gelu,
    "Swish": _swish,
    "Softmax": _softmax,
    "LogSoftmax": _softmax,
    "Dropout": _dropout,
    "Neg": _negative,
    "Sqrt": _power(0.5),
    "Reciprocal": _power(-1.0),
    "Pow": _pow,
    "Add": _binary,
    "Sub": _binary,
    "Mul": _binary,
    "Div": _binary,
    "Sum": _sum,
}
