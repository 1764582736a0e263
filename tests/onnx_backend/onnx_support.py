"""What the ONNX tests share: one-layer graphs, random weights, and running a model."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
from numpy.typing import NDArray

from cnnspec.graph import INPUT, Graph, Node
from cnnspec.ops import Shape, make_op
from cnnspec.torch_backend import build_module

onnxruntime.set_default_logger_severity(4)  # C++ prints errors that the tests expect
torch.set_num_threads(1)

Arrays = dict[str, NDArray[Any]]


def layer_graph(name: str, arguments: dict[str, Any], *shapes: Shape) -> Graph:
    """A network of one layer; more shapes are made from the input by slices, so that joins have several reads."""
    op = make_op(name, **arguments)
    if len(shapes) == 1:
        nodes = (Node("net.layer", op, (INPUT,), shapes, op.out_shape(*shapes)),)
        return Graph("one", shapes[0], nodes, ("net.layer",))
    total = (sum(shape[0] for shape in shapes), *max(shape[1:] for shape in shapes))
    nodes, start = (), 0
    for index, shape in enumerate(shapes):
        part = make_op("Slice", start=start, end=start + shape[0])
        start += shape[0]
        nodes += (Node(f"part{index}", part, (INPUT,), (total,), (shape[0], *total[1:])),)
        if shape[1:] != total[1:]:
            pool = make_op("AdaptiveAvgPool2d", output_size=list(shape[1:]))
            nodes += (Node(f"small{index}", pool, (f"part{index}",), ((shape[0], *total[1:]),), shape),)
    reads = tuple(f"small{i}" if s[1:] != total[1:] else f"part{i}" for i, s in enumerate(shapes))
    nodes += (Node("net.layer", op, reads, shapes, op.out_shape(*shapes)),)
    return Graph("one", total, nodes, ("net.layer",))


def random_module(graph: Graph, seed: int = 0) -> tuple[torch.nn.Module, Arrays]:
    """The torch module in evaluation mode with random weights and statistics, and the same as arrays."""
    generator = torch.Generator().manual_seed(seed)
    module = build_module(graph)
    state = {}
    for key, value in module.state_dict().items():
        noise = torch.rand(value.shape, generator=generator)
        if key.endswith("running_var"):
            state[key] = noise + 0.5
        elif key.endswith("num_batches_tracked"):
            state[key] = value
        else:
            fan = max(1, value[0].numel()) if value.dim() > 1 else 1
            state[key] = (2 * noise - 1) / fan**0.5
    module.load_state_dict(state)
    return module.eval(), {key: value.numpy() for key, value in state.items()}


def sample(graph: Graph, batch: int = 2, seed: int = 1) -> torch.Tensor:
    return torch.randn(batch, *graph.input_shape, generator=torch.Generator().manual_seed(seed))


def run(model: onnx.ModelProto, *inputs: NDArray[Any]) -> list[NDArray[Any]]:
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    named = {given.name: value for given, value in zip(session.get_inputs(), inputs, strict=True)}
    return list(session.run(None, named))


def difference(got: NDArray[Any], wanted: torch.Tensor) -> float:
    """The largest difference, relative to the largest magnitude."""
    expected = wanted.detach().numpy()
    assert got.shape == expected.shape
    assert np.isfinite(expected).all()
    return float(np.abs(got - expected).max() / np.abs(expected).max())
