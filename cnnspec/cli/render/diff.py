"""A difference of two networks as text and as Markdown."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from textwrap import wrap
from typing import Final

from cnnspec.api import Change, Difference, Total
from cnnspec.api.terms import CONVENTION, show_shape
from cnnspec.cli.render.columns import aligned

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
OTHER: Final = {"inference": ", training", "train": ", inference"}  # after the label of the other purpose's totals
BESIDE: Final = 40  # characters to the right of the layers' names, or what changed stands below them
LISTED: Final = 4  # names of layers that changed alike
Row = tuple[str, str, str, str]  # sign, layer, what, size and parameters


def render_difference(
    difference: Difference, form: str, width: int | None = None, names: tuple[str, str] | None = None
) -> str:
    """The changes in running order, then the totals.

    A table is laid out in lines of `width` characters where one is given. `names` are for networks of one name.
    """
    before, after = names or (difference.before, difference.after)
    rows = list(_rows(difference.changes))
    own = {total.name: total for total in difference.totals}
    others = [total for total in difference.other_totals if total != own.get(total.name)]
    totals = [_total(total, "") for total in difference.totals if total.name in LABELS]
    totals += [_total(total, OTHER[difference.purpose]) for total in others if total.name in LABELS]
    head = ("", before, after, "ratio")
    if form == "markdown":
        return "\n".join(
            [
                f"{before} → {after}: {_summary(difference)}",
                *(["", *_markdown(("", "layer", "operator", "output, parameters"), rows)] if rows else []),
                "",
                *_markdown(head, totals, right=True),
                "",
                CONVENTION,
            ]
        )
    lines = [f"{before} -> {after}", ""]
    if rows:
        lines += [*_columns(rows, width), ""]
    lines += [*_wrapped(_summary(difference), width, ""), ""]
    table = aligned([head, *totals], (0,))
    if width is not None and max(map(len, table)) > width:
        table = aligned([("", "before", "after", "ratio"), *totals], (0,))
    return "\n".join([*lines, *table, "", *CONVENTION.split("; ")])


def _columns(rows: Sequence[Row], width: int | None) -> list[str]:
    """The rows in columns; where these are too wide, sizes stand below what changed, and that below the layer."""
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    lines = aligned(rows, range(4))
    if width is None or max(map(len, lines)) <= width:
        return lines
    beside = widths[1] + 5
    indent = " " * (beside if width - beside >= BESIDE else 6)
    lines = []
    for sign, name, what, size in rows:
        text = f"{what}  {size}".rstrip()
        parts = [text] if len(indent + text) <= width else [part for part in (what, size) if part]
        below = [line for part in parts for line in _wrapped(part, width, indent)]
        head = f"{sign}  {name}"
        lines += [head.ljust(beside) + below[0][beside:], *below[1:]] if len(indent) == beside else [head, *below]
    return lines


def _wrapped(text: str, width: int | None, indent: str) -> list[str]:
    if width is None:
        return [indent + text]
    return wrap(text, max(width, 40), initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False)


def _summary(difference: Difference) -> str:
    counts = [f"{len(alike)} {kind}" for kind in SIGNS if (alike := difference.of(kind))]
    same = f"{difference.same} the same"
    if difference.renamed:
        same += f" ({difference.renamed} under another name)"
    parts = [*counts, same]
    if difference.inputs[0] != difference.inputs[1]:
        parts.append(f"input {show_shape(difference.inputs[0])} -> {show_shape(difference.inputs[1])}")
    if difference.outputs_moved:
        parts.append("other outputs")
    if difference.training_differs:
        parts.append("and layers that only training has (`--for train` shows them)")
    return ", ".join(parts)


def _rows(changes: Sequence[Change]) -> Iterator[Row]:
    """One row per change, or for changes of one kind that stand together.

    Neighbours of one block that came or went are one row, and so are equal blocks. Layers of one block that changed
    alike are one row, and so are blocks whose layers of the same names did. What follows from other changes is told
    for each block once.
    """
    groups: dict[object, list[Change]] = {}
    last: Change | None = None
    run = 0
    for change in changes:
        if change.kind in ("changed", "resized"):
            what = _what(change) if change.kind == "changed" else ""
            key: object = (change.kind, _parent(change) or change.place, what)
        else:
            run += last is None or not _belongs(change, last)
            key = run
        groups.setdefault(key, []).append(change)
        last = change
    alike: dict[object, list[Change]] = {}
    for key, together in groups.items():
        one = together[0]
        if one.kind in ("changed", "resized") and _parent(one):
            what = _what(one) if one.kind == "changed" else ""
            key = (one.kind, _block(one), what, tuple(_name(change).rpartition(".")[2] for change in together))
        alike.setdefault(key, []).extend(together)
    for together in alike.values():
        yield _row(together[0]) if len(together) == 1 else _folded(together)


def _belongs(change: Change, last: Change) -> bool:
    both = change.kind == last.kind and change.place == last.place + 1
    return both and bool(_block(change)) and _block(change) == _block(last)


def _name(change: Change) -> str:
    row = change.after or change.before
    assert row is not None
    return row.name


def _parent(change: Change) -> str:
    return _name(change).rpartition(".")[0]


def _block(change: Change) -> str:
    return re.sub(r"\d+", "#", _parent(change))


def _folded(together: Sequence[Change]) -> Row:
    kind = together[0].kind
    parents = list(dict.fromkeys(map(_parent, together)))
    leaves = list(dict.fromkeys(_name(change).rpartition(".")[2] for change in together))
    name = parents[0] if len(parents) == 1 else f"{parents[0]} … {parents[-1]}"
    blocks = f" in {len(parents)} blocks" if len(parents) > 1 else ""
    what = f"{len(together)} layers{blocks}"
    if kind == "changed":
        what = f"{', '.join(leaves) if len(leaves) <= LISTED else what}: {_what(together[0])}"
        what += f",{blocks}" if blocks and len(leaves) <= LISTED else ""
    return SIGNS[kind], name, what, _size(together)


def _what(change: Change) -> str:
    """The call or, where it changed, what is different about it."""
    if change.arguments and change.after:
        return f"{change.after.op} {', '.join(f'{name} {was} -> {now}' for name, was, now in change.arguments)}"
    calls = dict.fromkeys(call for call in (change.call_before, change.call_after) if call is not None)
    return " -> ".join(calls) + (", reading other layers" if change.kind == "changed" and len(calls) == 1 else "")


def _size(together: Sequence[Change]) -> str:
    """Shape and parameters, before and after; the shape where it is the same for all, the parameters as sums."""
    both = together[0].kind in ("changed", "resized")
    sides = [[row for row in (change.before, change.after) if row is not None] for change in together]
    shapes = {" -> ".join(dict.fromkeys(show_shape(row.output_shape) for row in rows)) for rows in sides}
    sums = [sum(rows[side].params for rows in sides) for side in range(2 if both else 1)]
    params = " -> ".join(dict.fromkeys(f"{params:,}" for params in sums)) + " parameters" if any(sums) else ""
    shape = next(iter(shapes)) if len(shapes) == 1 and (both or len(together) == 1) else ""
    return ", ".join(part for part in (shape, params) if part)


def _row(change: Change) -> Row:
    names = dict.fromkeys(row.name for row in (change.before, change.after) if row is not None)
    return SIGNS[change.kind], " -> ".join(names), _what(change), _size([change])


def _total(total: Total, purpose: str) -> Row:
    def number(value: int | None) -> str:
        return "unknown" if value is None else f"{value:,}"

    ratio = "" if total.ratio is None else f"{total.ratio:.3g}x"
    return LABELS[total.name] + purpose, number(total.before), number(total.after), ratio


def _markdown(head: Row, rows: Sequence[Row], *, right: bool = False) -> list[str]:
    rule = [":--", *(["--:"] * 3 if right else [":--"] * 3)]
    escaped = [[cell.replace("|", r"\|").replace("*", r"\*") for cell in row] for row in rows]
    return ["| " + " | ".join(row) + " |" for row in (head, rule, *escaped)]
