"""What the language cannot say of a source, as one table: layers, the source's words, and what is missing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from cnnspec import api
from cnnspec.cli.render.columns import aligned
from cnnspec.cli.render.foreign import visible

__all__ = ["gap_rows", "gap_table"]

_MOST: Final = 40  # rows of alike gaps


def gap_rows(gaps: Sequence[api.Gap]) -> list[dict[str, str]]:
    """All of them as plain data."""
    return [{"layer": gap.layer, "call": gap.call, "missing": gap.missing} for gap in gaps]


def gap_table(gaps: Sequence[api.Gap]) -> str:
    """A row for each kind of gap, with the first of its layers and how many more there are."""
    kinds: dict[tuple[str, str], list[str]] = {}
    for gap in gaps:
        kinds.setdefault((gap.call, gap.missing), []).append(gap.layer)
    rows = [("layer", "call", "what is missing")]
    for (call, missing), layers in list(kinds.items())[:_MOST]:
        more = f" and {len(layers) - 1} more" if len(layers) > 1 else ""
        rows.append((f"{layers[0]}{more}", call, missing))
    text = "\n".join(aligned([[visible(cell) for cell in row] for row in rows], (0, 1, 2)))
    left = len(kinds) - _MOST
    return f"{text}\n… and {left} kinds more: `--format json` has all" if left > 0 else text
