"""Border pixels that the division in the size formula drops: the one rule behind W301 and the sizes that drop none."""

from __future__ import annotations

from math import gcd

from cnnspec.graph import INPUT, Graph
from cnnspec.ops import JOINS, REDUCTIONS, AnyOp, Shape
from cnnspec.ops.reshape import Flatten, Permute
from cnnspec.ops.unflatten import Reshape, Unflatten
from cnnspec.ops.window import Sliding

__all__ = ["Carried", "border_losses", "carried_axes", "dropped", "remainders_below"]

Carried = tuple[frozenset[int], ...]  # for each axis of a tensor, the spatial axes of the input that lie on it


def dropped(window: Sliding, size: int) -> int:
    """How many pixels behind the last window one more window would read: border pixels that the division drops.

    Pixels that no window would ever read, because the stride or the dilation steps over them, are not counted.
    """
    edge = (window.out_size(size) - 1) * window.stride - window.before + window.extent
    if edge >= size:
        return 0
    phases = min(window.kernel, window.stride // gcd(window.dilation, window.stride))  # from then on they come again
    return remainders_below(size - edge, phases, window.dilation, -window.before - edge, window.stride)


def remainders_below(limit: int, count: int, factor: int, start: int, divisor: int) -> int:
    """For how many `i` in `0..count-1` the remainder of `factor*i + start` by `divisor` is below `limit`.

    No number is looked at by itself: a remainder is below, where the quotient of what lies `limit` before is one less.
    """
    below = min(limit, divisor)
    return _quotients(count, factor, start, divisor) - _quotients(count, factor, start - below, divisor)


def _quotients(count: int, factor: int, start: int, divisor: int) -> int:
    """The sum of `(factor*i + start) // divisor` for `i` in `0..count-1`, in as many turns as the numbers have digits.

    Whole parts are taken out; of what is left the points below the line are counted by columns instead of rows, which
    exchanges factor and divisor as Euclid does.
    """
    total = 0
    while count > 0:
        whole, factor = divmod(factor, divisor)
        total += whole * count * (count - 1) // 2
        whole, start = divmod(start, divisor)
        total += whole * count
        count, start = divmod(factor * count + start, divisor)
        factor, divisor = divisor, factor
    return total


def border_losses(op: AnyOp, *shapes: Shape) -> dict[int, int]:
    """On which spatial axes (0 is the first) an operator drops border pixels of what it reads, and how many."""
    if not op.slides:
        return {}
    pairs = enumerate(zip(op.windows(*shapes), shapes[0][1:], strict=True))
    losses = {axis: dropped(window, size) for axis, (window, size) in pairs if isinstance(window, Sliding)}
    return {axis: lost for axis, lost in losses.items() if lost}


def carried_axes(graph: Graph) -> dict[str, Carried]:
    """For every node, and for the input under its own name, which axes of the input lie on each of its axes."""
    carried: dict[str, Carried] = {
        INPUT: (frozenset(), *(frozenset({axis}) for axis in range(len(graph.input_shape) - 1)))
    }
    for node in graph.nodes:
        first = carried[node.inputs[0]]
        if isinstance(node.op, Permute):
            carried[node.name] = tuple(first[axis] for axis in node.op.permuted(node.input_shapes[0]))
        elif isinstance(node.op, Flatten):
            start, end = node.op.merged(node.input_shapes[0])
            carried[node.name] = (*first[:start], frozenset().union(*first[start : end + 1]), *first[end + 1 :])
        elif isinstance(node.op, (Reshape, Unflatten)):
            carried[node.name] = tuple(
                frozenset().union(*first[group.first : group.stop])
                for group in node.op.regroupings(node.input_shapes[0])
                for _ in range(group.out_first, group.out_stop)
            )
        elif isinstance(node.op, REDUCTIONS):
            gone = node.op.gone(node.input_shapes[0])
            carried[node.name] = tuple(axes for axis, axes in enumerate(first) if axis not in gone)
        elif isinstance(node.op, JOINS):
            sources = zip(*(carried[name] for name in node.inputs), strict=True)
            carried[node.name] = tuple(frozenset().union(*axes) for axes in sources)
        else:
            carried[node.name] = first
    return carried
