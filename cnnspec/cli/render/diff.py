"""A difference of two networks as text and as Markdown."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final

from cnnspec.analysis import CONVENTION
from cnnspec.analysis.diff import Change, Difference, Total
from cnnspec.ops import show_shape

__all__ = ["FORMATS", "render_difference"]

FORMATS: Final = ("table", "json", "markdown")
SIGNS: Final = {"added": "+", "removed": "-", "changed": "~", "resized": ">"}
LABELS: Final = {
    "layers": "layers",
    "params": "parameters",
    "buffers": "buffers",
    "macs": "MACs",
    "flops": "FLOPs",
    "peak_inference_bytes": "bytes at the peak of inference",
    "training_bytes": "bytes to train",
}
Row = tuple[str, str, str, str]  # sign, layer, what, size and parameters


def render_difference(difference: Difference, form: str) -> str:
    """The changes in running order, then the totals."""
    rows = list(_rows(difference.changes))
    totals = [_total(total) for total in difference.totals if total.name in LABELS]
    head = ("", difference.before, difference.after, "ratio")
    if form == "markdown":
        return "\n".join(
            [
                f"{difference.before} → {difference.after}: {_summary(difference)}",
                *(["", *_markdown(("", "layer", "operator", "output, parameters"), rows)] if rows else []),
                "",
                *_markdown(head, totals, right=True),
                "",
                CONVENTION,
            ]
        )
    lines = [f"{difference.before} -> {difference.after}", ""]
    if rows:
        widths = [max(len(row[column]) for row in rows) for column in range(3)]
        lines += [
            "  ".join([*(text.ljust(width) for text, width in zip(row, widths, strict=False)), row[3]]).rstrip()
            for row in rows
        ]
        lines.append("")
    lines += [_summary(difference), ""]
    table = [head, *totals]
    widths = [max(len(row[column]) for row in table) for column in range(4)]
    for row in table:
        cells = [row[0].ljust(widths[0]), *(text.rjust(width) for text, width in zip(row[1:], widths[1:], strict=True))]
        lines.append("  ".join(cells).rstrip())
    return "\n".join([*lines, "", *CONVENTION.split("; ")])


def _summary(difference: Difference) -> str:
    counts = [f"{len(found)} {kind}" for kind in SIGNS if (found := difference.of(kind))]
    same = f"{difference.same} the same"
    if difference.renamed:
        same += f" ({difference.renamed} under another name)"
    parts = [*counts, same]
    if difference.inputs[0] != difference.inputs[1]:
        parts.append(f"input {show_shape(difference.inputs[0])} -> {show_shape(difference.inputs[1])}")
    if difference.outputs_moved:
        parts.append("other outputs")
    return ", ".join(parts)


def _rows(changes: Sequence[Change]) -> Iterator[Row]:
    """One row per change; neighbours of one block that came or went together are one row, and so are equal blocks."""
    together: list[Change] = []
    for change in changes:
        if together and not _belongs(change, together[-1]):
            yield from _together(together)
            together = []
        together.append(change)
    yield from _together(together)


def _belongs(change: Change, last: Change) -> bool:
    both = change.kind == last.kind and change.kind in ("added", "removed")
    return both and change.place == last.place + 1 and bool(_block(change)) and _block(change) == _block(last)


def _block(change: Change) -> str:
    row = change.after or change.before
    assert row is not None
    return re.sub(r"\d+", "#", row.name.rpartition(".")[0])


def _together(found: Sequence[Change]) -> list[Row]:
    return [_folded(found[0].kind, found)] if len(found) > 1 else list(map(_row, found))


def _folded(kind: str, found: Sequence[Change]) -> Row:
    sides = [row for change in found if (row := change.after or change.before)]
    parents = list(dict.fromkeys(row.name.rpartition(".")[0] for row in sides))
    name = parents[0] if len(parents) == 1 else f"{parents[0]} … {parents[-1]}"
    blocks = f" in {len(parents)} blocks" if len(parents) > 1 else ""
    params = sum(row.params for row in sides)
    return SIGNS[kind], name, f"{len(found)} layers{blocks}", f"{params:,} parameters" if params else ""


def _row(change: Change) -> Row:
    sides = [row for row in (change.before, change.after) if row is not None]
    names = list(dict.fromkeys(row.name for row in sides))
    calls = list(dict.fromkeys(call for call in (change.call_before, change.call_after) if call is not None))
    if change.kind == "changed" and len(calls) == 1:
        calls = [f"{calls[0]}, reading other layers"]
    shapes = list(dict.fromkeys(show_shape(row.output_shape) for row in sides))
    params = list(dict.fromkeys(f"{row.params:,}" for row in sides))
    size = " -> ".join(shapes) + (f", {' -> '.join(params)} parameters" if params != ["0"] else "")
    return SIGNS[change.kind], " -> ".join(names), " -> ".join(calls), size


def _total(total: Total) -> Row:
    def number(value: int | None) -> str:
        return "unknown" if value is None else f"{value:,}"

    ratio = "" if total.ratio is None else f"{total.ratio:.3g}x"
    return LABELS[total.name], number(total.before), number(total.after), ratio


def _markdown(head: Row, rows: Sequence[Row], *, right: bool = False) -> list[str]:
    rule = [":--", *(["--:"] * 3 if right else [":--"] * 3)]
    escaped = [[cell.replace("|", r"\|").replace("*", r"\*") for cell in row] for row in rows]
    return ["| " + " | ".join(row) + " |" for row in (head, rule, *escaped)]
