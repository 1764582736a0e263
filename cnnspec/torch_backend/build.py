"""Graph to `torch.fx.GraphModule`: readable `.code`, no interpreter in `forward`, any torch tool works on it."""

from __future__ import annotations

import copy
import re
from typing import Any

import torch
from torch import fx, nn

from cnnspec.graph import INPUT, Graph
from cnnspec.torch_backend.layers import Trained, layer

__all__ = ["build_module"]


class ModeModule(fx.GraphModule):
    """A network with heads that run in training only: `train()` and `eval()` change the graph that runs.

    Its state_dict holds every weight in both modes. A pickled copy comes back as a plain GraphModule in its mode.
    """

    graphs: dict[bool, fx.Graph]  # by training mode

    def train(self, mode: bool = True) -> ModeModule:
        """Set the mode, as for every module, and run the auxiliary heads or not."""
        super().train(mode)
        self.graph = self.graphs[mode]
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> fx.GraphModule:
        copied = super().__deepcopy__(memo)
        assert isinstance(copied, ModeModule)
        copied.graphs = {mode: copy.deepcopy(graph) for mode, graph in self.graphs.items()}
        return copied


def build_module(graph: Graph, *, device: torch.device | str | None = None) -> fx.GraphModule:
    """The network as a module, freshly initialised by torch's own rules, in training mode.

    The spec's dotted names are the names of its submodules and the prefixes of its `state_dict`, in the spec's order.
    One output is a tensor `(batch, *shape)`; several are a dict by node name. In training the heads that the spec
    names in `aux_outputs` are in that dict too; in evaluation they do not run.
    `device="meta"` builds without memory for the weights.
    """
    root = nn.Module()
    with torch.device(device if device is not None else torch.get_default_device()):
        traced = _trace(graph, root)
    kind = ModeModule if graph.aux_outputs else fx.GraphModule
    module = kind(root, traced, re.sub(r"\W|^(?=\d)", "_", graph.name))
    if isinstance(module, ModeModule):
        module.graphs = {
            True: _pruned(traced, graph.outputs + graph.aux_outputs),
            False: _pruned(traced, graph.outputs),
        }
        return module.train()
    module.graph = _pruned(traced, graph.outputs)
    return module


def _trace(graph: Graph, root: nn.Module) -> fx.Graph:
    """Every node as an fx node, in order; modules and parameters are put into `root`."""
    traced = fx.Graph()
    tracer = fx.proxy.GraphAppendingTracer(traced)
    values: dict[str, fx.Node] = {INPUT: traced.placeholder(INPUT)}
    for node in graph:
        made = layer(node.op, *node.input_shapes)
        reads = tuple(values[name] for name in node.inputs)
        if isinstance(made, nn.Module):
            _place(root, node.name).add_module(_leaf(node.name), made)
            values[node.name] = traced.call_module(node.name, reads)
        elif isinstance(made, Trained):
            _place(root, node.name).register_parameter(_leaf(node.name), made.parameter)
            values[node.name] = traced.call_function(made.join, (*reads, traced.get_attr(node.name)))
        else:  # a function of proxies writes its own fx nodes
            result: Any = made(*(fx.Proxy(value, tracer) for value in reads))
            values[node.name] = result.node
        values[node.name].meta["layer"] = node.name  # what else is known of it stands in the graph
    traced.output({name: values[name] for name in graph.outputs + graph.aux_outputs})
    return traced


def _place(root: nn.Module, name: str) -> nn.Module:
    """The module that holds the node, made with all above it where it is not there yet."""
    *parents, _ = name.split(".")
    for parent in parents:
        if parent not in root._modules:
            root.add_module(parent, nn.Module())
        root = root.get_submodule(parent)
    return root


def _leaf(name: str) -> str:
    return name.rpartition(".")[2]


def _pruned(traced: fx.Graph, outputs: tuple[str, ...]) -> fx.Graph:
    """The part of the graph that `outputs` need, giving back a tensor for one of them and a dict for several."""
    pruned = fx.Graph()
    (last,) = (node for node in traced.nodes if node.op == "output")
    wanted: dict[str, fx.Node] = last.args[0]
    needed: set[fx.Node] = set()
    waiting = [wanted[name] for name in outputs]
    while waiting:
        node = waiting.pop()
        if node not in needed:
            needed.add(node)
            waiting.extend(node.all_input_nodes)
    copies: dict[fx.Node, fx.Node] = {}
    for node in traced.nodes:
        if node in needed or node.op == "placeholder":
            copies[node] = pruned.node_copy(node, copies.__getitem__)
    results = {name: copies[wanted[name]] for name in outputs}
    pruned.output(results if len(results) > 1 else results[outputs[0]])
    return pruned
