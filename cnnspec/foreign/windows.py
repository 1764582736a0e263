"""Windows as other sources say them, with a padding that may differ from end to end, and what of it is a layer here."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from typing import Any, Final

from cnnspec.errors import ShapeError
from cnnspec.foreign.primitives import Padded
from cnnspec.ops import AnyOp, Shape, make_op

__all__ = ["Pool", "Spans", "padding_of", "pool_of", "same_ends"]

AVERAGES_OVER: Final = "an average that leaves out a padding that differs from end to end"


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


@dataclass(frozen=True)
class Pool:
    """A pool, and the padding that is a layer before it. Without `op` nothing here is that pool: `missing` says why."""

    op: AnyOp | None
    pad: Padded | None = None
    missing: str = ""


def same_ends(
    sizes: Shape, kernel: tuple[int, ...], stride: tuple[int, ...], dilation: tuple[int, ...]
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The padding with which a size is only divided by the stride, before and after: the odd place is at the end."""
    total = [
        max((ceil(size / s) - 1) * s + d * (k - 1) + 1 - size, 0)
        for size, k, s, d in zip(sizes, kernel, stride, dilation, strict=True)
    ]
    return tuple(each // 2 for each in total), tuple(each - each // 2 for each in total)


def padding_of(spans: Spans, value: float = 0.0) -> tuple[Padded | None, tuple[int, ...]]:
    """The layer of padding before a window, if one is wanted, and the window's own."""
    if spans.is_even and min(spans.before) >= 0 and value == 0:
        return None, spans.before
    ends = zip(reversed(spans.before), reversed(spans.after), strict=True)
    return Padded(tuple(size for pair in ends for size in pair), value=value), (0,) * spans.rank


def pool_of(shape: Shape, spans: Spans, *, is_max: bool, counts_padding: bool = False, rounds_up: bool = False) -> Pool:
    """The pool of these windows over `shape`, `(C, *W)`. `counts_padding` says that a mean does."""
    padded = any((*spans.before, *spans.after))
    fields: dict[str, Any] = {"count_include_pad": counts_padding} if padded and not is_max else {}
    if spans.dilation != (1,) * spans.rank:
        if not is_max:
            return Pool(None, missing="an average over a window with gaps")
        fields["dilation"] = spans.dilation
    if spans.stride != spans.kernel:
        fields["stride"] = spans.stride
    name = f"{'Max' if is_max else 'Avg'}Pool{spans.rank}d"
    if not spans.is_even and not fields.get("count_include_pad"):
        if (op := _hanging_over(name, shape, spans, fields)) is not None:
            return Pool(op)
        if _takes_all(shape, spans):
            return Pool(make_op(f"Adaptive{name}", output_size=1))
    narrow = any(2 * p > k for p, k in zip(spans.before, spans.kernel, strict=True))
    pad, padding = None, spans.before
    if not spans.is_even or narrow:
        if not is_max and not fields.pop("count_include_pad", True):
            return Pool(None, missing=AVERAGES_OVER)
        pad, padding = padding_of(spans, float("-inf") if is_max else 0.0)
        padding = (0,) * spans.rank if pad else padding
    return Pool(make_op(name, kernel_size=spans.kernel, padding=padding, ceil_mode=rounds_up, **fields), pad)


def _hanging_over(name: str, shape: Shape, spans: Spans, fields: dict[str, Any]) -> AnyOp | None:
    """The pool whose last windows hang over the end as far as a larger padding there would let them."""
    out = tuple(
        (b + size + a - d * (k - 1) - 1) // s + 1
        for size, k, s, d, b, a in zip(
            shape[1:], spans.kernel, spans.stride, spans.dilation, spans.before, spans.after, strict=True
        )
    )
    op = make_op(name, kernel_size=spans.kernel, padding=spans.before, ceil_mode=True, **fields)
    try:
        return op if op.out_shape(shape)[1:] == out else None
    except ShapeError:
        return None


def _takes_all(shape: Shape, spans: Spans) -> bool:
    """Whether the only window spans all of the input, whatever of it is padding."""
    sizes = zip(shape[1:], spans.kernel, spans.stride, spans.before, spans.after, strict=True)
    alone = all(k >= b + size and (b + size + a - k) // s == 0 for size, k, s, b, a in sizes)
    return alone and spans.dilation == (1,) * spans.rank
