"""Flat graphs for the tests, as a lifted network is: names with dots, and nothing of how it was written."""

from __future__ import annotations

from typing import Any

from cnnspec import zoo
from cnnspec.graph import INPUT, Graph, Node
from cnnspec.language import read_spec
from cnnspec.ops import AnyOp, Shape, make_op
from cnnspec.outline import Refolded, refold

__all__ = ["Flat", "bundled", "check", "folded", "lines"]


class Flat:
    """A graph that grows node by node."""

    def __init__(self, *input_shape: int) -> None:
        self.shapes: dict[str, Shape] = {INPUT: input_shape}
        self.nodes: list[Node] = []
        self.last = INPUT

    def add(self, name: str, op: AnyOp | str, *reads: str, **arguments: Any) -> str:
        """A node that reads these, else the one before."""
        made = make_op(op, **arguments) if isinstance(op, str) else op
        inputs = reads or (self.last,)
        shapes = tuple(self.shapes[read] for read in inputs)
        self.shapes[name] = made.out_shape(*shapes)
        self.nodes.append(Node(name, made, inputs, shapes, self.shapes[name]))
        self.last = name
        return name

    def conv(self, name: str, out: int, k: int = 1, *reads: str, **arguments: Any) -> str:
        """A convolution that keeps the size, but for its stride."""
        return self.add(name, "Conv2d", *reads, out_channels=out, kernel_size=k, padding=k // 2, **arguments)

    def graph(self, *outputs: str, aux: tuple[str, ...] = ()) -> Graph:
        """The graph."""
        return Graph("flat", self.shapes[INPUT], tuple(self.nodes), outputs or (self.last,), aux)


def bundled(name: str) -> Graph:
    """A bundled network."""
    path, variant = zoo.names()[name]
    return read_spec(str(path), path.read_bytes()).elaborate(variant=variant)


def check(graph: Graph, refolded: Refolded, variant: str | None = None) -> Graph:
    """The text says the graph: node for node the same operator, reads and shape, under the names that are told."""
    text = read_spec("spec.yaml", refolded.text.encode()).elaborate(variant=variant)
    names = {INPUT: INPUT, **refolded.names}
    seen = set()
    for node in graph:
        other = text.by_name.get(names[node.name])
        if node.op.op_name == "Concat" and len(node.inputs) == 1 and names[node.inputs[0]] == names[node.name]:
            continue
        assert other is not None
        assert (other.op, other.shape) == (node.op, node.shape)
        if node.op.op_name == "Concat":
            assert parts(text, other.name) == tuple(names[part] for part in parts(graph, node.name))
        else:
            assert sorted(other.inputs) == sorted(names[read] for read in node.inputs)
        seen.add(other.name)
    assert seen == set(text.by_name)
    assert text.outputs == tuple(names[name] for name in graph.outputs)
    assert text.aux_outputs == tuple(names[name] for name in graph.aux_outputs)
    assert (text.input_shape, text.mean, text.std) == (graph.input_shape, graph.mean, graph.std)
    return text


def parts(graph: Graph, name: str) -> tuple[str, ...]:
    """What a value is put together of, through concatenations of concatenations."""
    node = graph.by_name.get(name)
    if node is None or node.op.op_name != "Concat":
        return (name,)  # of the graph, or the input
    alike = [graph.by_name[read].op == node.op if read in graph.by_name else False for read in node.inputs]
    found = (parts(graph, read) if same else (read,) for read, same in zip(node.inputs, alike, strict=True))
    return tuple(part for each in found for part in each)


def folded(flat: Flat, classes: dict[str, str] | None = None) -> str:
    """The text of a flat graph, which says it."""
    graph = flat.graph()
    refolded = refold(graph, classes or {})
    check(graph, refolded)
    return refolded.text


def lines(text: str) -> list[str]:
    """The lines of a text without what is before them."""
    return [line.strip() for line in text.splitlines()]
