"""From what a source computes to a graph of the language's operators, with what is missing told all at once.

`lift` drops what does nothing, folds chains that are one operator (`folds.py`), and works every shape out anew, to hold
it against the source's.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from cnnspec.errors import ShapeError
from cnnspec.foreign.folds import fold
from cnnspec.foreign.laid_out import shape_here
from cnnspec.foreign.network import Network, Reference, Stored
from cnnspec.foreign.primitives import Primitive
from cnnspec.foreign.steps import Step, Steps
from cnnspec.graph import INPUT, Graph, Node
from cnnspec.ops import Shape, show_shape

__all__ = ["Gap", "Lifted", "lift"]

# What torch's classes need that the language does not have. Inside they move the batch and mix its samples.
_UNSAYABLE: Final = {"MultiheadAttention": "attention: products of two layers' values"}


@dataclass(frozen=True, slots=True)
class Gap:
    """What stands between a source and a spec: a row of the table that is told."""

    layer: str
    call: str  # the source's word for it
    missing: str


@dataclass(frozen=True)
class Lifted:
    """A source as a graph. `graph` is None where there are gaps."""

    graph: Graph | None
    weights: Mapping[str, Reference]  # by the graph's `state_dict` names
    values: Mapping[str, str]  # of each node, the call of the source that gives the same
    classes: Mapping[str, str]  # of modules, by their path
    gaps: tuple[Gap, ...] = ()
    left_over: tuple[str, ...] = ()  # tensors of the source that nothing uses
    notes: tuple[str, ...] = ()


def lift(network: Network) -> Lifted:
    """A network of a source as a graph of operators, or all that is missing for it."""
    steps = Steps.of(network)
    fold(steps)
    steps.prune()
    gaps = [gap for step in steps if (gap := _gap(step))]
    gaps += [] if network.equal_once else _shared(steps)
    nodes, wrong = _nodes(steps, network.input_shape, network.tensors)
    gaps += wrong
    gaps += _no_outputs(steps, network)
    gaps = _whole(gaps, network.classes)
    weights = {
        f"{step.name}.{key}" if key else step.name: reference
        for step in steps
        for key, reference in step.weights.items()
    }
    used = {reference.key for reference in weights.values() if isinstance(reference, Stored)}
    left_over = tuple(key for key in network.tensors if key not in used)
    graph = None
    if not gaps:
        names, count = tuple(map(steps.resolved, steps.outputs)), len(network.outputs)
        outputs, aux = names[:count], names[count:]
        graph = Graph(
            network.name, network.input_shape, tuple(nodes), outputs, aux, network.mean, network.std, network.labels
        )
    values = {step.name: step.gives for step in steps}
    return Lifted(graph, weights, values, network.classes, tuple(gaps), left_over, network.notes)


def _gap(step: Step) -> Gap | None:
    if step.op is None:
        return Gap(step.name, step.source_op, step.gap)
    if isinstance(step.op, Primitive):
        return Gap(step.name, step.source_op, step.op.missing)
    return None


def _whole(gaps: list[Gap], classes: Mapping[str, str]) -> list[Gap]:
    """Modules that are known to be unsayable as one gap each, whatever they are made of inside."""
    known = {path: kind for path, kind in classes.items() if kind in _UNSAYABLE}
    told: dict[Gap, None] = {}
    for gap in gaps:
        owner = next((path for path in known if re.fullmatch(rf"{re.escape(path)}(_\w+|\..*)?", gap.layer)), None)
        told[gap if owner is None else Gap(owner, known[owner], _UNSAYABLE[known[owner]])] = None
    return list(told)


def _no_outputs(steps: Steps, network: Network) -> list[Gap]:
    """Outputs that no layer gives, or that another output is too."""
    found: set[str] = set()
    wrong = []
    for told in (*network.outputs, *network.aux_outputs):
        name = steps.resolved(told)
        if name == INPUT:
            wrong.append(Gap(told, "output", "an output that is the input itself"))
        elif name in found:
            wrong.append(Gap(told, "output", f"an output that is the same as `{name}`"))
        found.add(name)
    return wrong


def _shared(steps: Steps) -> list[Gap]:
    """Layers that use a tensor which another layer has: a spec has no shared weights."""
    owners: dict[str, Step] = {}
    shared = []
    for step in steps:
        keys = [reference.key for reference in step.weights.values() if isinstance(reference, Stored)]
        owner = next((owners[key] for key in keys if key in owners), None)
        if owner is not None:
            shared.append(Gap(step.name, step.source_op, f"weights shared with `{owner.name}`"))
        for key in keys:
            owners.setdefault(key, step)
    return shared


def _nodes(steps: Steps, input_shape: Shape, tensors: Mapping[str, Shape]) -> tuple[list[Node], list[Gap]]:
    """The nodes, and where what they give is not what the source gives. After a gap the source's shapes hold."""
    shapes: dict[str, Shape | None] = {INPUT: input_shape}
    nodes: list[Node] = []
    wrong: list[Gap] = []
    for step in steps:
        shapes[step.name] = step.shape
        if _gap(step):
            continue
        known = [shapes[name] for name in step.inputs]
        if any(shape is None for shape in known):
            continue
        inputs = tuple(shape for shape in known if shape is not None)
        assert step.op is not None
        assert not isinstance(step.op, Primitive)
        try:
            given = step.op.out_shape(*inputs)
        except ShapeError as error:
            wrong.append(Gap(step.name, step.source_op, error.of(step.op.op_name)))
            continue
        if step.shape is not None and given != step.shape:
            message = f"{step.op.op_name} gives {show_shape(given)} here, and {show_shape(step.shape)} there"
            wrong.append(Gap(step.name, step.source_op, message))
            continue
        shapes[step.name] = given
        node = Node(step.name, step.op, step.inputs, inputs, given)
        if (misfit := _misfit(node, step.weights, tensors)) is not None:
            wrong.append(Gap(step.name, step.source_op, misfit))
            continue
        nodes.append(node)
    return nodes, wrong


def _misfit(node: Node, weights: Mapping[str, Reference], tensors: Mapping[str, Shape]) -> str | None:
    """What is wrong with the tensors that a layer has in the source, if something is."""
    for key, wanted in node.tensors.items():
        if key not in weights:
            return f"the source has no `{key}` for it"
        reference = weights[key]
        if isinstance(reference, Stored) and reference.key not in tensors:
            continue
        if (given := shape_here(reference, tensors)) != wanted:
            told = "another number of values" if given is None else show_shape(given) or "one number"
            return f"its `{key}` is {told} there, and {show_shape(wanted) or 'one number'} here"
    return None
