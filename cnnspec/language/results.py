"""What expressions come to: numbers, truth values, lists and the names of layers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

__all__ = ["LayerName", "is_number", "kind", "list_problem", "show"]

MAX_ITEMS: Final = 500  # of a list, with the lists inside
MAX_NESTING: Final = 8  # of lists


@dataclass(frozen=True, slots=True)
class LayerName:
    """A parameter's value that names an operator or a block."""

    name: str

    def __str__(self) -> str:
        return self.name


def show(value: Any) -> str:
    """A value as a person would write it, cut where it is long."""
    if isinstance(value, (list, tuple)):
        text = ", ".join(show(item) for item in value[:20])
        text = f"[{text}]" if isinstance(value, list) else f"({text})"
    else:
        text = value.name if isinstance(value, LayerName) else repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def list_problem(value: Any) -> str | None:
    """Why a list is too large to work with, or None. Bounds what copies of copies can grow to."""
    count, open_lists = 0, [(value, 1)]
    while open_lists:
        items, depth = open_lists.pop()
        if depth > MAX_NESTING:
            return f"lists are nested deeper than {MAX_NESTING} levels"
        count += len(items)
        if count > MAX_ITEMS:
            return f"the list is too long ({MAX_ITEMS} items at most)"
        open_lists += [(item, depth + 1) for item in items if isinstance(item, (list, tuple))]
    return None


def is_number(value: Any) -> bool:
    """Whether a value is a number; a truth value is none."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def kind(value: Any) -> str:
    """What a value is, for a sentence."""
    if isinstance(value, LayerName):
        return f"the layer {value.name}"
    return "a list" if isinstance(value, (list, tuple)) else show(value)
