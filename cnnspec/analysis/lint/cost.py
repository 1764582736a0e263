"""Rules about parameters and speed."""

from __future__ import annotations

from collections.abc import Iterator
from math import prod

from cnnspec.analysis.lint.base import Found, MeasuredNetwork, flattened_before, rule
from cnnspec.graph import INPUT
from cnnspec.ops import show_shape
from cnnspec.ops.conv import AbstractSlidingConv, ConvTranspose
from cnnspec.ops.linear import Linear

__all__ = ["dense_holds_most", "slow_channels"]

MANY = 100_000  # parameters below which nobody minds where they are
TILE = 8  # channels that tensor cores take at a time in half precision
HEAVY = 10_000_000  # MACs per sample below which a layer is bound by its launch, not by its arithmetic
SHARE = 0.02  # of the network's MACs


@rule("W308", "a dense layer holds most of the parameters")
def dense_holds_most(network: MeasuredNetwork) -> Iterator[Found]:
    """A dense layer on flattened maps with more parameters than all else (Lin, Chen and Yan 2013, section 3.2)."""
    for node, _ in network.of(Linear):
        total = network.totals(node).params
        params = network.rows[node.name].params
        if params < MANY or 2 * params <= total:
            continue
        flat = flattened_before(network, node)
        if flat is None or flat.inputs[0] == INPUT:
            continue
        shape = flat.input_shapes[0]
        if prod(shape[1:]) > 1:
            yield Found(
                node,
                f"`{node.name}` holds {100 * params / total:.0f} % of the parameters: {params:,} of {total:,}",
                f"`AdaptiveAvgPool` to 1 before `{flat.name}` would leave {shape[0]:,} of its"
                f" {prod(shape):,} inputs ({show_shape(shape)})",
            )


@rule("W310", "channels that are slow on tensor cores")
def slow_channels(network: MeasuredNetwork) -> Iterator[Found]:
    """Channels per group that are no multiple of 8 leave tensor cores partly idle.

    NVIDIA, Convolutional Layers User's Guide, section 5.1: channels in and out as multiples of 8 in half precision.
    Layers on the input, outputs, depthwise convolutions and light layers are left out.
    """
    for node, op in network.of((AbstractSlidingConv, ConvTranspose)):
        total = network.totals(node).macs
        channels, macs = node.input_shapes[0][0], network.rows[node.name].macs
        if macs < max(HEAVY, SHARE * total) or op.groups == channels or node.inputs[0] == INPUT:
            continue
        inside, out = channels // op.groups, op.out_channels // op.groups
        odd = [
            f"{count} {name} channels"
            for count, name in ((inside, "input"), (out, "output"))
            if count % TILE and not (name == "output" and node.name in network.graph.outputs)
        ]
        if odd:
            per = " per group" if op.groups > 1 else ""
            yield Found(
                node,
                f"`{node.name}` has {' and '.join(odd)}{per}: no multiple of {TILE}, which tensor cores work in",
                f"`make_divisible(channels, {TILE})` rounds to what runs at full speed"
                if op.groups == 1
                else "fewer or wider groups run at full speed",
            )
