"""The tensors of an ONNX graph that depend on no input: those that the file keeps, and those that its nodes compute."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from onnx import TensorProto

from cnnspec.errors import CnnspecError
from cnnspec.foreign.network import Stored
from cnnspec.onnx_backend.read_constants import fold_constants, is_foldable
from cnnspec.onnx_backend.read_tensors import KINDS, array_of, damaged, view_of
from cnnspec.onnx_backend.read_values import Known, Malformed, Missing, Value

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["KnownTensors"]


class KnownTensors:
    """Puts them among the values of a graph that is read. `numbers` names those of which the numbers were looked at."""

    def __init__(self, graph: Any, shown: str, opset: int, values: dict[str, Value]) -> None:
        self.graph, self.shown, self.opset, self.values = graph, shown, opset, values
        self.numbers: set[str] = set()

    def read_kept(self) -> None:
        """Those that the file keeps. Raises CnnspecError for numbers that are not read, and what is damaged."""
        for tensor in self.graph.initializer:
            kind = KINDS.get(tensor.data_type)
            if kind is None:
                word = TensorProto.DataType.Name(tensor.data_type).lower() if tensor.data_type else "nothing"
                raise CnnspecError(f"{self.shown} keeps tensors of {word}, and numbers of 32 bits are read")
            shape = tuple(tensor.dims)
            if min(shape, default=0) < 0:
                raise CnnspecError(f"{self.shown} is damaged: a tensor has the shape {shape}")
            reference = Stored(tensor.name) if kind == "f" else None
            self.values[tensor.name] = Known(tensor.name, shape, partial(self._array, tensor), kind, reference)

    def _array(self, tensor: Any) -> NDArray[Any]:
        self.numbers.add(tensor.name)
        return array_of(tensor, self.shown)

    def read_computed(self, nodes: Iterable[Any]) -> None:
        """Those that nodes compute, so that they are there before whoever reads them. Raises CnnspecError."""
        for node in nodes:
            if node.op_type == "Constant":
                self._keep(node, self._constant)
            elif is_foldable(node.op_type) and all(
                not name or isinstance(self.values.get(name), Known) for name in node.input
            ):
                self._keep(node, lambda node: fold_constants(view_of(node, self.values, self.opset, self.shown)))

    def _keep(self, node: Any, fold: Callable[[Any], Known]) -> None:
        if len(node.output) != 1:
            raise damaged(self.shown, node, "it has not one output")
        try:
            self.values[node.output[0]] = fold(node)
        except Missing:
            return  # whoever reads it says so
        except Exception as error:
            raise damaged(self.shown, node, error) from error

    def _constant(self, node: Any) -> Known:
        (name,) = node.output
        attributes = view_of(node, self.values, self.opset, self.shown).attributes
        if len(attributes) != 1:
            raise Malformed("it has not one value")
        ((key, value),) = attributes.items()
        if key == "value" and isinstance(value, np.ndarray):
            reference = Stored(name) if value.dtype.kind == "f" and value.size > 1 else None
            return Known(name, value.shape, lambda: self._read_number(name, value), value.dtype.kind, reference)
        kinds: dict[str, Any] = {"value_float": np.float32, "value_floats": np.float32}
        array = np.array(value, kinds.get(key, np.int64))
        return Known(name, array.shape, lambda: array, array.dtype.kind)

    def _read_number(self, name: str, value: NDArray[Any]) -> NDArray[Any]:
        self.numbers.add(name)
        return value
