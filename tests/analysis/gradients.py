"""The ground truth of receptive fields: which input pixels have a gradient, found by torch.

Weights are one, activations and norms are removed, max pools are sums, and branches that have seen everything are
constants beside local ones: what is left is a linear map with positive weights, so no gradient can cancel.
Works only from torch's own layers and sizes: nothing of the windows that are under test is used.
"""

from __future__ import annotations

from itertools import product

import torch
from torch.nn import functional

from cnnspec.graph import INPUT, Graph, Node
from cnnspec.ops import conv, merge, pool, resample
from cnnspec.ops.pad import PADS
from cnnspec.torch_backend.layers import layer

CONVS = {1: functional.conv1d, 2: functional.conv2d, 3: functional.conv3d}


def _sum_pool(op: pool.MaxPool | pool.AvgPool, x: torch.Tensor, out: tuple[int, ...]) -> torch.Tensor:
    """The sum over torch's windows: a convolution with ones on generous padding, cut to torch's output size."""
    dilation = getattr(op, "dilation", (1,) * op.rank)
    pads: list[int] = []
    for padding, kernel, spread in reversed(list(zip(op.padding, op.kernel_size, dilation, strict=True))):
        pads += [padding, padding + kernel * spread * 2]
    channels = x.shape[1]
    weight = torch.ones(channels, 1, *op.kernel_size, dtype=x.dtype)
    y = CONVS[op.rank](functional.pad(x, pads), weight, stride=op.strides, dilation=dilation, groups=channels)
    return y[(slice(None), slice(None), *(slice(size) for size in out))]


def _run(node: Node, inputs: list[torch.Tensor]) -> torch.Tensor:
    op, x = node.op, inputs[0]
    match op:
        case conv.Conv() | conv.ConvTranspose():
            module = layer(op, *node.input_shapes).double()
            for parameter in module.parameters():
                torch.nn.init.ones_(parameter)
            return module(x)
        case pool.MaxPool() | pool.AvgPool():
            size = layer(op, *node.input_shapes)(x.detach()).shape[2:]
            return _sum_pool(op, x, tuple(size))
        case pool.AdaptiveAvgPool() | resample.Upsample():
            return layer(op, *node.input_shapes)(x)
        case _ if isinstance(op, PADS):
            return layer(op, *node.input_shapes)(x)
        case merge.Concat():
            return torch.cat(inputs, op.dim)
        case merge.Add() | merge.Sub() | merge.Mul() | merge.Div():
            for other in inputs[1:]:  # with positive operands each depends on them as a sum does
                x = x + other
            return x
        case _:
            return x


def pixels_with_gradient(graph: Graph, layer_name: str, most: int = 60) -> dict[tuple[int, ...], torch.Tensor]:
    """For every unit of a layer, a boolean tensor over the spatial axes of the input.

    Where there are more than `most` units, the corners and evenly spread others.
    """
    x = torch.ones(1, *graph.input_shape, dtype=torch.float64, requires_grad=True)
    values, sees_all = {INPUT: x}, {INPUT: False}
    for node in graph.nodes:
        flags = [sees_all[name] for name in node.inputs]
        inputs = [values[name] for name in node.inputs]
        if len(node.inputs) > 1 and not all(flags):
            inputs = [value.detach() if flag else value for value, flag in zip(inputs, flags, strict=True)]
        axes = list(zip(node.shape[1:], node.input_shapes[0][1:], strict=False))
        one_pixel = (
            isinstance(node.op, pool.AdaptiveAvgPool)
            and any(out == 1 < size for out, size in axes)
            and all(out == 1 or size == 1 for out, size in axes)  # a pool over one axis alone gives strips
        )
        values[node.name] = _run(node, inputs)
        sees_all[node.name] = all(flags) or one_pixel
        if node.name == layer_name:
            break
    y = values[layer_name]
    found = {}
    units = list(product(*(range(size) for size in y.shape[2:])))
    if len(units) > most:
        corners = list(product(*({0, size - 1} for size in y.shape[2:])))
        units = corners + units[:: len(units) // most + 1]
    for unit in units:
        picked = y[(0, slice(None), *unit)].sum()
        (gradient,) = (
            torch.autograd.grad(picked, x, retain_graph=True) if picked.requires_grad else (torch.zeros_like(x),)
        )
        found[unit] = gradient[0].abs().sum(0) > 0
    return found
