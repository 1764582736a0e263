"""Source from a graph alone: every module under its name, and `forward` layer by layer."""

from __future__ import annotations

from cnnspec.graph import Graph

__all__ = ["flat_source"]


def flat_source(graph: Graph, doc: list[str]) -> tuple[str, str]:
    """The source of a graph, and the name of its class."""
    raise NotImplementedError
