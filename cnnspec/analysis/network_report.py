"""The report on a network: what its layers are, read and cost, and the totals."""

from __future__ import annotations

from collections.abc import Collection
from math import prod
from typing import NamedTuple

from cnnspec.analysis.field_work import Work
from cnnspec.analysis.memory import PRECISIONS, peak_inference, training_memory
from cnnspec.analysis.receptive_field import fields
from cnnspec.analysis.report import LayerReport, Memory, Report, Totals
from cnnspec.analysis.step import Programs
from cnnspec.analysis.view import FieldViews
from cnnspec.graph import Graph, Purpose
from cnnspec.ops import AnyOp, Shape

__all__ = ["analyze"]

PARAMETER_BYTES = 4  # float32, in every precision


def analyze(
    graph: Graph,
    *,
    purpose: Purpose = "inference",
    batch: int = 1,
    optimizer: str = "sgd-momentum",
    precision: str = "fp32",
    frozen: Collection[str] = (),
    work: Work | None = None,
) -> Report:
    """The report on `graph.network(purpose)`, with the totals of the other purpose beside its own.

    `batch`, `optimizer` (a key of OPTIMIZER_STATE) and `precision` (a key of PRECISIONS) say what memory is for;
    MACs and FLOPs are per sample. Parameters below the names `frozen` are not trainable; memory is for a step that
    trains all. `work` is what receptive fields may take, where several networks share it.
    """
    states, views, frozen = fields(graph, work), FieldViews(), frozenset(frozen)
    live = graph.ancestors(graph.outputs)
    trained = live | graph.ancestors(graph.aux_outputs)
    shown = graph.network(purpose).by_name
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
                frozen_params=node.frozen_params(frozen),
                buffers=cost.buffers,
                macs=cost.macs if node.name in trained else 0,
                flops=cost.flops if node.name in trained else 0,
                field=figures,
                field_parts=parts,
                output_bytes=batch * prod(node.shape) * width,
                aux=node.name in trained and node.name not in live,
                dead=node.name not in trained,
                line=node.origin.place.line if node.origin.place else None,
            )
        )
    programs = Programs()
    training = None
    if not graph.refused:
        training = training_memory(graph, batch=batch, optimizer=optimizer, precision=precision, programs=programs)
    peak = peak_inference(graph, batch=batch, width=width, programs=programs)
    memory = Memory(batch, precision, optimizer, peak, training)
    return Report(
        graph.name,
        graph.input_shape,
        tuple(row for row in rows if row.name in shown),
        memory,
        graph.outputs,
        purpose,
        inference=_totals([row for row in rows if row.name in live], memory),
        train=None if graph.refused else _totals(rows, memory),
        only_training=tuple(row.name for row in rows if row.aux),
        dead=tuple(row.name for row in rows if row.dead),
        refused=graph.refused,
    )


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
    flops = [row.flops for row in rows]
    params = sum(row.params for row in rows)
    maps = [row for row in rows if len(row.output_shape) > 1 and not row.sees_everything]
    return Totals(
        layers=len(rows),
        params=params,
        trainable_params=sum(row.trainable_params for row in rows),
        buffers=sum(row.buffers for row in rows),
        macs=sum(row.macs for row in rows),
        flops=None if None in flops else sum(value for value in flops if value is not None),
        param_bytes=PARAMETER_BYTES * params,
        peak_inference_bytes=memory.peak_inference,
        training_bytes=None if memory.training is None else memory.training.total,
        receptive_field=maps[-1].receptive_field if maps else (),
    )
