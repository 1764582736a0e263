"""Memory: the peak of an inference run by liveness, and what training holds, worked out without running anything.

Tensors are followed by storage: views and operators in place share the storage of what they read.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from cnnspec.analysis.kept import INT64, Kept, is_view, kept, scratch_bytes
from cnnspec.graph import INPUT, Graph, Node
from cnnspec.ops import Add, Mul, Shape
from cnnspec.ops.reshape import Flatten, Permute

__all__ = [
    "OPTIMIZER_STATE",
    "PRECISIONS",
    "RESERVE",
    "TrainingMemory",
    "kept_bytes",
    "largest_batch",
    "peak_inference",
    "training_memory",
]

FLOAT = 4
RESERVE = 0.1  # of the memory, left free for scratch space inside kernels
OPTIMIZER_STATE = {"sgd": 0, "sgd-momentum": 1, "adam": 2, "adamw": 2}  # numbers per parameter
PRECISIONS = {"fp32": 4, "bf16": 2, "fp16": 2}  # bytes of an activation


@dataclass(frozen=True, slots=True)
class TrainingMemory:
    """Bytes that a training step holds at its fullest: before the backward pass begins."""

    parameters: int
    gradients: int
    optimizer: int
    buffers: int
    kept: int  # by autograd, for the backward pass

    @property
    def total(self) -> int:
        """The sum. Scratch space inside kernels is not in it."""
        return self.parameters + self.gradients + self.optimizer + self.buffers + self.kept


def _storages(graph: Graph, nodes: list[Node], *, training: bool) -> dict[str, str]:
    """For every node, the node that made the storage of its output."""
    roots = {INPUT: INPUT}
    strided: set[str] = set()  # tensors with their axes in another order: Flatten copies them
    views: dict[int, bool] = {}  # equal layers share their operator
    for node in nodes:
        source = node.inputs[0]
        if (view := views.get(id(node.op))) is None:
            view = views[id(node.op)] = is_view(node.op, training=training)
        if len(node.inputs) == 1 and isinstance(node.op, (Add, Mul)):
            view = True
        if isinstance(node.op, Flatten) and source in strided and node.shape != node.input_shapes[0]:
            view = False
        elif isinstance(node.op, Permute) or (view and source in strided):
            strided.add(node.name)
        roots[node.name] = roots[source] if view else node.name
    return roots


def kept_bytes(graph: Graph, batch: int, width: int = FLOAT) -> int:
    """What autograd keeps for the backward pass: distinct storages, parameters and buffers left out."""
    needed = graph.ancestors(graph.outputs + graph.aux_outputs)
    nodes = [node for node in graph.nodes if node.name in needed]
    roots = _storages(graph, nodes, training=True)
    sizes = {INPUT: prod(graph.input_shape), **{node.name: prod(node.shape) for node in nodes}}
    gradients = {INPUT: False}
    stored: set[str] = set()
    own = 0
    facts: dict[tuple[int, tuple[Shape, ...]], tuple[bool, Kept]] = {}  # equal layers share their operator
    for node in nodes:
        op, shapes = node.op, node.input_shapes
        key = (id(op), shapes)
        if key not in facts:
            facts[key] = bool(op.parameter_shapes(*shapes)), kept(op, shapes, node.shape)
        trained, keeps = facts[key]
        flowing = [gradients[name] for name in node.inputs]
        gradients[node.name] = trained or any(flowing)
        if not gradients[node.name]:
            continue
        own += batch * (width * keeps.floats + INT64 * keeps.int64s) + FLOAT * keeps.fixed
        if keeps.output:
            stored.add(roots[node.name])
        if isinstance(op, Mul):
            names, between = _factors(op, node, flowing)
            stored.update(roots[name] for name in names)
            own += batch * width * between
        elif keeps.inputs:
            stored.update(roots[name] for name in node.inputs)
    return own + batch * width * sum(sizes[root] for root in stored)


def _factors(op: Mul, node: Node, flowing: list[bool]) -> tuple[list[str], int]:
    """The reads that a product keeps, and how many numbers of the products between, made two factors at a time.

    A factor is kept for the gradient of the other one.
    """
    names, between = [], 0
    products = op.products(*node.input_shapes)
    for turn in range(1, len(node.inputs)):
        if flowing[turn] and turn > 1:
            between += prod(products[turn - 1])
        elif flowing[turn]:
            names.append(node.inputs[0])
        if any(flowing[:turn]):
            names.append(node.inputs[turn])
    return names, between


def training_memory(
    graph: Graph, *, batch: int = 1, optimizer: str = "sgd-momentum", precision: str = "fp32"
) -> TrainingMemory:
    """What a training step holds. In mixed precision weights, gradients and optimizer stay in float32."""
    params = buffers = 0
    counts: dict[tuple[int, tuple[Shape, ...]], tuple[int, int]] = {}
    for node in graph.nodes:
        key = (id(node.op), node.input_shapes)
        if key not in counts:
            tensors = node.op.parameter_shapes(*node.input_shapes), node.op.buffer_shapes(*node.input_shapes)
            first, second = (sum(prod(shape) for shape in group.values()) for group in tensors)
            counts[key] = first, second
        params += counts[key][0]
        buffers += counts[key][1]
    return TrainingMemory(
        parameters=params * FLOAT,
        gradients=params * FLOAT,
        optimizer=params * FLOAT * OPTIMIZER_STATE[optimizer],
        buffers=buffers * FLOAT,
        kept=kept_bytes(graph, batch, PRECISIONS[precision]),
    )


def peak_inference(graph: Graph, *, batch: int = 1, width: int = FLOAT) -> int:
    """Bytes of tensors alive at the worst step of an inference run, the network's input included, weights not.

    The run is the built module's: nodes in the graph's order, auxiliary heads left out, every value dropped after the
    last node that reads it.
    """
    needed = graph.ancestors(graph.outputs)
    nodes = [node for node in graph.nodes if node.name in needed]
    roots = _storages(graph, nodes, training=False)
    last = {INPUT: len(nodes)}  # the caller holds the input
    for step, node in enumerate(nodes):
        for name in node.inputs:
            last[roots[name]] = max(step, last.get(roots[name], 0))
        last.setdefault(roots[node.name], step)
    for name in graph.outputs:
        last[roots[name]] = len(nodes)
    dying: dict[int, list[str]] = {}
    for root, step in last.items():
        dying.setdefault(step, []).append(root)
    sizes = {INPUT: prod(graph.input_shape), **{node.name: prod(node.shape) for node in nodes}}
    alive = peak = sizes[INPUT]
    scratch = 0
    scratches: dict[tuple[int, tuple[Shape, ...]], int] = {}  # equal layers share their operator
    for step, node in enumerate(nodes):
        dead = set(dying.get(step, ()))
        size = sizes[node.name]
        if isinstance(node.op, (Add, Mul)) and len(node.inputs) > 2:  # two at a time
            parts = [size] * len(node.inputs)
            if isinstance(node.op, Mul):  # a product of gates is no larger than they are
                parts = [prod(shape) for shape in node.op.products(*node.input_shapes)]
            for turn in range(1, len(node.inputs)):
                peak = max(peak, alive + parts[turn] + (parts[turn - 1] if turn > 1 else 0))
                later = {roots[name] for name in node.inputs[turn + 1 :]}
                done = {roots[name] for name in node.inputs[: turn + 1]} & dead - later
                alive -= sum(sizes[root] for root in done)
                dead -= done
            alive += size
        else:
            alive += size if roots[node.name] == node.name else 0
            key = (id(node.op), node.input_shapes)
            if key not in scratches:
                scratches[key] = scratch_bytes(node.op, node.input_shapes, node.shape, width)
            scratch = max(scratch, alive * width + scratches[key])
        alive -= sum(sizes[root] for root in dead)
    return batch * max(peak * width, scratch)


def largest_batch(graph: Graph, memory: int, *, optimizer: str | None = None, precision: str = "fp32") -> int:
    """The largest batch that fits into `memory` bytes: for training with `optimizer`, or for inference without one.

    A lower bound of what is used (kernels take scratch space besides), so `RESERVE` of the memory is left free. 0 where
    not even one sample fits.
    """
    free = int(memory * (1 - RESERVE))
    if optimizer is None:
        weights = training_memory(graph, optimizer="sgd", precision=precision)
        fixed = weights.parameters + weights.buffers
        each = peak_inference(graph, width=PRECISIONS[precision])
    else:
        one, two = (training_memory(graph, batch=b, optimizer=optimizer, precision=precision).total for b in (1, 2))
        fixed, each = 2 * one - two, max(two - one, peak_inference(graph, width=PRECISIONS[precision]))
    return max(0, (free - fixed) // each) if each else 0
