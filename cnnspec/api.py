"""The public Python API: every verb of the command line is one function here that returns a typed result.

Importing this module imports neither torch nor onnx; the functions that need them import them when called.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cnnspec import zoo
from cnnspec.graph import Graph
from cnnspec.ops import Shape
from cnnspec.spec import MAX_NODES, Source, read_spec

if TYPE_CHECKING:
    from torch import nn

    from cnnspec.analysis import Report
    from cnnspec.analysis.explain import Explanation

__all__ = ["Spec", "build", "load", "loads"]


@dataclass(frozen=True)
class Spec:
    """A spec that has been read and worked out: a valid network."""

    source: Source
    graph: Graph
    variant: str | None = None

    @property
    def name(self) -> str:
        """The network's name."""
        return self.graph.name

    def analyze(self, *, batch: int = 1) -> Report:
        """Sizes, receptive fields, parameters, cost and memory of every layer, and the totals."""
        from cnnspec.analysis import analyze

        return analyze(self.graph, batch=batch)

    def explain(self, layer: str) -> Explanation:
        """The arithmetic behind one layer's figures. Raises UsageError where there is no such layer."""
        from cnnspec.analysis.explain import explain, find_node

        find_node(self.graph, layer)
        return explain(self.graph, self.analyze().layer(layer))

    def build(self) -> nn.Module:
        """The network as a `torch.fx.GraphModule`, freshly initialised. Needs the extra `train`."""
        return build(self)


def load(
    spec: str | os.PathLike[str],
    *,
    variant: str | None = None,
    params: Mapping[str, Any] | None = None,
    input_shape: Shape | None = None,
    max_nodes: int = MAX_NODES,
) -> Spec:
    """Read a spec by path or bundled name and work it out.

    `variant` and `params` set its parameters, `input_shape` (without the batch axis) overrides its input.
    Raises SpecError with everything that is wrong with it, and UsageError where there is no such spec.
    """
    path, implied = zoo.find(os.fspath(spec))
    source = read_spec(path)
    variant = variant or implied
    graph = source.elaborate(variant=variant, params=params, input_shape=input_shape, max_nodes=max_nodes)
    return Spec(source, graph, variant)


def loads(
    text: str,
    *,
    path: str = "spec.yaml",
    variant: str | None = None,
    params: Mapping[str, Any] | None = None,
    input_shape: Shape | None = None,
    max_nodes: int = MAX_NODES,
) -> Spec:
    """As `load`, from a text; `path` is the name in messages, and `.json` at its end makes the text JSON."""
    source = read_spec(path, text.encode())
    graph = source.elaborate(variant=variant, params=params, input_shape=input_shape, max_nodes=max_nodes)
    return Spec(source, graph, variant)


def build(spec: Spec | Graph | str | os.PathLike[str]) -> nn.Module:
    """The network as a `torch.fx.GraphModule` with the spec's dotted names. Needs the extra `train`."""
    from cnnspec.torch_backend import build_module

    if isinstance(spec, Graph):
        return build_module(spec)
    return build_module(spec.graph if isinstance(spec, Spec) else load(spec).graph)
