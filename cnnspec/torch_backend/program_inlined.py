"""What an exported program runs in a program of its own, as `torch.no_grad()` makes one: put where it is called."""

from __future__ import annotations

import operator
from typing import Any, Final

from torch import fx
from torch.export import ExportedProgram

from cnnspec.torch_backend.program_values import base_name

__all__ = ["put_inline"]

_CALL: Final = "wrap_with_set_grad_enabled"  # whether gradients are kept changes no value


def put_inline(program: ExportedProgram) -> None:
    """Put the nodes of such programs into the one that calls them."""
    graph = program.graph
    while calls := [node for node in graph.nodes if node.op == "call_function" and base_name(node.target) == _CALL]:
        for call in calls:
            _put(graph, call, program.graph_module.get_submodule(str(call.args[1].target)))


def _put(graph: fx.Graph, call: fx.Node, inner: Any) -> None:
    given = iter(call.args[2:])
    here: dict[fx.Node, Any] = {}
    results: Any = ()
    with graph.inserting_before(call):
        for node in inner.graph.nodes:
            if node.op == "placeholder":
                here[node] = next(given)
            elif node.op == "output":
                results = node.args[0]
            else:
                here[node] = graph.node_copy(node, here.__getitem__)
    for user in list(call.users):
        assert user.target is operator.getitem
        user.replace_all_uses_with(here[results[user.args[1]]])
        graph.erase_node(user)
    graph.erase_node(call)
