"""Collects the nodes and tensors of an ONNX graph while a network is lowered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from onnx import ModelProto, helper

from cnnspec.errors import CnnspecError
from cnnspec.graph import INPUT, Node

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Writer"]


class Writer:
    """The ONNX graph so far. A tensor has the name of the spec's node that makes it; a weight its `state_dict` name.

    Where one layer takes several ONNX nodes, the last has the layer's name and the others are called `layer/step`.
    """

    def __init__(self, weights: Mapping[str, NDArray[Any]], *, opset: int, half: bool, dynamic_size: bool) -> None:
        self.opset = opset
        self.dynamic_size = dynamic_size  # sizes of spatial axes are not known and must not be written down
        self.float = np.dtype(np.float16 if half else np.float32)
        self.model = ModelProto()  # filled in place: weights are large, and a copy of them takes time
        self.nodes = self.model.graph.node
        self.alias = {INPUT: INPUT}  # tensors that stand for another name
        self._weights = weights

    def reads(self, node: Node) -> list[str]:
        """The tensors that a layer reads."""
        return [self.alias.get(name, name) for name in node.inputs]

    def add(self, kind: str, inputs: Sequence[str], output: str, **attributes: Any) -> str:
        """Write one ONNX node, named as its output, and return that name."""
        self.nodes.append(helper.make_node(kind, inputs, [output], name=output, **attributes))
        return output

    def constant(self, name: str, values: Any, dtype: Any = None) -> str:
        """A constant tensor in the network's float type, or in `dtype`."""
        array = np.asarray(values, dtype or self.float, order="C")
        tensor = self.model.graph.initializer.add()
        tensor.name = name
        tensor.data_type = helper.np_dtype_to_tensor_dtype(array.dtype)
        tensor.dims.extend(array.shape)
        tensor.raw_data = array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes()
        return name

    def integers(self, name: str, values: Sequence[int]) -> str:
        """A constant list of integers, as shapes, axes and pads are given."""
        return self.constant(name, list(values), np.int64)

    def array(self, node: Node, key: str) -> NDArray[Any]:
        """A parameter or buffer of a layer. Raises CnnspecError where the weights lack it or its shape differs."""
        name, shape = node.tensor_name(key), node.tensors[key]
        array = self._weights.get(name)
        if array is None:
            raise CnnspecError(f"the weights lack `{name}`", hint="they belong to another network")
        if array.shape != shape:
            raise CnnspecError(f"`{name}` has the shape {array.shape} in the weights, and {shape} in the network")
        return array

    def weight(self, node: Node, key: str) -> str:
        """Write a parameter or buffer of a layer and return its name."""
        return self.constant(node.tensor_name(key), self.array(node, key))

    def weights(self, node: Node, *keys: str) -> list[str]:
        """The parameters among `keys` that the layer has."""
        shapes = node.op.parameter_shapes(*node.input_shapes)
        return [self.weight(node, key) for key in keys if key in shapes]

    def reduce(self, kind: str, source: str, axes: Sequence[int], output: str, *, keepdims: bool = True) -> str:
        """`ReduceMean`, `ReduceMax` or `ReduceSum`; the axes became an input in different opsets."""
        if self.opset >= 18 or kind == "ReduceSum":
            inputs = [source, self.integers(f"{output}/axes", axes)]
            return self.add(kind, inputs, output, keepdims=int(keepdims))
        return self.add(kind, [source], output, axes=list(axes), keepdims=int(keepdims))

    def like(self, source: str, node: Node, output: str) -> str:
        """Give `source` the shape of the layer's output, which is that of its first input."""
        if self.dynamic_size:
            shape = self.add("Shape", [self.reads(node)[0]], f"{output}/shape")
        else:
            shape = self.integers(f"{output}/shape", [0, *node.shape])
        return self.add("Reshape", [source, shape], output)
