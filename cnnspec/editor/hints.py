"""What stands behind each layer's line while it is typed: `→ 64x56x56  rf 19x19`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from cnnspec.editor.snapshot import Fact, Snapshot
from cnnspec.language.results import LayerName
from cnnspec.ops import show_shape

__all__ = ["SHOWN", "Hint", "Show", "hints"]


class Show(NamedTuple):
    """What hints say of a layer."""

    shape: bool = True
    field: bool = True
    params: bool = False
    macs: bool = False


SHOWN: Final = Show()
MOST_IN_FULL: Final = 12  # copies that a tooltip lists before it cuts


class Hint(NamedTuple):
    """A text behind a line (from 1), and all that is to be said when somebody points at it."""

    line: int
    text: str
    details: str
    kept: bool  # from before the text had errors


def hints(snapshot: Snapshot, show: Show = SHOWN) -> list[Hint]:
    """The hints of all lines, in order. Nothing is shown where nothing is asked for."""
    if not any(show):
        return []
    found = [_hint(line, facts, show) for line, facts in snapshot.facts.items()]
    if snapshot.is_good:
        called = _called(snapshot)
        found += [
            Hint(block.place.line, "not called", f"no layer calls the block {block.name}", False)
            for block in snapshot.source.document.blocks.values()
            if block.name not in called
        ]
    return sorted(found)


def _called(snapshot: Snapshot) -> set[str]:
    """The operators and blocks that items call, by their own name or by that of a parameter that holds them."""
    uses = snapshot.outcome.uses
    scopes = {id(use.frame.scope): use.frame.scope for use in uses}  # one for all the layers of a block's copy
    held = {value.name for scope in scopes.values() for value in scope.values() if isinstance(value, LayerName)}
    return held | {use.item.call.target for use in uses if use.item.call is not None}


def _hint(line: int, facts: Sequence[Fact], show: Show) -> Hint:
    kept = any(fact.kept for fact in facts)
    first, last = _said(facts[0], show), _said(facts[-1], show)
    text = f"→ {first}"
    if any(_said(fact, show) != first for fact in facts):
        text += f" … {last}"
    if len(facts) > 1:
        text += f"  ×{len(facts)}"
    width = max(len(fact.name) for fact in facts)
    every = Show(True, True, True, True)
    rows = [f"{fact.name.ljust(width)}  {_said(fact, every)}" for fact in facts[:MOST_IN_FULL]]
    if len(facts) > MOST_IN_FULL:
        rows.append(f"… and {len(facts) - MOST_IN_FULL} more")
    if kept:
        rows.append("as it was before the text had errors")
    return Hint(line, text, "\n".join(rows), kept)


def _said(fact: Fact, show: Show) -> str:
    parts = []
    if show.shape:
        parts.append(show_shape(fact.shape))
    if show.field and fact.field not in ("", "-"):
        parts.append(f"rf {fact.field}")
    if show.params:
        parts.append(f"{fact.params:,} params")
    if show.macs:
        parts.append(f"{fact.macs:,} MACs")
    return "  ".join(parts)
