"""Models in eight bits: whether they are quantised where they say, and the same graph without the rounding.

A quantised model keeps its layers, and puts `QuantizeLinear` and `DequantizeLinear` between them: each pair rounds one
tensor. A ReLU or a clipping whose bounds are those of the rounding is left out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, numpy_helper

from cnnspec.errors import CnnspecError
from cnnspec.graph import Graph, Node
from cnnspec.onnx_backend.lower import lower_layer
from cnnspec.onnx_backend.verify import Check, opset_of
from cnnspec.onnx_backend.writer import Writer
from cnnspec.ops.activation import Hardtanh, ReLU, ReLU6

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["check_quantization", "without_quantization"]

WEIGHTED: Final = ("Conv", "ConvTranspose", "Gemm", "MatMul")
BYTES: Final = (TensorProto.INT8, TensorProto.UINT8)


def check_quantization(model: ModelProto, graph: Graph) -> Check:
    """Whether layers with weights compute on bytes, every scale is usable, and what is left out really is done.

    `graph` is the network that the model shows, with the names of its layers.
    """
    name = "quantisation"
    tensors = {tensor.name: tensor for tensor in model.graph.initializer}
    maker = {node.output[0]: node for node in model.graph.node}
    pairs = [node for node in model.graph.node if node.op_type == "DequantizeLinear"]
    faults = []
    for node in pairs:
        source = maker.get(node.input[0])
        if source is not None and (source.op_type != "QuantizeLinear" or source.input[1:] != node.input[1:]):
            faults.append(f"`{node.name}` undoes another rounding than the one before it")
        scale = numpy_helper.to_array(tensors[node.input[1]]) if node.input[1] in tensors else np.zeros(1)
        if not (np.isfinite(scale).all() and (scale > 0).all()):
            faults.append(f"the scale of `{node.name}` is no positive number")
    rounded: dict[str, str] = {}  # of several left out in a row, the last one is rounded
    for node in _left_out(model, graph):
        low, high = _bounds(node)
        rounded[node.inputs[0]] = rounded.get(node.name, node.name)
        least, most, step = _range(rounded[node.inputs[0]], model, tensors)
        if not (abs(least - low) <= step and most <= high + step):
            faults.append(f"`{node.name}` is left out, and its rounding gives {least:.3g} to {most:.3g}")
    weighted = [node for node in model.graph.node if node.op_type in WEIGHTED]
    small = [node for node in weighted if _on_bytes(node, maker, tensors)]
    if weighted and not small:
        faults.append("no layer with weights computes on bytes")
    if faults:
        return Check(name, False, f"{len(faults)} faults; {'; '.join(faults[:3])}")
    roundings = sum(node.op_type == "QuantizeLinear" for node in model.graph.node)
    detail = f"{len(small)} of {len(weighted)} layers with weights compute on bytes, {roundings} results are rounded"
    return Check(name, True, detail, float(len(small)))


def _on_bytes(node: NodeProto, maker: dict[str, NodeProto], tensors: dict[str, TensorProto]) -> bool:
    """Whether both the values and the weights that a layer reads come from bytes."""
    sources = [maker.get(name) for name in node.input[:2]]
    if any(source is None or source.op_type != "DequantizeLinear" for source in sources):
        return False
    weight = sources[1].input[0] if sources[1] is not None else ""
    return weight in tensors and tensors[weight].data_type in BYTES


def _left_out(model: ModelProto, graph: Graph) -> list[Node]:
    """The layers of the network that have no node of their own, the last one first."""
    there = {node.name for node in model.graph.node}
    return [
        node
        for node in reversed(graph.nodes)
        if node.name not in there and isinstance(node.op, ReLU | ReLU6 | Hardtanh)
    ]


def _bounds(node: Node) -> tuple[float, float]:
    match node.op:
        case ReLU6():
            return 0.0, 6.0
        case Hardtanh():
            return node.op.min_val, node.op.max_val
        case _:
            return 0.0, float("inf")


def _range(name: str, model: ModelProto, tensors: dict[str, TensorProto]) -> tuple[float, float, float]:
    """The least and the largest number that the rounding of a layer gives, and the step between two."""
    for node in model.graph.node:
        if node.op_type == "QuantizeLinear" and node.input[0] in (name, f"{name}_QuantizeLinear_Input"):
            scale, zero = (numpy_helper.to_array(tensors[key]) for key in node.input[1:] if key in tensors)
            kind, step = np.iinfo(zero.dtype), float(scale.max())
            return (kind.min - int(zero.min())) * step, (kind.max - int(zero.min())) * step, step
    return float("-inf"), float("inf"), 0.0


def without_quantization(model: ModelProto, graph: Graph) -> ModelProto:
    """The same network in float32: with the numbers that its bytes stand for as weights, and no rounding in between.

    Layers that were left out stand there again. Raises CnnspecError where that cannot be worked out.
    """
    tensors = {tensor.name: tensor for tensor in model.graph.initializer}
    plain = ModelProto()
    plain.CopyFrom(model)
    del plain.graph.node[:], plain.graph.initializer[:], plain.graph.value_info[:]
    weights: dict[str, NDArray[Any]] = {}
    known: dict[str, str] = {}  # tensors of the model by what they are called now
    for node in model.graph.node:
        if node.op_type == "QuantizeLinear":
            known[node.output[0]] = known.get(node.input[0], node.input[0])
        elif node.op_type == "DequantizeLinear" and node.input[0] in tensors:
            name = node.input[0].removesuffix("_quantized")
            weights[name] = _dequantized(node, tensors)
            known[node.output[0]] = name
        elif node.op_type == "DequantizeLinear":
            known[node.output[0]] = known.get(node.input[0], node.input[0])
        else:
            kept = plain.graph.node.add()
            kept.CopyFrom(node)
            kept.input[:] = [known.get(name, name) for name in node.input]
    _rename(plain, {known[output.name]: output.name for output in model.graph.output if output.name in known})
    for node in _left_out(model, graph):
        _restore(plain, node)
    read = {name for node in plain.graph.node for name in node.input}
    plain.graph.initializer.extend(numpy_helper.from_array(weights[name], name) for name in weights if name in read)
    there = {tensor.name for tensor in plain.graph.initializer}
    plain.graph.initializer.extend(tensors[name] for name in tensors if name in read and name not in there)
    return plain


def _dequantized(node: NodeProto, tensors: dict[str, TensorProto]) -> NDArray[np.float32]:
    """`(q - zero) * scale`, along an axis where there is a scale for each of its places."""
    if any(name not in tensors for name in node.input):
        raise CnnspecError(f"`{node.name}` does not have its scale in the file")
    given, scale, *zero = (numpy_helper.to_array(tensors[name]) for name in node.input)
    along = [1] * given.ndim
    if scale.size > 1:
        axis = next((attribute.i for attribute in node.attribute if attribute.name == "axis"), 1)
        if not -given.ndim <= axis < given.ndim or given.shape[axis] != scale.size:
            raise CnnspecError(f"`{node.name}` has {scale.size} scales for {given.shape}")
        along[axis] = scale.size
    shift = zero[0].astype(np.float32).reshape(along) if zero else np.float32(0)
    return np.asarray((given.astype(np.float32) - shift) * scale.reshape(along), np.float32)


def _rename(model: ModelProto, names: dict[str, str]) -> None:
    for node in model.graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]
        node.output[:] = [names.get(name, name) for name in node.output]


def _restore(model: ModelProto, node: Node) -> None:
    """Put a layer back behind the one that gives its result in its place."""
    place = next((index for index, one in enumerate(model.graph.node) if node.name in one.output), None)
    if place is None:
        raise CnnspecError(f"nothing in the file gives the result of `{node.name}`")
    (before,) = node.inputs
    outputs = model.graph.node[place].output
    outputs[:] = [before if name == node.name else name for name in outputs]
    writer = Writer({}, opset=opset_of(model), half=False, dynamic_size=False)
    lower_layer(writer, node)
    behind = list(model.graph.node)[place + 1 :]
    del model.graph.node[place + 1 :]
    model.graph.node.extend([*writer.nodes, *behind])
    model.graph.initializer.extend(writer.model.graph.initializer)
