"""The tensors and attributes of an ONNX file as numbers, and its nodes with what they read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from onnx import AttributeProto, TensorProto, numpy_helper

from cnnspec.errors import CnnspecError
from cnnspec.onnx_backend.read_values import Malformed, NodeView, Value

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["KINDS", "array_of", "attribute_value", "damaged", "view_of"]

KINDS: Final = {
    TensorProto.FLOAT: "f",
    TensorProto.DOUBLE: "f",
    TensorProto.INT64: "i",
    TensorProto.INT32: "i",
    TensorProto.BOOL: "b",
}


def array_of(tensor: Any, shown: str) -> NDArray[Any]:
    """The numbers of a tensor. Raises CnnspecError where they are not those of its shape."""
    try:
        array = numpy_helper.to_array(tensor)
    except Exception as error:
        raise CnnspecError(
            f"{shown} is damaged: the tensor `{tensor.name:.60}` cannot be read: {error!s:.100}"
        ) from None
    return np.asarray(array)


def attribute_value(attribute: Any, shown: str) -> Any:
    """What an attribute says; None for what no operator that is read has. Raises CnnspecError as `array_of`."""
    match attribute.type:
        case AttributeProto.INT:
            return int(attribute.i)
        case AttributeProto.FLOAT:
            return float(attribute.f)
        case AttributeProto.STRING:
            return attribute.s.decode("utf-8", "replace")
        case AttributeProto.INTS:
            return tuple(attribute.ints)
        case AttributeProto.FLOATS:
            return tuple(attribute.floats)
        case AttributeProto.TENSOR:
            return array_of(attribute.t, shown)
        case _:
            return None


def view_of(node: Any, values: Mapping[str, Value], opset: int, shown: str) -> NodeView:
    """A node with the values that it reads. Raises CnnspecError for attributes that are damaged."""
    attributes = {each.name: attribute_value(each, shown) for each in node.attribute}
    return NodeView(node, tuple(values[name] if name else None for name in node.input), attributes, opset)


def damaged(shown: str, node: Any, error: object) -> CnnspecError:
    """The error for a node that breaks the rules of its operator."""
    said = str(error) if isinstance(error, (str, Malformed)) else f"{type(error).__name__}: {error}"
    label = node.name or (node.output[0] if node.output else "")
    return CnnspecError(f"{shown} is damaged: {node.op_type:.40} `{label:.60}`: {said:.200}")
