"""Windows of convolutions and pools: what ONNX says of them, and what of it is a layer of padding here."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from typing import Any, Final

from cnnspec.errors import ShapeError
from cnnspec.foreign.primitives import Padded
from cnnspec.onnx_backend.read_values import Activation, Made, Malformed, Missing, NodeView, Reader, Rule
from cnnspec.ops import AnyOp, make_op

__all__ = ["POOLS", "Spans", "padded", "spans_of"]


@dataclass(frozen=True)
class Spans:
    """A window and its padding, a number for each axis."""

    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    dilation: tuple[int, ...]
    before: tuple[int, ...]
    after: tuple[int, ...]

    @property
    def rank(self) -> int:
        """How many axes it has."""
        return len(self.kernel)

    @property
    def is_even(self) -> bool:
        """Whether both ends have the same padding."""
        return self.before == self.after


def spans_of(node: NodeView, read: Activation, kernel: tuple[int, ...] = ()) -> Spans:
    """What a node says of its window. `kernel` is the weight's. Raises Malformed."""
    rank = len(read.shape) - 1
    sizes = kernel or node.wholes("kernel_shape")
    ones = (1,) * rank
    stride, dilation = node.wholes("strides", ones), node.wholes("dilations", ones)
    pads = node.wholes("pads", (0,) * (2 * rank))
    if not 1 <= rank <= 3 or {len(sizes), len(stride), len(dilation)} != {rank} or len(pads) != 2 * rank:
        raise Malformed(f"its window has not {rank} axes")
    if min(*sizes, *stride, *dilation) < 1:
        raise Malformed("its window has sizes below 1")
    before, after = pads[:rank], pads[rank:]
    how = node.word("auto_pad", "NOTSET")
    if how in ("SAME_UPPER", "SAME_LOWER"):
        if node.kind == "ConvTranspose":
            raise Missing(f"a transposed convolution with the padding {how}")
        total = [
            max((ceil(size / s) - 1) * s + d * (k - 1) + 1 - size, 0)
            for size, k, s, d in zip(read.shape[1:], sizes, stride, dilation, strict=True)
        ]
        less, more = tuple(each // 2 for each in total), tuple(each - each // 2 for each in total)
        before, after = (less, more) if how == "SAME_UPPER" else (more, less)
    elif how == "VALID":
        before = after = (0,) * rank
    elif how not in ("NOTSET", ""):
        raise Malformed(f"there is no padding `{how}`")
    return Spans(sizes, stride, dilation, before, after)


def padded(
    reader: Reader, node: NodeView, read: Activation, spans: Spans, value: float = 0.0
) -> tuple[Activation, tuple[int, ...]]:
    """The input of a window and its own padding: what differs from end to end, or crops, is a layer before it."""
    if spans.is_even and min(spans.before) >= 0 and value == 0:
        return read, spans.before
    ends = zip(reversed(spans.before), reversed(spans.after), strict=True)
    padding = tuple(size for pair in ends for size in pair)
    shape = (read.shape[0], *(b + s + a for b, s, a in zip(spans.before, read.shape[1:], spans.after, strict=True)))
    op: AnyOp | Padded = (
        make_op(f"ZeroPad{spans.rank}d", padding=padding) if value == 0 else Padded(padding, value=value)
    )
    return reader.add(node, "pad", Made(op, (read,), shape=shape), inner=True), (0,) * spans.rank


def _pool(reader: Reader, node: NodeView) -> Made:
    read = reader.plain(node.activation())
    if any(node.proto.output[1:]):
        raise Missing("a max pool that gives the places of its maxima too")
    is_max = node.kind == "MaxPool"
    spans = spans_of(node, read)
    fields: dict[str, Any] = {} if is_max else {"count_include_pad": bool(node.whole("count_include_pad", 0))}
    if not is_max and not any((*spans.before, *spans.after)):
        fields = {}  # without padding nothing is counted
    if spans.dilation != (1,) * spans.rank:
        if not is_max:
            raise Missing("an average over a window with gaps")
        fields["dilation"] = spans.dilation
    if spans.stride != spans.kernel:
        fields["stride"] = spans.stride
    name = f"{'Max' if is_max else 'Avg'}Pool{spans.rank}d"
    rounds_up = bool(node.whole("ceil_mode", 0))
    ends = _rounded(name, read, spans, fields) if not spans.is_even else None
    if ends is not None:
        return Made(ends, (read,))
    if _takes_all(read, spans) and not fields.get("count_include_pad"):
        return Made(make_op(f"Adaptive{name}", output_size=1), (read,))
    narrow = any(2 * p > k for p, k in zip(spans.before, spans.kernel, strict=True))
    padding = spans.before
    if not spans.is_even or narrow:
        if not is_max and not fields.get("count_include_pad"):
            raise Missing("an average that leaves out a padding that differs from end to end")
        read, padding = padded(reader, node, read, spans, float("-inf") if is_max else 0.0)
        fields.pop("count_include_pad", None)
    op = make_op(name, kernel_size=spans.kernel, padding=padding, ceil_mode=rounds_up, **fields)
    return Made(op, (read,))


def _takes_all(read: Activation, spans: Spans) -> bool:
    """Whether the only window spans all of the input, whatever of it is padding."""
    if spans.dilation != (1,) * spans.rank or spans.is_even:
        return False
    sizes = zip(read.shape[1:], spans.kernel, spans.stride, spans.before, spans.after, strict=True)
    return all(k >= b + size and (b + size + a - k) // s == 0 for size, k, s, b, a in sizes)


def _rounded(name: str, read: Activation, spans: Spans, fields: dict[str, Any]) -> AnyOp | None:
    """The pool whose last windows hang over the end as far as a larger padding there would let them."""
    if fields.get("count_include_pad"):
        return None
    out = tuple(
        (b + size + a - d * (k - 1) - 1) // s + 1
        for size, k, s, d, b, a in zip(
            read.shape[1:], spans.kernel, spans.stride, spans.dilation, spans.before, spans.after, strict=True
        )
    )
    op = make_op(name, kernel_size=spans.kernel, padding=spans.before, ceil_mode=True, **fields)
    try:
        return op if op.out_shape(read.shape)[1:] == out else None
    except ShapeError:
        return None


def _norm_pool(reader: Reader, node: NodeView) -> Made:
    read = reader.plain(node.activation())
    spans = spans_of(node, read)
    if any((*spans.before, *spans.after)) or spans.dilation != (1,) * spans.rank:
        raise Missing("a pool of powers with padding or gaps")
    fields = {"stride": spans.stride} if spans.stride != spans.kernel else {}
    norm, rounds_up = float(node.whole("p", 2)), bool(node.whole("ceil_mode", 0))
    op = make_op(f"LPPool{spans.rank}d", norm_type=norm, kernel_size=spans.kernel, ceil_mode=rounds_up, **fields)
    return Made(op, (read,))


def _global(kind: str) -> Rule:
    def rule(reader: Reader, node: NodeView) -> Made:
        read = reader.plain(node.activation())
        return Made(make_op(f"Adaptive{kind}Pool{len(read.shape) - 1}d", output_size=1), (read,))

    return rule


POOLS: Final[dict[str, Rule]] = {
    "MaxPool": _pool,
    "AveragePool": _pool,
    "LpPool": _norm_pool,
    "GlobalAveragePool": _global("Avg"),
    "GlobalMaxPool": _global("Max"),
}
