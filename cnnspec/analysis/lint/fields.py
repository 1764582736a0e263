"""Rules about the receptive field: what a layer can still learn of the input, and what it leaves out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from math import prod
from typing import Final

from cnnspec.analysis.layer_report import LayerReport
from cnnspec.analysis.lint.base import Found, MeasuredNetwork, per_axis, rule
from cnnspec.graph import INPUT, Node
from cnnspec.ops import JOINS, REDUCTIONS, show_shape
from cnnspec.ops.conv import AbstractSlidingConv
from cnnspec.ops.pool import AdaptiveAvgPool, AdaptiveMaxPool, MaxPool
from cnnspec.ops.window import Global, Sliding

__all__ = ["field_exceeds_input", "gridding", "late_downsampling", "misaligned_branches", "narrow_classifier"]

GLOBAL_POOLS: Final = (AdaptiveAvgPool, AdaptiveMaxPool, *REDUCTIONS)  # where a window of theirs is the whole axis


def _covered_before(network: MeasuredNetwork, node: Node) -> bool:
    """Whether every unit that this node reads already sees as many pixels as the input has, on every path."""
    if node.inputs[0] == INPUT:
        return False
    row = network.rows[node.inputs[0]]
    if row.sees_everything or len(row.min_receptive_field) != len(network.pixels) or not network.pixels:
        return False
    if not any(row.effective_stride):  # a reshape cut the axes: that each unit reads all of them is the most it can
        return False
    return all(seen >= size for seen, size in zip(row.min_receptive_field, network.pixels, strict=True))


@rule("W302", "a layer whose input already sees everything")
def field_exceeds_input(network: MeasuredNetwork) -> Iterator[Found]:
    """A convolution that gathers context where there is none left.

    Richter, Byttner, Krumnack, Schallner and Shenk 2021, Should You Go Deeper?: layers whose input already sees the
    whole image add nothing to the solution.
    """
    covered = [
        node
        for node, op in network.of(AbstractSlidingConv)
        if prod(op.kernel_size) > 1 and _covered_before(network, node)
    ]
    for runs in (True, False):  # at inference; then in auxiliary heads, whose parameters are not among its own
        late = [node for node in covered if (node.name in network.inference) is runs]
        if not late:
            continue
        first, weights = late[0], sum(network.rows[node.name].params for node in late)
        seen = show_shape(network.rows[first.inputs[0]].min_receptive_field)
        alone = len(late) == 1
        who = f"`{first.name}`" if alone else f"`{first.name}` and {len(late) - 1} more after it"
        yield Found(
            first,
            f"{who} can learn no new context: {'its' if alone else 'their'} input already sees {seen} pixels of"
            f" {show_shape(network.pixels)}",
            "a larger input, or fewer layers or less downsampling before it",
            f"{'it holds' if alone else 'together they hold'} {weights:,} parameters",
        )


@rule("W303", "a classifier that never sees the whole input")
def narrow_classifier(network: MeasuredNetwork) -> Iterator[Found]:
    """One answer for the whole input, from units that see only part of it."""
    for name in network.graph.outputs:
        if name == INPUT:
            continue
        node, row = network.graph.by_name[name], network.rows[name]
        if prod(node.shape[1:]) != 1 or not row.receptive_field:
            continue
        seen = row.receptive_field
        if not row.global_context:
            if any(field < size for field, size in zip(seen, network.pixels, strict=True)):
                yield Found(
                    node,
                    f"the output `{name}` sees {show_shape(seen)} pixels of {show_shape(network.pixels)}",
                    "more layers, stride or a global pool before it, or a smaller input",
                )
        elif (pool := _last_global_pool(network, node)) is not None:
            seen = network.rows[pool.inputs[0]].receptive_field if pool.inputs[0] != INPUT else (1,) * len(seen)
            if any(2 * field < size for field, size in zip(seen, network.pixels, strict=True)):
                yield Found(
                    pool,
                    f"`{pool.name}` gathers units that each see {show_shape(seen)} pixels of"
                    f" {show_shape(network.pixels)}: the classifier never relates what is further apart",
                    "more layers, stride or dilation before it, or a smaller input",
                )


def _last_global_pool(network: MeasuredNetwork, node: Node) -> Node | None:
    """The global pool that the output comes from by a chain without joins."""
    pool: Node | None = node
    while pool is not None:
        windows = pool.op.windows(*pool.input_shapes)
        if isinstance(pool.op, GLOBAL_POOLS) and any(isinstance(w, Global) for w in windows):
            return pool
        read = pool.input_shapes[0]
        if len(read) > 1 and len(pool.shape) < len(read) and prod(read[1:]) > 1:
            return None  # a dense layer sees where everything is
        pool = network.before(pool)
    return None


@rule("W304", "gridding: dilation leaves pixels unread")
def gridding(network: MeasuredNetwork) -> Iterator[Found]:
    """Dilation that leaves pixels inside the field unread, and nothing after it fills the holes.

    Wang et al. 2018, Understanding Convolution for Semantic Segmentation, section 3.2.
    """
    if not any(_holes(network.rows[name]) for name in network.graph.outputs if name in network.rows):
        return
    worst: Found | None = None
    for node, op in network.of((AbstractSlidingConv, MaxPool)):
        row = network.rows[node.name]
        holes = _holes(row)
        dilated = {
            axis
            for axis, (kernel, dilation) in enumerate(zip(op.kernel_size, op.dilation, strict=True))
            if kernel > 1 and dilation > 1
        }
        if dilated & holes.keys() and len(row.receptive_field) == op.rank:
            worst = Found(  # the last one: before it, holes may still be filled
                node,
                f"`{node.name}` leaves a grid of unread pixels: {per_axis(holes, op.rank)}",
                "dilations without a common factor (1, 2, 3), or a convolution without dilation after it, fill it",
            )
    if worst is not None:
        yield worst


def _holes(row: LayerReport) -> dict[int, str]:
    fields = zip(row.receptive_field, row.pixels_read, strict=True)
    return {axis: f"{read} of {span} are read" for axis, (span, read) in enumerate(fields) if read < span}


@rule("W313", "downsampling later than the receptive field needs")
def late_downsampling(network: MeasuredNetwork) -> Iterator[Found]:
    """A stride behind convolutions that had nothing left to see: they ran at a needless resolution."""
    late = {
        node.name
        for node, op in network.of(AbstractSlidingConv)
        if prod(op.kernel_size) > 1 and _covered_before(network, node)
    }
    behind: set[str] = set()
    for node in network.graph.nodes:
        if node.name in late or not behind.isdisjoint(node.inputs):
            behind.add(node.name)
        if behind.isdisjoint(node.inputs) or node.name not in network.live or not node.op.slides:
            continue
        windows = node.op.windows(*node.input_shapes)
        if any(isinstance(window, Sliding) and window.stride > 1 for window in windows) and prod(node.shape[1:]) > 1:
            seen = show_shape(network.rows[node.inputs[0]].min_receptive_field)
            yield Found(
                node,
                f"`{node.name}` downsamples late: its input already sees {seen} pixels of {show_shape(network.pixels)}",
                "the same stride before the convolutions that see nothing new gives the same field at a fraction of"
                " their cost",
            )
            return


@rule("W314", "branches that are not aligned")
def misaligned_branches(network: MeasuredNetwork) -> Iterator[Found]:
    """Branches whose units look at different places: half a unit apart or more, or drifting by a unit.

    Araujo, Norris and Sim 2019, Computing Receptive Fields of Convolutional Neural Networks (Distill), on alignment.
    """
    for node, _ in network.of(JOINS):
        rows = [network.rows[name] for name in node.inputs if name in network.rows]
        local = [row for row in rows if not row.sees_everything]
        if network.rows[node.name].aligned or not all(row.aligned for row in local):
            continue
        for axis in range(len(network.pixels)):
            branches = [(row.name, row.effective_stride[axis], row.field.centre[axis]) for row in local]
            if INPUT in node.inputs:
                branches.append((INPUT, Fraction(1), Fraction(0)))
            apart = _apart(branches, node.shape[axis + 1] if axis + 1 < len(node.shape) else 1)
            if apart is not None:
                first, last, distance = apart
                yield Found(
                    node,
                    f"`{node.name}` joins branches that are not aligned: units of `{first}` and `{last}` are centred"
                    f" {float(distance):g} pixels apart",
                    "the same padding, kernel parity and stride on every branch centre them alike",
                )
                break


def _apart(branches: Sequence[tuple[str, Fraction, Fraction]], units: int) -> tuple[str, str, Fraction] | None:
    """The two branches, of name, stride and centre, whose units are furthest apart, and how far, where that matters."""
    worst: tuple[str, str, Fraction] | None = None
    moving = [branch for branch in branches if branch[1]]  # a gate of one unit is read by all
    strides = {stride for _, stride, _ in moving}
    if not strides:
        return None
    limit = max(strides) / 2 if len(strides) == 1 else max(strides)
    for unit in (0, units - 1):
        centres = sorted((unit * stride + centre, name) for name, stride, centre in moving)
        (low, first), (high, last) = centres[0], centres[-1]
        if high - low >= limit and (worst is None or high - low > worst[2]):
            worst = first, last, high - low
    return worst
