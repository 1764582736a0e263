"""Batch norms folded into the convolution or linear layer before them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from cnnspec.graph import Graph, Node
from cnnspec.ops.conv import Conv, ConvTranspose
from cnnspec.ops.linear import Linear
from cnnspec.ops.norm import BatchNorm

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["fold_batch_norms", "foldable", "folded_graph"]


def foldable(graph: Graph) -> dict[str, str]:
    """The batch norms that can be folded, each with the layer that takes it in.

    That layer is a convolution or a linear layer over features whose result nothing else reads.
    """
    readers = Counter(name for node in graph for name in node.inputs)
    readers.update(graph.outputs)
    layer_of = {}
    for node in graph:
        before = graph.by_name.get(node.inputs[0])
        if before is None or not isinstance(node.op, BatchNorm) or not node.op.track_running_stats:
            continue
        fits = isinstance(before.op, Conv | ConvTranspose) or (isinstance(before.op, Linear) and len(before.shape) == 1)
        if fits and readers[before.name] == 1 and node.name not in graph.outputs:
            layer_of[node.name] = before.name
    return layer_of


def folded_graph(graph: Graph) -> Graph:
    """The network without the batch norms that can be folded; the layers that take them in have a bias."""
    layer_of = foldable(graph)
    layers = set(layer_of.values())
    nodes = []
    for node in graph:
        if node.name in layer_of:
            continue
        if node.name in layers:
            node = replace(node, op=node.op.replaced(bias=True))
        nodes.append(replace(node, inputs=tuple(layer_of.get(name, name) for name in node.inputs)))
    return replace(graph, nodes=tuple(nodes))


def fold_batch_norms(graph: Graph, weights: Mapping[str, NDArray[Any]]) -> tuple[Graph, dict[str, NDArray[Any]]]:
    """The same function with fewer layers: `w' = w * g/√(v + eps)`, `b' = (b - m) * g/√(v + eps) + beta`.

    Jacob et al. 2018, section 3.2. Worked out in float64.
    """
    folded = dict(weights)
    for norm, layer in foldable(graph).items():
        scale, shift = _scale_and_shift(graph.by_name[norm], weights)
        folded.update(_folded(graph.by_name[layer], scale, shift, weights))
    return folded_graph(graph), folded


def _scale_and_shift(
    norm: Node, weights: Mapping[str, NDArray[Any]]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The batch norm as `scale * x + shift`."""
    assert isinstance(norm.op, BatchNorm)
    mean, variance = (weights[f"{norm.name}.{key}"].astype(np.float64) for key in ("running_mean", "running_var"))
    scale = 1 / np.sqrt(variance + norm.op.eps)
    shift = -mean * scale
    if norm.op.affine:
        gain = weights[f"{norm.name}.weight"].astype(np.float64)
        scale, shift = gain * scale, gain * shift + weights[f"{norm.name}.bias"].astype(np.float64)
    return scale, shift


def _folded(
    node: Node, scale: NDArray[np.float64], shift: NDArray[np.float64], weights: Mapping[str, NDArray[Any]]
) -> dict[str, NDArray[Any]]:
    weight = weights[f"{node.name}.weight"].astype(np.float64)
    if isinstance(node.op, ConvTranspose):  # (in, out/groups, *kernel): each group has output channels of its own
        groups = node.op.groups
        apart = weight.reshape(groups, weight.shape[0] // groups, *weight.shape[1:])
        factor = scale.reshape(groups, 1, -1, *(1 for _ in weight.shape[2:]))
        weight = (apart * factor).reshape(weight.shape)
    else:
        weight = weight * scale.reshape(-1, *(1 for _ in weight.shape[1:]))
    bias = weights.get(f"{node.name}.bias")
    if bias is not None:
        shift = bias.astype(np.float64) * scale + shift
    return {f"{node.name}.weight": weight.astype(np.float32), f"{node.name}.bias": shift.astype(np.float32)}
