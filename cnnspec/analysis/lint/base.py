"""What a lint rule is given, and what it gives back."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

from cnnspec.analysis.layer_report import LayerReport
from cnnspec.analysis.report import Report, Totals
from cnnspec.errors import Diagnostic
from cnnspec.graph import INPUT, Graph, Node
from cnnspec.ops import AXES, JOINS, Shape
from cnnspec.ops.reshape import Flatten
from cnnspec.ops.window import Sliding
from cnnspec.places import LayerBefore

__all__ = ["Finding", "Found", "MeasuredNetwork", "Rule", "flattened_before", "per_axis", "rule"]


@dataclass(frozen=True, slots=True)
class Finding(Diagnostic):
    """A warning about a valid network. `layers` are all that it is about; the first is the one it names."""

    layers: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, object]:
        """The finding as plain data, as `--format json` prints it."""
        shared = Diagnostic.to_dict(self)
        return {"code": self.code, "layer": self.layers[0] if self.layers else None, **shared, "layers": [*self.layers]}


class Found(NamedTuple):
    """What a rule has to say: about which node, what, and what to do."""

    node: Node
    message: str
    help: str
    note: str | None = None
    fix: LayerBefore | None = None


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule: its code, what it looks for in a few words, and the function that looks."""

    code: str
    title: str
    check: Callable[[MeasuredNetwork], Iterator[Found]]


def rule(code: str, title: str) -> Callable[[Callable[[MeasuredNetwork], Iterator[Found]]], Rule]:
    """Makes a rule of the function that looks."""
    return lambda check: Rule(code, title, check)


@dataclass(frozen=True)
class MeasuredNetwork:
    """A graph and its report, with what several rules ask of them."""

    graph: Graph
    report: Report

    @cached_property
    def rows(self) -> dict[str, LayerReport]:
        """The rows of the report by name."""
        return {row.name: row for row in self.report.layers}

    @cached_property
    def readers(self) -> dict[str, list[Node]]:
        """Which nodes read each node, and the input. Dead ones count as readers of dead ones only."""
        readers: dict[str, list[Node]] = {INPUT: [], **{node.name: [] for node in self.graph.nodes}}
        for node in self.graph.nodes:
            for name in dict.fromkeys(node.inputs):
                if node.name in self.live or not (name == INPUT or name in self.live):
                    readers[name].append(node)
        return readers

    @cached_property
    def live(self) -> set[str]:
        """The nodes that some output or auxiliary head depends on."""
        return self.graph.ancestors((*self.graph.outputs, *self.graph.aux_outputs))

    @cached_property
    def inference(self) -> set[str]:
        """The nodes that some output depends on: the live ones without auxiliary heads."""
        return self.graph.ancestors(self.graph.outputs)

    def totals(self, node: Node) -> Totals:
        """The sums over the network that the node is part of: what inference runs, or all for what it does not."""
        train = None if node.name in self.inference else self.report.train
        return train or self.report.inference

    @property
    def pixels(self) -> Shape:
        """The input's size on each spatial axis."""
        return self.graph.input_shape[1:]

    def of(self, kind: type[Any] | tuple[type[Any], ...]) -> Iterator[tuple[Node, Any]]:
        """The live nodes with an operator of this kind, and that operator."""
        for node in self.graph.nodes:
            if isinstance(node.op, kind) and node.name in self.live:
                yield node, node.op

    def sliders(self) -> Iterator[tuple[Node, Any]]:
        """The live nodes that slide a window over what they read, and their operators."""
        for node in self.graph.nodes:
            if node.op.slides and node.name in self.live:
                yield node, node.op

    @cached_property
    def _sliding(self) -> dict[str, list[tuple[int, Sliding, int]]]:
        return {}

    def sliding(self, node: Node) -> list[tuple[int, Sliding, int]]:
        """Axis, window and input size of each axis on which a window slides."""
        if node.name not in self._sliding:
            pairs = zip(node.op.windows(*node.input_shapes), node.input_shapes[0][1:], strict=True)
            self._sliding[node.name] = [
                (axis, window, size) for axis, (window, size) in enumerate(pairs) if isinstance(window, Sliding)
            ]
        return self._sliding[node.name]

    def before(self, node: Node) -> Node | None:
        """The node that this one reads; None for the input, and for a join."""
        if isinstance(node.op, JOINS) or node.inputs[0] == INPUT:
            return None
        return self.graph.by_name[node.inputs[0]]

    @cached_property
    def _active(self) -> dict[str, Node]:
        """For each node the last one, itself included, that is not passive; none where the input is reached."""
        active: dict[str, Node] = {}
        for node in self.graph.nodes:
            if not node.op.passive:
                active[node.name] = node
            elif node.inputs[0] in active:
                active[node.name] = active[node.inputs[0]]
        return active

    def before_passive(self, node: Node) -> Node | None:
        """As `before`, past dropout, identities and flattening."""
        return None if isinstance(node.op, JOINS) else self._active.get(node.inputs[0])


def flattened_before(network: MeasuredNetwork, node: Node) -> Node | None:
    """The nearest Flatten before a node, with nothing but dropout and identities between."""
    before = network.before(node)
    while before is not None and before.op.passive and not isinstance(before.op, Flatten):
        before = network.before(before)
    return before if before is not None and isinstance(before.op, Flatten) else None


def per_axis(parts: dict[int, str], rank: int) -> str:
    """One text per axis as one line: `1 of 11 on every axis`, `1 of 11 on the height`."""
    if len(parts) == rank and len(set(parts.values())) == 1:
        return f"{parts[0]} on every axis" if rank > 1 else parts[0]
    return ", ".join(f"{text} on the {AXES[rank][axis]}" for axis, text in parts.items())
