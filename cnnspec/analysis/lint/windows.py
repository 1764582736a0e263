"""Rules about what the windows of single layers read: pixels dropped, skipped, and padding in place of pixels."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from math import prod

from cnnspec.analysis.borders import border_losses, remainders_below
from cnnspec.analysis.lint.base import Found, MeasuredNetwork, per_axis, rule
from cnnspec.graph import Node
from cnnspec.ops.conv import AbstractSlidingConv, ConvTranspose
from cnnspec.ops.pool import MaxPool
from cnnspec.ops.window import Sliding

__all__ = [
    "border_pixels_dropped",
    "checkerboard",
    "even_same_padding",
    "padding_beyond_half",
    "pixels_skipped",
    "pool_of_padding",
    "weights_on_padding",
]


@rule("W301", "border pixels are dropped")
def border_pixels_dropped(network: MeasuredNetwork) -> Iterator[Found]:
    """The division in the size formula leaves a remainder, and real pixels with it (not only padding)."""
    for node, op in network.sliders():
        (shape,) = node.input_shapes
        parts = {axis: f"{lost} of {shape[axis + 1]}" for axis, lost in border_losses(op, shape).items()}
        if parts:
            mend = "padding" if isinstance(op, AbstractSlidingConv) else "`ceil_mode=True`"
            yield Found(
                node,
                f"`{node.name}` never reads the last pixels of its input: {per_axis(parts, op.rank)}",
                f"{mend} keeps them; `cnnspec sizes` lists the input sizes that lose none",
            )


@rule("W309", "a window smaller than its stride skips pixels")
def pixels_skipped(network: MeasuredNetwork) -> Iterator[Found]:
    """The window is smaller than the stride, and no other layer reads what lies between."""
    for node, _ in network.sliders():
        shares = {
            axis: window.extent / window.stride
            for axis, window, size in network.sliding(node)
            if window.extent < window.stride and size > window.extent
        }
        others = [other for other in network.readers[node.inputs[0]] if other is not node]
        if shares and not any(_reads_all(network, other) for other in others):
            skipped = 100 * (1 - prod(shares.values()))
            yield Found(
                node,
                f"`{node.name}` skips {skipped:.0f} % of its input: its window of {_spans(network, node)} is smaller"
                " than its stride",
                "stride where the window is larger, as ResNet v1.5 does, or pool before",
            )


def _reads_all(network: MeasuredNetwork, node: Node) -> bool:
    return all(window.extent >= window.stride for _, window, _ in network.sliding(node))


def _spans(network: MeasuredNetwork, node: Node) -> str:
    return "x".join(str(window.extent) for _, window, _ in network.sliding(node))


@rule("W311", "padding larger than half the window")
def padding_beyond_half(network: MeasuredNetwork) -> Iterator[Found]:
    """More padding than half the window: some windows read hardly anything else."""
    for node, op in network.of(AbstractSlidingConv):
        parts = {
            axis: f"{window.before} for a window of {window.extent}"
            for axis, window, _ in network.sliding(node)
            if window.before > window.extent // 2
        }
        if parts:
            yield Found(
                node,
                f"`{node.name}` pads by more than half its window: {per_axis(parts, op.rank)}",
                "half the window keeps the size; more only adds units that see zeros",
            )


@rule("W319", "weights that read only padding")
def weights_on_padding(network: MeasuredNetwork) -> Iterator[Found]:
    """Taps of the kernel that no position of the window lays on a real pixel: they are never trained."""
    for node, op in network.of(AbstractSlidingConv):
        used = [_used_taps(window, size) for _, window, size in network.sliding(node)]
        taps = prod(op.kernel_size)
        if prod(used) < taps:
            size = "x".join(str(size) for size in node.input_shapes[0][1:])
            yield Found(
                node,
                f"`{node.name}`: {taps - prod(used)} of the {taps} taps of its kernel read only padding, since its"
                f" input is {size}",
                "a smaller kernel or dilation, a larger input, or less downsampling before",
            )


@rule("W322", "a max pool reads only padding")
def pool_of_padding(network: MeasuredNetwork) -> Iterator[Found]:
    """A window of a max pool meets no real pixel: its unit is -inf, and torch has no place to send its gradient to."""
    for node, op in network.of(MaxPool):
        parts = {
            axis: f"unit {lost}"
            for axis, window, size in network.sliding(node)
            if (lost := _first_on_padding(window, size)) is not None
        }
        if parts:
            yield Found(
                node,
                f"`{node.name}` reads only padding and gives -inf: {per_axis(parts, op.rank)}",
                "less dilation, a larger input, or a smaller stride; training it may end the process",
            )


def _first_on_padding(window: Sliding, size: int) -> int | None:
    """The first position of the window in which none of its taps reads a real pixel."""
    if window.before >= window.extent:
        return 0
    if window.dilation > size:  # then its taps may step over the input, as long as it begins before that

        def all_read(units: int) -> bool:
            return remainders_below(size, units, window.stride, -window.before, window.dilation) == units

        early = max(0, min(window.out_size(size), -(-window.before // window.stride)))
        if not all_read(early):
            return bisect_left(range(early + 1), True, key=lambda units: not all_read(units)) - 1
    behind = max(0, -(-(size + window.before) // window.stride))
    return behind if behind < window.out_size(size) else None


def _used_taps(window: Sliding, size: int) -> int:
    """Taps that read a real pixel, or a copy of one, in some position of the window."""
    if window.border != "constant":
        return window.kernel
    reach = (window.out_size(size) - 1) * window.stride
    # From the first that comes so far to the last that starts in the input.
    first = max(0, -(-(window.before - reach) // window.dilation))
    taps = max(0, min(window.kernel - 1, (size - 1 + window.before) // window.dilation) - first + 1)
    if size >= window.stride:
        return taps
    return remainders_below(size, taps, window.dilation, first * window.dilation - window.before, window.stride)


@rule("W317", "an even window with padding=same")
def even_same_padding(network: MeasuredNetwork) -> Iterator[Found]:
    """`padding=same` with an even window puts the odd pixel at the far end: the grid moves by half a pixel."""
    for node, op in network.of(AbstractSlidingConv):
        parts = {
            axis: str(window.extent) for axis, window, _ in network.sliding(node) if window.before != window.after
        }  # fmt: skip
        if op.padding == "same" and parts:
            yield Found(
                node,
                f"`{node.name}` shifts its grid by half a pixel: padding=same with an even window,"
                f" {per_axis(parts, op.rank)}",
                "an odd kernel keeps every unit centred on its pixel",
            )


@rule("W318", "a transposed convolution that overlaps unevenly")
def checkerboard(network: MeasuredNetwork) -> Iterator[Found]:
    """A transposed convolution whose stride does not divide its kernel writes some outputs more often than others.

    Odena, Dumoulin and Olah 2016, Deconvolution and Checkerboard Artifacts (Distill).
    """
    for node, op in network.of(ConvTranspose):
        parts = {
            axis: f"kernel {kernel}, stride {stride}"
            for axis, (kernel, stride) in enumerate(zip(op.kernel_size, op.stride, strict=True))
            if stride > 1 and kernel % stride
        }
        if parts:
            yield Found(
                node,
                f"`{node.name}` overlaps unevenly: {per_axis(parts, op.rank)}",
                "a kernel that the stride divides, or Upsample and a convolution, avoids checkerboards",
            )
