"""The layer table folded by nested names: one row per block, with its sums."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import groupby

from cnnspec.analysis.layer_report import LayerReport

__all__ = ["fold"]


def fold(rows: Sequence[LayerReport], depth: int) -> tuple[LayerReport, ...]:
    """Rows of one block as one row; equal blocks in a row as one, `xN`. Raises ValueError for a depth below 1."""
    if depth < 1:
        raise ValueError("the depth is at least 1")
    blocks = [
        (name, list(members)) for name, members in groupby(rows, lambda row: ".".join(row.name.split(".")[:depth]))
    ]
    folded = []
    for _, alike in groupby(blocks, lambda block: _signature(block[0], block[1])):
        group = list(alike)
        members = [row for _, rows in group for row in rows]
        folded.append(_sum(_range_name([name for name, _ in group]), members, len(group)))
    return tuple(folded)


def _signature(name: str, rows: list[LayerReport]) -> tuple[object, ...]:
    """What equal blocks share: the parent, a number as name, and the layers inside."""
    parent, _, leaf = name.rpartition(".")
    alone = name if len(rows) == 1 and rows[0].name == name else ""
    stem = re.sub(r"\d+$", "", leaf)
    inside = tuple(
        (row.op, row.params, row.macs, row.output_shape, row.input_shapes, row.aux, row.dead) for row in rows
    )
    return parent, alone, stem, inside


def _range_name(names: list[str]) -> str:
    if len(names) == 1:
        return names[0]
    first, last = re.search(r"(\d+)$", names[0]), re.search(r"(\d+)$", names[-1])
    return f"{names[0]}..{last[1]}" if first and last else f"{names[0]}..{names[-1]}"


def _sum(name: str, rows: list[LayerReport], copies: int) -> LayerReport:
    if len(rows) == 1:
        return rows[0]
    last = next((row for row in reversed(rows) if not (row.aux or row.dead)), rows[-1])  # what the block is there for
    flops = [row.flops for row in rows]
    layers = len(rows) // copies
    what = f"{layers} layers" if layers > 1 else rows[0].op
    return last._replace(
        name=name,
        op=f"{what} x{copies}" if copies > 1 else what,
        inputs=rows[0].inputs,
        input_shapes=rows[0].input_shapes,
        params=sum(row.params for row in rows),
        frozen_params=sum(row.frozen_params for row in rows),
        buffers=sum(row.buffers for row in rows),
        macs=sum(row.macs for row in rows),
        flops=None if None in flops else sum(value for value in flops if value is not None),
        output_bytes=sum(row.output_bytes for row in rows),
        aux=all(row.aux for row in rows),
        dead=all(row.dead for row in rows),
        line=rows[0].line,
    )
