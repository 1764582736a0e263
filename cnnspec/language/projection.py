"""The layer that makes two shapes equal, where a sum wants them so."""

from __future__ import annotations

from typing import NamedTuple

from cnnspec.ops import Shape, show_shape

__all__ = ["Projection", "projection"]


class Projection(NamedTuple):
    """The call that gives a read another shape."""

    read: str
    call: str
    shape: Shape

    @property
    def hint(self) -> str:
        """The way out in words."""
        return f"`{self.call}` of `{self.read:.60}` has the shape {show_shape(self.shape)}"


def projection(reads: list[tuple[str, Shape]]) -> Projection | None:
    """The 1x1 convolution, with its stride, that gives one read the shape of the first that it does not go with.

    `reads` are names and shapes, the earliest node first: that is the shortcut, unless only the other can be shrunk.
    None where no stride leads from one to the other.
    """
    name, shape = reads[0]
    apart = [read for read in reads if not _broadcasts(shape, read[1])]
    if not apart:  # others do not go together
        return None
    other, wanted = apart[0]
    for one, start, end in ((name, shape, wanted), (other, wanted, shape)):
        if (call := _projection(start, end)) is not None:
            return Projection(one, call, end)
    return None


def _broadcasts(one: Shape, other: Shape) -> bool:
    return len(one) == len(other) and all(a == b or 1 in (a, b) for a, b in zip(one, other, strict=True))


def _projection(start: Shape, end: Shape) -> str | None:
    """The call that leads from one shape to the other, or None."""
    if len(start) != len(end) or len(start) > 4:
        return None
    channels, *sizes = end
    if not sizes:
        return f"Linear({channels})"
    strides = [_stride(given, wanted) for given, wanted in zip(start[1:], sizes, strict=True)]
    if None in strides:
        return None
    if len(set(strides)) == 1:
        stride = "" if strides[0] == 1 else f", stride={strides[0]}"
    else:
        stride = f", stride=({', '.join(map(str, strides))})"
    return f"Conv{len(sizes)}d({channels}, 1{stride})"


def _stride(given: int, wanted: int) -> int | None:
    """The smallest stride with which a window of 1 leaves so many places of an axis."""
    if wanted == 1:
        return given
    stride = -(-given // wanted)
    return stride if (given - 1) // stride + 1 == wanted else None
