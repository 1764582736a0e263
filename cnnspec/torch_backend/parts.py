"""A network that is built whole, and whose layers can be run one by one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from cnnspec.graph import Graph, Node
from cnnspec.torch_backend.build import build_module
from cnnspec.torch_backend.layers import Trained, layer

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Parts"]


class Parts:
    """A graph as a module with these tensors, at inference."""

    def __init__(self, graph: Graph, tensors: Mapping[str, NDArray[Any]]) -> None:
        """Raises RuntimeError where the tensors are not those of the graph."""
        self.graph = graph
        self.module = build_module(graph, device="meta").eval()
        state = {name: torch.from_numpy(array) for name, array in tensors.items()}
        self.module.load_state_dict(state, strict=True, assign=True)

    @torch.no_grad()
    def outputs(self, batch: NDArray[Any]) -> list[NDArray[Any]]:
        """The outputs of the whole, in their order."""
        given = self.module(torch.from_numpy(batch))
        found = [given[name] for name in self.graph.outputs] if isinstance(given, dict) else [given]
        return [each.numpy() for each in found]

    @torch.no_grad()
    def layer(self, node: Node, name: str, inputs: list[NDArray[Any]]) -> NDArray[Any]:
        """What a node, which is called `name` in the graph, gives for these inputs, each a batch."""
        reads = [torch.from_numpy(array) for array in inputs]
        with torch.device("meta" if node.tensors else "cpu"):
            made = layer(node.op, *node.input_shapes)
        parent, _, leaf = name.rpartition(".")
        if isinstance(made, Trained):
            made, reads = made.join, [*reads, getattr(self.module.get_submodule(parent), leaf)]
        elif isinstance(made, nn.Module):
            made = (getattr(self.module.get_submodule(parent), leaf) if node.tensors else made).eval()
        result: NDArray[Any] = made(*reads).numpy()
        return result
