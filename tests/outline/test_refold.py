"""A text is taken only where it is the graph."""

import pytest

from cnnspec import zoo
from cnnspec.graph import Graph
from cnnspec.language import read_spec
from cnnspec.outline import Refolded, refold

QUICK = ("lenet5", "resnet18", "densenet121", "googlenet", "unet", "shufflenet_v2_x0_5", "convnext_tiny", "mlp")


def bundled(name: str) -> Graph:
    path, variant = zoo.names()[name]
    return read_spec(str(path), path.read_bytes()).elaborate(variant=variant)


def check(graph: Graph, refolded: Refolded) -> Graph:
    """The text says the graph: node for node the same operator, reads and shape, under the names that are told."""
    text = read_spec("spec.yaml", refolded.text.encode()).elaborate()
    names = {"input": "input", **refolded.names}
    for node in graph:
        other = text.by_name.get(names[node.name])
        if other is None:  # a concatenation of one
            assert len(node.inputs) == 1
            assert names[node.inputs[0]] == names[node.name]
            continue
        assert (other.op, other.shape) == (node.op, node.shape)
        if node.op.op_name != "Concat":
            assert sorted(other.inputs) == sorted(names[read] for read in node.inputs)
    assert text.outputs == tuple(names[name] for name in graph.outputs)
    assert text.aux_outputs == tuple(names[name] for name in graph.aux_outputs)
    assert (text.input_shape, text.mean, text.std) == (graph.input_shape, graph.mean, graph.std)
    return text


@pytest.mark.parametrize("name", QUICK)
def test_a_bundled_network_is_said(name: str) -> None:
    graph = bundled(name)
    refolded = refold(graph)
    assert check(graph, refolded).state_shapes() == graph.state_shapes()
    assert not refolded.notes
