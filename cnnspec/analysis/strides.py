"""Where the elements of a tensor lie in memory: torch's arithmetic of strides, by which it decides on copies.

Shapes and strides hold the batch axis, as in torch, and are counted in elements.
"""

from __future__ import annotations

from functools import lru_cache

from cnnspec.ops import Shape

__all__ = [
    "channels_last",
    "contiguous",
    "converted_strides",
    "is_contiguous",
    "is_dense",
    "kernel_strides",
    "pointwise_strides",
    "view_strides",
]


@lru_cache(4096)
def contiguous(shape: Shape) -> Shape:
    """The strides of a tensor whose last axis varies fastest."""
    strides, step = [], 1
    for size in reversed(shape):
        strides.append(step)
        step *= max(size, 1)
    return tuple(reversed(strides))


def is_contiguous(shape: Shape, strides: Shape) -> bool:
    """Whether the elements lie in order, without holes; axes of size 1 do not count."""
    if strides == contiguous(shape):
        return True
    step = 1
    for size, stride in zip(reversed(shape), reversed(strides), strict=True):
        if size != 1:
            if stride != step:
                return False
            step *= size
    return True


def is_dense(shape: Shape, strides: Shape) -> bool:
    """Whether the elements fill their memory once, in whatever order of axes."""
    step = 1
    for stride, size in sorted((stride, size) for size, stride in zip(shape, strides, strict=True) if size != 1):
        if stride != step:
            return False
        step *= size
    return True


def channels_last(shape: Shape, strides: Shape) -> bool:
    """Whether torch takes an image or a volume for one with channels last (`is_channels_last_strides`)."""
    if len(shape) not in (4, 5) or strides[1] == 0 or strides == contiguous(shape):
        return False
    least = 0
    for axis in (1, *range(len(shape) - 1, 1, -1), 0):
        if shape[axis] == 0 or strides[axis] < least:
            return False
        if axis == 0 and least == strides[1]:  # N111 and NC11 are ambiguous: torch says contiguous
            return False
        least = strides[axis]
        if shape[axis] > 1:
            least *= shape[axis]
    return True


def kernel_strides(shape: Shape, like: tuple[Shape, Shape]) -> Shape:
    """The strides that pools, convolutions and norms give their output: channels last where the input has them so."""
    if not channels_last(*like):
        return contiguous(shape)
    return _ordered(shape, (0, *range(2, len(shape)), 1))


def pointwise_strides(shape: Shape, *reads: tuple[Shape, Shape]) -> Shape:
    """The strides of what a pointwise operator gives for operands of these shapes and strides (`TensorIterator`)."""
    ordered = contiguous(shape)
    if len(reads) == 1 and reads[0] == (shape, ordered):
        return ordered
    if all(read_shape == shape for read_shape, _ in reads):
        if all(strides == ordered or is_contiguous(shape, strides) for _, strides in reads):
            return ordered
        first = reads[0][1]
        if all(read[1] == first for read in reads) and is_dense(*reads[0]):
            return first
    strides = [_broadcast(shape, *read) for read in reads]
    order = list(range(len(shape) - 1, -1, -1))  # fastest first
    for start in range(1, len(order)):
        moved = start
        for other in range(start - 1, -1, -1):
            sign = _compare(shape, strides, order[other], order[moved])
            if sign > 0:
                order[other], order[moved] = order[moved], order[other]
                moved = other
            elif sign < 0:
                break
    return _ordered(shape, tuple(reversed(order)))


def converted_strides(shape: Shape, strides: Shape) -> Shape:
    """The strides of a copy in another width: the very same where they leave no gaps, also those of axes of size 1."""
    return strides if is_dense(shape, strides) else pointwise_strides(shape, (shape, strides))


def view_strides(shape: Shape, strides: Shape, wanted: Shape) -> Shape | None:
    """The strides of the same memory seen in another shape; None where torch has to copy."""
    result: list[int] = []
    axis = len(wanted) - 1
    base, block, seen = strides[-1] if strides else 1, 1, 1
    for place in range(len(shape) - 1, -1, -1):
        block *= shape[place]
        if place == 0 or (shape[place - 1] != 1 and strides[place - 1] != block * base):
            while axis >= 0 and (seen < block or wanted[axis] == 1):
                result.append(seen * base)
                seen *= wanted[axis]
                axis -= 1
            if seen != block:
                return None
            if place > 0:
                base, block, seen = strides[place - 1], 1, 1
    return tuple(reversed(result)) if axis == -1 else None


def _broadcast(shape: Shape, read: Shape, strides: Shape) -> Shape:
    missing = len(shape) - len(read)
    pairs = zip(shape[missing:], read, strides, strict=True)
    return (0,) * missing + tuple(0 if size == 1 and whole != 1 else stride for whole, size, stride in pairs)


def _compare(shape: Shape, strides: list[Shape], first: int, second: int) -> int:
    """Whether axis `first` varies slower than `second` (1), faster (-1), or the operands do not say."""
    for each in strides:
        a, b = each[first], each[second]
        if a == 0 or b == 0:
            continue
        if a != b:
            return 1 if a > b else -1
        if shape[first] > shape[second]:
            return 1
    return 0


def _ordered(shape: Shape, axes: tuple[int, ...]) -> Shape:
    """Strides without holes, the axes in this order, slowest first."""
    inner = contiguous(tuple(shape[axis] for axis in axes))
    strides = [0] * len(shape)
    for axis, stride in zip(axes, inner, strict=True):
        strides[axis] = stride
    return tuple(strides)
