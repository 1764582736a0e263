"""What every layer of a network computes: run by torch, or by onnxruntime where that is there alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from cnnspec.errors import MissingExtraError, needs_extra
from cnnspec.exporting.in_torch import torch_module, why_not_compared
from cnnspec.graph import Graph

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from cnnspec.exporting.subject import Weights
    from cnnspec.onnx_backend.verify import Forward, Pixels

    Values = dict[str, NDArray[np.float32]]  # by the names of layers

__all__ = ["Engine", "every_layer"]


@dataclass(frozen=True)
class Engine:
    """A network that gives the values of several of its layers."""

    names: tuple[str, ...]
    forward: Forward

    def __call__(self, inputs: NDArray[np.float32]) -> Values:
        """The values of the layers, each `(N, *shape)`, for inputs `(N, C, ...)`."""
        return dict(zip(self.names, self.forward(inputs), strict=True))

    def one_by_one(self, inputs: NDArray[np.float32]) -> Iterator[Values]:
        """The values `(*shape)` for one input after the other: all layers of a large network are much at a time."""
        for row in range(len(inputs)):
            yield {name: values[0] for name, values in self(inputs[row : row + 1]).items()}


def every_layer(graph: Graph, weights: Weights, names: tuple[str, ...] = (), *, engine: str | None = None) -> Engine:
    """The network as something that gives what its layers compute: those of `names`, or all that inference has.

    `engine` is `torch` or `onnx`; by default the first that is installed.
    Raises MissingExtraError where neither is, and CnnspecError where the weights are of another network.
    """
    inference = graph.network("inference")
    names = names or tuple(node.name for node in inference)
    shown = replace(inference, outputs=names, aux_outputs=())
    missing = why_not_compared()
    if engine != "onnx" and missing is None:
        return Engine(names, _in_torch(shown, weights))
    try:
        with needs_extra("onnx"):
            from cnnspec.exporting.reference import onnx_run
            from cnnspec.onnx_backend.lower import lower
    except MissingExtraError as error:
        raise missing or error from None
    return Engine(names, onnx_run(lower(shown, weights).SerializeToString(), graph.name))


def _in_torch(graph: Graph, weights: Weights) -> Forward:
    module = torch_module(graph, weights, inplace=False)
    import torch

    def run(inputs: NDArray[np.float32] | Pixels) -> list[NDArray[np.float32]]:
        with torch.inference_mode():
            outputs = module(torch.from_numpy(inputs))
            listed = [outputs[name] for name in graph.outputs] if isinstance(outputs, dict) else [outputs]
            return [value.numpy() for value in listed]

    return run
