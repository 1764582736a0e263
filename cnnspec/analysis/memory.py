"""Memory: the peak of an inference run and of a whole training step, worked out without running anything."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Annotated, NamedTuple, TypeAlias

from cnnspec.analysis.flow import FLOAT, INT64
from cnnspec.analysis.step import OPTIMIZER_STATE, Programs, inference_peak, training_step
from cnnspec.graph import Graph
from cnnspec.ops import Shape
from cnnspec.public import OneOf

__all__ = [
    "OPTIMIZER_STATE",
    "PRECISIONS",
    "RESERVE",
    "Optimizer",
    "Precision",
    "TrainingMemory",
    "largest_batch",
    "peak_inference",
    "training_memory",
]

RESERVE = 0.1  # of the memory, left free for scratch space inside kernels
PRECISIONS = {"fp32": 4, "bf16": 2, "fp16": 2}  # bytes of an activation

Optimizer: TypeAlias = Annotated[str, OneOf(tuple(OPTIMIZER_STATE))]
Precision: TypeAlias = Annotated[str, OneOf(tuple(PRECISIONS))]


class TrainingMemory(NamedTuple):
    """Bytes of a training step. `peak` is the most that is alive at once; the others say of what there is how much."""

    parameters: int
    gradients: int  # of parameters, when all of them are there
    optimizer: int
    buffers: int
    kept: int  # by autograd, when the backward pass begins; in mixed precision with copies of weights
    peak: int
    phase: str  # when that is: forward, loss, backward or optimizer
    layer: str | None  # and which layer runs then

    @property
    def total(self) -> int:
        """The peak of the step. Scratch space inside kernels is not in it."""
        return self.peak


def training_memory(
    graph: Graph,
    *,
    batch: int = 1,
    optimizer: str = "sgd-momentum",
    precision: str = "fp32",
    programs: Programs | None = None,
) -> TrainingMemory:
    """What a training step holds: forward with auxiliary heads, cross-entropy, backward, and the optimizer's update.

    The optimizer has its state, and gradients are made anew (`zero_grad(set_to_none=True)`). In mixed precision
    weights, gradients and optimizer stay in float32, and autocast decides by the lists that it has for the CPU.
    `programs` shares work with `peak_inference`, in float32.
    """
    trained = graph.ancestors(graph.outputs + graph.aux_outputs)
    params = gradients = tensors = buffers = 0
    counts: dict[tuple[int, tuple[Shape, ...]], tuple[int, int, int]] = {}  # equal layers share their operator
    for node in graph.nodes:
        key = (id(node.op), node.input_shapes)
        if key not in counts:
            shapes = node.op.parameter_shapes(*node.input_shapes).values()
            own = node.op.buffer_shapes(*node.input_shapes) | node.op.constant_shapes(*node.input_shapes)
            sizes = (prod(shape) * (FLOAT if shape else INT64) for shape in own.values())  # the counter is an int64
            counts[key] = sum(map(prod, shapes)), len(shapes), sum(sizes)
        count, several, others = counts[key]
        params += count
        buffers += others
        if node.name in trained:
            gradients += count
            tensors += several
    programs = programs if programs and precision == "fp32" else Programs(half=precision != "fp32")
    step = training_step(graph, batch, optimizer=optimizer, programs=programs)
    state = OPTIMIZER_STATE[optimizer]
    held = params * FLOAT, gradients * FLOAT * state + (tensors * FLOAT if state == 2 else 0), buffers
    return TrainingMemory(
        parameters=held[0],
        gradients=gradients * FLOAT,
        optimizer=held[1],  # Adam also counts its steps, in each tensor's state
        buffers=held[2],
        kept=step.kept,
        peak=sum(held) + step.peak.bytes,
        phase=step.peak.phase,
        layer=step.peak.layer,
    )


def peak_inference(graph: Graph, *, batch: int = 1, width: int = FLOAT, programs: Programs | None = None) -> int:
    """Bytes of tensors alive at the worst step of an inference run, the network's input included, weights not.

    The run is the built module's: nodes in the graph's order, auxiliary heads left out, every value dropped after the
    last node that reads it. `programs` shares work with `training_memory`.
    """
    return inference_peak(graph, batch, width, programs=programs or Programs()).bytes


def largest_batch(graph: Graph, memory: int, *, optimizer: str | None = None, precision: str = "fp32") -> int:
    """The largest batch that fits into `memory` bytes: for training with `optimizer`, or for inference without one.

    Kernels take scratch space besides, so `RESERVE` of the memory is left free. 0 where not even one sample fits.
    """
    fixed = 0
    if optimizer is None:
        weights = training_memory(graph, optimizer="sgd", precision=precision)
        fixed = weights.parameters + weights.buffers

    def needed(batch: int) -> int:
        if optimizer is None:
            return fixed + peak_inference(graph, batch=batch, width=PRECISIONS[precision])
        return training_memory(graph, batch=batch, optimizer=optimizer, precision=precision).total

    return _largest(needed, int(memory * (1 - RESERVE)))


def _largest(needed: Callable[[int], int], free: int) -> int:
    """The largest batch that needs no more than `free`, exactly.

    From a batch of two on, every moment of a step needs `a + b*batch` bytes, so the peak is convex in the batch: a line
    through two neighbours lies below it elsewhere, and where the line reaches `free` no larger batch fits. A batch of
    one is apart, because slices of it lie in order.
    """
    if needed(1) > free:
        return 0
    batch, bytes_ = 2, needed(2)
    if bytes_ > free:
        return 1
    batch += (free - bytes_) // (needed(3) - bytes_)
    while (bytes_ := needed(batch)) > free:
        slope = bytes_ - needed(batch - 1)
        batch -= -(-(bytes_ - free) // slope)
    return batch
