"""What the units of a network depend on, shown by torch: a pixel that is no number makes one of all that reads it.

The network runs once on as many samples as there are pixels; in sample `p` pixel `p` is NaN in every channel. Torch's
layers carry NaN on, in maxima, activations and norms too, and no sums can cancel. Only interpolation multiplies by
weights of 0; there the share of the tainted inputs is interpolated instead.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from math import prod
from pathlib import Path
from typing import Any

import torch
from taps import NOISE
from torch import Tensor, nn
from torch.nn import functional

from cnnspec.graph import INPUT, Graph, Node
from cnnspec.ops import Shape, norm
from cnnspec.ops.resample import Upsample

sys.path.insert(0, str(Path(__file__).parent.parent / "ops"))
from references import reference

__all__ = ["run_node", "tainted"]

_FOLLOW = ("rank", "in_channels", "in_features", "num_features", "num_channels", "normalized_shape")


def run_node(node: Node, inputs: list[Tensor], built: Callable[[nn.Module], object] | None = None) -> Tensor:
    """The node's own torch layer with fresh weights, as at inference; `built` is told the layer."""
    op = node.op
    args: dict[str, Any] = {key: getattr(op, key) for key in type(op).fields() if key not in _FOLLOW}
    args = {key: value for key, value in args.items() if value is not None or key == "dim"}
    if op.op_name == "LPPool1d":  # takes no tuples
        args = {key: value[0] if isinstance(value, tuple) else value for key, value in args.items()}
    shapes = tuple(tuple(value.shape[1:]) for value in inputs)
    module = reference(op.op_name, args, shapes).eval().to(inputs[0].dtype)
    if built is not None:
        built(module)
    result: Tensor = module(*(value.clone(memory_format=torch.contiguous_format) for value in inputs))
    return result


def tainted(graph: Graph, hidden: dict[str, Tensor] | None = None) -> dict[str, Tensor]:
    """For every node a bool for each unit and pixel, pixels last.

    `hidden` names values that are kept from the layers behind them: bools over the units of a node, which then pass on
    no taint. With it, statistics of norms pass on none either.
    """
    shape: Shape = graph.input_shape
    pixels = prod(shape[1:])
    x = torch.ones(pixels, *shape, dtype=torch.float64)
    x.reshape(pixels, shape[0], pixels)[torch.arange(pixels), :, torch.arange(pixels)] = torch.nan
    values = {INPUT: x}
    with torch.no_grad():
        for node in graph:
            inputs = []
            for name in node.inputs:
                value = values[name]
                if hidden is not None and name in hidden:
                    value = torch.where(hidden[name], 1.0, value)
                inputs.append(value)
            values[node.name] = _run(node, inputs, statistics=hidden is None)
    return {name: value.isnan().movedim(0, -1) for name, value in values.items()}


def _run(node: Node, inputs: list[Tensor], *, statistics: bool) -> Tensor:
    op, x = node.op, inputs[0]
    if isinstance(op, Upsample):
        share = torch.where(x.isnan(), 0.5 + torch.rand(x.shape, dtype=x.dtype), 0.0).contiguous()
        if op.mode.startswith("nearest"):
            share = share.to(torch.float32)  # which decide the index; for other orders of axes torch has other kernels
        reached = functional.interpolate(share, op.size, op.scale_factor, op.mode, op.align_corners).abs() > NOISE
        return torch.where(reached, torch.nan, 1.0).to(torch.float64)
    if isinstance(op, (norm.GroupNorm, norm.InstanceNorm, norm.GRN)) and not statistics:
        return x
    y = run_node(node, inputs)
    return torch.where(y.isnan(), torch.nan, 1.0).to(torch.float64)  # nothing grows out of bounds
