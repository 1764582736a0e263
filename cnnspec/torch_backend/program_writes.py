"""Which nodes of an exported program share memory, what a write in place changes besides what it gives back, and which
nodes the outputs need."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, fx

from cnnspec.torch_backend.program_values import base_name, writes_in_place

__all__ = ["changed_unseen", "memory_of", "needed", "written_inputs"]


def memory_of(graph: fx.Graph) -> dict[fx.Node, fx.Node]:
    """For each node, the first one whose memory it may have: a view has that of what it is a view of."""
    owners: dict[fx.Node, fx.Node] = {}
    for node in graph.nodes:
        owners[node] = node
        if node.op == "call_function" and (read := _viewed(node)) is not None:
            owners[node] = owners[read]
    return owners


def _viewed(node: fx.Node) -> fx.Node | None:
    """What a node may give a view of."""
    target: Any = node.target
    if base_name(target) == "getitem":
        return node.args[0] if isinstance(node.args[0], fx.Node) else None
    if not isinstance(target, torch._ops.OpOverload):
        return None
    given = {name for each in target._schema.returns if each.alias_info for name in each.alias_info.before_set}
    for number, argument in enumerate(target._schema.arguments):
        info = argument.alias_info
        if info is not None and given & set(info.before_set):
            read = node.args[number] if number < len(node.args) else node.kwargs.get(argument.name)
            return read if isinstance(read, fx.Node) else None
    return None


def changed_unseen(graph: fx.Graph) -> dict[fx.Node, list[fx.Node]]:
    """For each write in place, the other views of that memory which were made before it and are read after it."""
    owners = memory_of(graph)
    last = {read: number for number, node in enumerate(graph.nodes) for read in node.all_input_nodes}
    alike: dict[fx.Node, fx.Node] = {}  # what a write gave back, by what it wrote over
    views: dict[fx.Node, list[fx.Node]] = {}  # of each memory, in running order
    found: dict[fx.Node, list[fx.Node]] = {}
    for number, node in enumerate(graph.nodes):
        if _writes(node):
            whole = alike[node] = alike.get(node.args[0], node.args[0])
            others = [each for each in views.get(owners[node], ()) if alike.get(each, each) is not whole]
            found[node] = [each for each in others if last.get(each, -1) > number]
        if isinstance(node.meta.get("val"), Tensor):
            views.setdefault(owners[node], []).append(node)
    return {node: others for node, others in found.items() if others}


def needed(graph: fx.Graph) -> set[fx.Node]:
    """The nodes that the outputs depend on."""
    owners = memory_of(graph)
    found: set[fx.Node] = set()
    read: set[fx.Node] = set()  # memory that is read later
    for node in reversed(graph.nodes):
        if node.op == "output" or node in found or (_writes(node) and owners[node] in read):
            found.update((node, *node.all_input_nodes))
            read.update(owners[each] for each in node.all_input_nodes)
    return found


def written_inputs(graph: fx.Graph) -> set[fx.Node]:
    """The tensors from outside that are written over."""
    owners = memory_of(graph)
    return {owners[node] for node in graph.nodes if _writes(node) and owners[node].op == "placeholder"}


def _writes(node: fx.Node) -> bool:
    return writes_in_place(node.target) and bool(node.args) and isinstance(node.args[0], fx.Node)
