"""ONNX files for tests: written by torch's exporters, or node by node."""

from __future__ import annotations

import io
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from onnx import ModelProto, TensorProto, helper, numpy_helper
from torch import nn

__all__ = ["exported", "graph_of", "initial"]


def exported(module: nn.Module, shape: tuple[int, ...], *, dynamo: bool = False, opset: int | None = None) -> bytes:
    """What torch writes for a module, for batches of any size."""
    module.eval()
    example, buffer = torch.randn(2, *shape), io.BytesIO()
    with warnings.catch_warnings(action="ignore"):
        if dynamo:
            batch = torch.export.Dim("batch")
            program = torch.onnx.export(module, (example,), dynamo=True, dynamic_shapes=({0: batch},), verbose=False)
            assert program is not None
            return bytes(program.model_proto.SerializeToString())
        torch.onnx.export(
            module,
            (example,),
            buffer,  # type: ignore[arg-type]
            dynamo=False,
            input_names=["x"],
            dynamic_axes={"x": {0: "batch"}},
            opset_version=opset,
        )
    return buffer.getvalue()


def initial(name: str, array: Any) -> TensorProto:
    """A tensor that a file keeps."""
    made: TensorProto = numpy_helper.from_array(np.asarray(array), name)
    return made


def graph_of(
    nodes: Sequence[Any],
    tensors: Sequence[TensorProto] = (),
    *,
    shape: Sequence[int | str] = ("n", 3, 8, 8),
    kind: int = TensorProto.FLOAT,
    output: str = "y",
    opset: int = 17,
) -> ModelProto:
    """A model with one input `x` and one output."""
    given = helper.make_tensor_value_info("x", kind, list(shape))
    result = helper.make_tensor_value_info(output, TensorProto.FLOAT, None)
    graph = helper.make_graph(list(nodes), "graph", [given], [result], list(tensors))
    made: ModelProto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    return made
