"""Whether a model is the one that lowering writes: node by node, and weight by weight.

Numbers on some inputs cannot show what a model does on others; that it has no nodes but those of the network can.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
from onnx import ModelProto, TensorProto, numpy_helper

from cnnspec.onnx_backend.verify import Check

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["STEP", "check_nodes", "check_weights"]

STEP: Final = 1 / 127  # of rounding to bytes: the largest magnitude is 127


def check_nodes(model: ModelProto, fresh: ModelProto) -> Check:
    """Whether a model has the nodes, inputs and outputs of the one that was written afresh, in the same order."""
    ours, theirs = model.graph, fresh.graph
    faults = [f"`{one.name}` is another" for one, two in zip(ours.node, theirs.node, strict=False) if one != two]
    if len(ours.node) != len(theirs.node):
        faults.append(f"there are {len(ours.node)} nodes, and {len(theirs.node)} in a fresh export")
    for name, one, two in (("input", ours.input, theirs.input), ("output", ours.output, theirs.output)):
        if list(one) != list(two):
            faults.append(f"the {name} is declared in another way")
    if faults:
        return Check("nodes", False, f"{len(faults)} differences from a fresh export; {'; '.join(faults[:3])}")
    return Check("nodes", True, f"{len(ours.node)} nodes are those of a fresh export", float(len(ours.node)))


def check_weights(model: ModelProto, fresh: ModelProto, *, step: float = 0.0) -> Check:
    """Whether a model has the constants of the one that was written afresh, every number of them.

    Where they were rounded, `step` is how far numbers may be from theirs, as a share of the largest of their layer.
    """
    name = "weights"
    ours = {tensor.name: tensor for tensor in model.graph.initializer}
    theirs = {tensor.name: tensor for tensor in fresh.graph.initializer}
    largest: dict[str, float] = {}
    if step:
        for key, tensor in theirs.items():
            layer = key.rpartition(".")[0] or key
            largest[layer] = max(largest.get(layer, 0.0), float(np.abs(numpy_helper.to_array(tensor)).max(initial=0)))
    faults, worst = sorted(ours.keys() ^ theirs.keys()), 0.0
    if len(ours) != len(model.graph.initializer):
        faults.append("a name that stands twice")
    for key in theirs.keys() & ours.keys():
        if ours[key] == theirs[key]:
            continue
        allowed = step * largest.get(key.rpartition(".")[0] or key, 0.0)
        off = _difference(ours[key], theirs[key])
        if not off <= allowed:
            faults.append(key)
        else:
            worst = max(worst, off / allowed if off else 0.0)
    if faults:
        listed = ", ".join(f"`{key}`" for key in sorted(faults)[:3])
        return Check(name, False, f"{len(faults)} of {len(theirs)} are not those of a fresh export: {listed}")
    if not step:
        return Check(name, True, f"{len(theirs)} are those of a fresh export, bit for bit", 0.0)
    detail = f"{len(theirs)} are those of a fresh export, rounded: the largest difference is {worst:.2f} steps"
    return Check(name, True, f"{detail} (at most 1)", worst)


def _difference(one: TensorProto, two: TensorProto) -> float:
    """The largest difference of two tensors of real numbers; infinite where they cannot be compared."""
    ours: NDArray[np.float32] = numpy_helper.to_array(one)
    theirs: NDArray[np.float32] = numpy_helper.to_array(two)
    if ours.shape != theirs.shape or ours.dtype != theirs.dtype:
        return float("inf")
    if ours.dtype.kind != "f":
        return 0.0 if np.array_equal(ours, theirs) else float("inf")
    return float(np.abs(ours - theirs).max(initial=0))
