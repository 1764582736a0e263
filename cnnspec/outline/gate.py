"""Whether a text says a graph: the same values, made in the same way, under names that are told."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

from cnnspec.graph import INPUT, Graph
from cnnspec.ops.merge import Add, Concat, Mul

__all__ = ["is_same_network", "matching_names"]


class _Values:
    """Numbers for values: two nodes have one number only if they give the same, whatever they are called.

    A concatenation of concatenations is one of their parts, and two operands of a sum or a product have either order.
    """

    def __init__(self) -> None:
        self.numbers: dict[Hashable, int] = {}
        self.parts: dict[int, tuple[Any, tuple[int, ...]]] = {}  # of concatenations

    def of(self, graph: Graph, names: Mapping[str, str]) -> dict[str, int]:
        """The number of each node. `names` are those under which weights are kept."""
        found = {INPUT: self.number((INPUT, graph.input_shape))}
        for node in graph:
            inputs = tuple(found[name] for name in node.inputs)
            op = node.op
            if isinstance(op, Concat):
                inputs = tuple(part for each in inputs for part in self.spliced(op, each))
                if len(inputs) == 1:
                    found[node.name] = inputs[0]
                    continue
            elif isinstance(op, (Add, Mul)) and len(inputs) == 2:
                inputs = tuple(sorted(inputs))
            own = names.get(node.name, node.name) if node.tensors else ""
            number = self.number((own, op, inputs, node.shape))
            if isinstance(op, Concat):
                self.parts[number] = op, inputs
            found[node.name] = number
        return found

    def number(self, value: Hashable) -> int:
        return self.numbers.setdefault(value, len(self.numbers))

    def spliced(self, op: Concat, number: int) -> tuple[int, ...]:
        inner, parts = self.parts.get(number, (None, ()))
        return parts if inner == op else (number,)


def matching_names(given: Graph, text: Graph, kept: Mapping[str, str]) -> dict[str, str] | None:
    """The name in `text` of each node of `given`, or None where the two do not have the same nodes.

    `kept` says under which names the weights of nodes of `given` have to be found.
    """
    values = _Values()
    there = values.of(given, kept)
    here = values.of(text, {})
    if set(there.values()) != set(here.values()):
        return None
    return _names(given, there, here, kept)


def is_same_network(given: Graph, text: Graph, names: Mapping[str, str]) -> bool:
    """Whether inputs and outputs are the same too. `names` are those of `matching_names`."""
    for one, other in ((given.outputs, text.outputs), (given.aux_outputs, text.aux_outputs)):
        if tuple(names[name] for name in one) != other:
            return False
    header = [(graph.input_shape, graph.mean, graph.std, graph.intake, graph.classes) for graph in (given, text)]
    return header[0] == header[1]


def _names(given: Graph, there: dict[str, int], here: dict[str, int], kept: Mapping[str, str]) -> dict[str, str]:
    """Equal values by equal names where there are any, else in their order."""
    left: dict[int, dict[str, None]] = {}
    for name, number in here.items():
        left.setdefault(number, {})[name] = None
    names: dict[str, str] = {INPUT: INPUT}
    for node in given:
        wanted = kept.get(node.name)
        if wanted is not None and wanted in left[there[node.name]]:
            names[node.name] = wanted
    for name in names.values():
        left[here[name]].pop(name, None)
    # A concatenation of one gives what it reads, and may be left out: it takes what the others leave.
    alone = [node for node in given if isinstance(node.op, Concat) and len(node.inputs) == 1]
    others = [node for node in given if not (isinstance(node.op, Concat) and len(node.inputs) == 1)]
    for node in [*others, *alone]:
        if node.name in names:
            continue
        choices = left[there[node.name]]
        if choices:
            names[node.name] = next(iter(choices))
            del choices[names[node.name]]
        elif len(node.inputs) == 1 and there[node.name] == there[node.inputs[0]]:
            names[node.name] = names[node.inputs[0]]
        else:
            names[node.name] = next(name for name, number in here.items() if number == there[node.name])
    del names[INPUT]
    return names
