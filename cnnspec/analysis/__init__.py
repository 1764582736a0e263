"""What follows from a graph: sizes, receptive fields, cost and memory, without running or allocating anything."""

from __future__ import annotations

from math import prod
from typing import NamedTuple

from cnnspec.analysis.memory import OPTIMIZER_STATE, PRECISIONS, largest_batch, peak_inference, training_memory
from cnnspec.analysis.receptive_field import fields
from cnnspec.analysis.report import CONVENTION, LayerReport, Memory, Report, Totals
from cnnspec.analysis.view import FieldViews
from cnnspec.graph import Graph
from cnnspec.ops import AnyOp, Shape

__all__ = [
    "CONVENTION",
    "OPTIMIZER_STATE",
    "PRECISIONS",
    "LayerReport",
    "Memory",
    "Report",
    "Totals",
    "analyze",
    "largest_batch",
]


def analyze(graph: Graph, *, batch: int = 1, optimizer: str = "sgd-momentum", precision: str = "fp32") -> Report:
    """The report on a graph.

    `batch`, `optimizer` (a key of OPTIMIZER_STATE) and `precision` (a key of PRECISIONS) say what memory is for;
    MACs and FLOPs are per sample.
    """
    states, views = fields(graph), FieldViews()
    live = graph.ancestors(graph.outputs)
    width = PRECISIONS[precision]
    rows = []
    costs: dict[tuple[int, tuple[Shape, ...]], _Cost] = {}  # equal layers share their operator
    for node in graph.nodes:
        op, shapes = node.op, node.input_shapes
        key = (id(op), shapes)
        if (cost := costs.get(key)) is None:
            cost = costs[key] = _cost(op, shapes)
        figures, parts = views.of(states[node.name], node.shape)
        rows.append(
            LayerReport(
                name=node.name,
                op=op.op_name,
                inputs=node.inputs,
                input_shapes=shapes,
                output_shape=node.shape,
                params=cost.params,
                buffers=cost.buffers,
                macs=cost.macs,
                flops=cost.flops,
                field=figures,
                field_parts=parts,
                output_bytes=batch * prod(node.shape) * width,
                aux=node.name not in live,
                line=node.origin.place.line if node.origin.place else None,
            )
        )
    training = training_memory(graph, batch=batch, optimizer=optimizer, precision=precision)
    memory = Memory(batch, precision, optimizer, peak_inference(graph, batch=batch, width=width), training)
    return Report(graph.name, graph.input_shape, tuple(rows), _totals(rows, memory), memory, graph.outputs)


class _Cost(NamedTuple):
    params: int
    buffers: int
    macs: int
    flops: int | None


def _cost(op: AnyOp, shapes: tuple[Shape, ...]) -> _Cost:
    """What follows from an operator and its input shapes alone."""
    macs, other = op.macs(*shapes), op.other_flops(*shapes)
    return _Cost(
        params=sum(prod(shape) for shape in op.parameter_shapes(*shapes).values()),
        buffers=sum(prod(shape) for shape in op.buffer_shapes(*shapes).values()),
        macs=macs,
        flops=None if other is None else 2 * macs + other,
    )


def _totals(rows: list[LayerReport], memory: Memory) -> Totals:
    counted = [row for row in rows if not row.aux]
    flops = [row.flops for row in counted]
    params = sum(row.params for row in rows)
    return Totals(
        layers=len(rows),
        params=params,
        trainable_params=params,
        buffers=sum(row.buffers for row in rows),
        macs=sum(row.macs for row in counted),
        flops=None if None in flops else sum(value for value in flops if value is not None),
        param_bytes=memory.training.parameters,
        peak_inference_bytes=memory.peak_inference,
        training_bytes=memory.training.total,
    )
