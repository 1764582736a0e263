"""The weights of a network read back out of its ONNX file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from onnx import ModelProto, numpy_helper

from cnnspec.errors import CnnspecError
from cnnspec.graph import Graph
from cnnspec.onnx_backend.fold import foldable
from cnnspec.onnx_backend.standardised import unstandardised
from cnnspec.ops.norm import BatchNorm
from cnnspec.ops.std_conv import ScaledStdConv, StdConv

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["recover_weights"]


def recover_weights(model: ModelProto, graph: Graph, *, folded: bool) -> dict[str, NDArray[np.float32]]:
    """Weights by `state_dict` name. Raises CnnspecError where the file does not hold them under their names.

    A batch norm that was folded away becomes one that does nothing but add its layer's bias.
    """
    tensors = {tensor.name: tensor for tensor in model.graph.initializer}

    def read(name: str, shape: tuple[int, ...]) -> NDArray[np.float32]:
        for given in (name, f"{name}/transposed", f"{name}/factor", f"{name}/term"):
            if given in tensors:
                array = numpy_helper.to_array(tensors[given])
                array = array.T if given.endswith("/transposed") else array
                if array.size == int(np.prod(shape)):  # a channel's values may be given axes to be broadcast along
                    return np.ascontiguousarray(array.reshape(shape), np.float32)
        raise CnnspecError(f"the file does not hold `{name}` as {shape}")

    layer_of = foldable(graph) if folded else {}
    norm_of = {layer: norm for norm, layer in layer_of.items()}
    state: dict[str, Any] = {}
    for node in graph:
        if node.name in layer_of:
            assert isinstance(node.op, BatchNorm)
            bias = read(f"{layer_of[node.name]}.bias", node.shape[:1])
            plain = {"weight": 1.0, "bias": bias if node.op.affine else 0.0, "running_var": 1 - node.op.eps}
            plain["running_mean"] = 0.0 if node.op.affine else -bias
            state |= {
                node.tensor_name(key): np.array(np.broadcast_to(np.float32(plain[key]), shape))
                for key, shape in node.tensors.items()
                if key in plain
            }
            continue
        if isinstance(node.op, (StdConv, ScaledStdConv)):
            whole = unstandardised(node.op, node, read(node.tensor_name("weight"), node.tensors["weight"]))
            state |= {node.tensor_name(key): array.astype(np.float32) for key, array in whole.items()}
        for key, shape in node.tensors.items():
            name = node.tensor_name(key)
            if name in state:
                continue
            if key == "num_batches_tracked":
                continue
            if key == "bias" and node.name in norm_of:
                state[name] = np.zeros(shape, np.float32)  # it is part of the batch norm's
            else:
                state[name] = read(name, shape)
    return state
