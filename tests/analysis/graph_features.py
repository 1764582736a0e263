"""Which features occur in a random network: a generator that never draws one cannot find what is wrong with it."""

from __future__ import annotations

import json
from typing import Any

from cnnspec.graph import Graph, Node
from cnnspec.ops import (
    conv,
    dropout,
    linear,
    merge,
    norm,
    pad,
    pool,
    reduce,
    resample,
    reshape,
    scale,
    std_conv,
    unflatten,
)
from cnnspec.ops.activation import AbstractSoftmax

__all__ = ["FEATURES", "features"]

_SAMPLE_NORMS = (norm.GRN, norm.GroupNorm, norm.LayerNorm, norm.LayerNorm2d)
_BY_OPERATOR: dict[type[Any], str] = {
    reshape.Slice: "Slice",
    reshape.ChannelShuffle: "ChannelShuffle",
    reshape.Permute: "Permute",
    reshape.Flatten: "Flatten inside",
    resample.PixelShuffle: "PixelShuffle",
    linear.Linear: "Linear inside",
    pool.LPPool: "LPPool",
    pool.AdaptiveMaxPool: "AdaptiveMaxPool",
    norm.InstanceNorm: "InstanceNorm",
    norm.GroupNorm: "GroupNorm",
    norm.LayerNorm: "LayerNorm",
    norm.LayerNorm2d: "LayerNorm2d",
    norm.LocalResponseNorm: "LocalResponseNorm",
    norm.GRN: "GRN",
    pool.BlurPool: "BlurPool",
    std_conv.StdConv: "StdConv",
    std_conv.ScaledStdConv: "StdConv",
    scale.Scale: "Scale",
    scale.Bias: "Bias",
    dropout.Dropout: "Dropout",
    unflatten.Unflatten: "Unflatten",
    unflatten.Reshape: "Reshape",
    reduce.Mean: "Mean",
    reduce.Sum: "Sum",
    reduce.Amax: "Amax",
    reduce.Amin: "Amin",
    pad.ConstantPad: "ConstantPad",
    pad.ReflectionPad: "ReflectionPad",
    pad.ReplicationPad: "ReplicationPad",
    pad.CircularPad: "CircularPad",
}
_WRITTEN = ("inline", "repeat", "when")

FEATURES = frozenset(
    {
        *_BY_OPERATOR.values(),
        *_WRITTEN,
        *(f"Softmax over axis {axis}" for axis in (1, 2, 3)),
        "statistics of the sample",
        "in place",
        "several outputs",
        "aux_outputs",
        "dead layers",
        "Upsample with size",
        "Upsample with align_corners",
        "Upsample nearest-exact",
        "Upsample bicubic",
        "Upsample by an odd factor",
        "Upsample that keeps the size",
        "adaptive size above 4",
        "kernel above 5",
        "crop beyond -1",
        "groups after Concat",
        "convolution padded by copies",
        *(f"{name} along another axis" for name in ("Slice", "Concat", "GRN")),
        "Scale or Bias along another axis",
        "Add or Mul that broadcasts",
        "Sub or Div that broadcasts",
        "ceil_mode",
        "blocks",
        "variants",
        "side by side",
    }
)


def features(graph: Graph, text: str) -> set[str]:
    """The features, of FEATURES, that occur in the graph of this JSON text."""
    found = set[str]()
    read = {name for node in graph for name in node.inputs}
    for node in graph:
        name = _BY_OPERATOR.get(type(node.op))
        if name is not None and (not name.endswith("inside") or node.name in read):
            found.add(name)
        found |= _of_arguments(node)
        behind = graph.by_name.get(node.inputs[0])
        if getattr(node.op, "groups", 1) > 1 and behind is not None and isinstance(behind.op, merge.Concat):
            found.add("groups after Concat")
    document = json.loads(text)
    found |= {word for word in _WRITTEN if f'"{word}"' in text}
    found |= {word for word in ("blocks", "variants", "aux_outputs") if document.get(word)}
    if '"concat"' in text or '"add"' in text:
        found.add("side by side")
    if len(graph.outputs) > 1:
        found.add("several outputs")
    if len(graph.ancestors((*graph.outputs, *graph.aux_outputs))) < len(graph):
        found.add("dead layers")
    return found


def _of_arguments(node: Node) -> set[str]:
    op, (shape, *_) = node.op, node.input_shapes
    found = set[str]()
    if getattr(op, "dim", 1) != 1:
        trained = isinstance(op, (scale.Scale, scale.Bias))
        found |= {f"{'Scale or Bias' if trained else op.op_name} along another axis"} & FEATURES
    if isinstance(op, merge.ELEMENTWISE) and len(set(node.input_shapes)) > 1:
        found.add(f"{'Add or Mul' if isinstance(op, (merge.Add, merge.Mul)) else 'Sub or Div'} that broadcasts")
    if isinstance(op, _SAMPLE_NORMS) or (isinstance(op, norm.InstanceNorm) and not op.track_running_stats):
        found.add("statistics of the sample")
    if getattr(op, "inplace", False):
        found.add("in place")
    if isinstance(op, AbstractSoftmax):
        found.add(f"Softmax over axis {op.dim if op.dim > 0 else len(shape) + 1 + op.dim}")
    if isinstance(op, (pool.AdaptiveAvgPool, pool.AdaptiveMaxPool)) and max(node.shape[1:]) > 4:
        found.add("adaptive size above 4")
    if isinstance(op, (conv.Conv, conv.ConvTranspose, pool.MaxPool, pool.AvgPool)) and max(op.kernel_size) > 5:
        found.add("kernel above 5")
    if getattr(op, "padding_mode", "zeros") != "zeros":
        found.add("convolution padded by copies")
    if getattr(op, "ceil_mode", False):
        found.add("ceil_mode")
    if isinstance(op, pad.ZeroPad) and min(op.padding) < -1:
        found.add("crop beyond -1")
    if isinstance(op, resample.Upsample):
        factors = op.scale_factor if isinstance(op.scale_factor, tuple) else (op.scale_factor or 1,)
        found |= {f"Upsample {op.mode}"} & FEATURES
        if op.size is not None:
            found.add("Upsample with size")
        if op.align_corners:
            found.add("Upsample with align_corners")
        if any(factor != int(factor) or factor % 2 for factor in factors if factor != 1):
            found.add("Upsample by an odd factor")
        if any(before == after for before, after in zip(shape[1:], node.shape[1:], strict=True)):
            found.add("Upsample that keeps the size")
    return found
