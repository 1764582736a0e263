"""Windows of convolutions and pools: what ONNX says of them, and what of it is a layer of padding here."""

from __future__ import annotations

from typing import Final

from cnnspec.foreign.primitives import Padded
from cnnspec.foreign.windows import Spans, pool_of, same_ends
from cnnspec.onnx_backend.read_values import Activation, Made, Malformed, Missing, NodeView, Reader, Rule
from cnnspec.ops import make_op

__all__ = ["POOLS", "padded", "spans_of"]


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
        less, more = same_ends(read.shape[1:], sizes, stride, dilation)
        before, after = (less, more) if how == "SAME_UPPER" else (more, less)
    elif how == "VALID":
        before = after = (0,) * rank
    elif how not in ("NOTSET", ""):
        raise Malformed(f"there is no padding `{how}`")
    return Spans(sizes, stride, dilation, before, after)


def padded(reader: Reader, node: NodeView, read: Activation, pad: Padded | None) -> Activation:
    """The input of a window behind the layer of padding that it wants, if any."""
    if pad is None:
        return read
    pairs = list(zip(pad.padding[::2], pad.padding[1::2], strict=True))[::-1]
    shape = (read.shape[0], *(b + size + a for (b, a), size in zip(pairs, read.shape[1:], strict=True)))
    return reader.add(node, "pad", Made(pad, (read,), shape=shape), inner=True)


def _pool(reader: Reader, node: NodeView) -> Made:
    read = reader.plain(node.activation())
    if any(node.proto.output[1:]):
        raise Missing("a max pool that gives the places of its maxima too")
    pool = pool_of(
        read.shape,
        spans_of(node, read),
        is_max=node.kind == "MaxPool",
        counts_padding=bool(node.whole("count_include_pad", 0)),
        rounds_up=bool(node.whole("ceil_mode", 0)),
    )
    if pool.op is None:
        raise Missing(pool.missing)
    return Made(pool.op, (padded(reader, node, read, pool.pad),))


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
