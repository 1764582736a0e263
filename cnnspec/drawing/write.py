"""What kinds of pictures there are, by the ending of a file's name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from cnnspec.drawing.dot import to_dot
from cnnspec.drawing.mermaid import to_mermaid
from cnnspec.drawing.picture import picture
from cnnspec.drawing.svg import to_svg
from cnnspec.graph import Graph

__all__ = ["KINDS_OF_PICTURE", "drawn"]

Drawer = Callable[[Graph, int | None], bytes]


def _svg(graph: Graph, depth: int | None) -> bytes:
    return to_svg(picture(graph, depth)).encode()


def _pdf(graph: Graph, depth: int | None) -> bytes:
    from cnnspec.drawing.pdf import to_pdf

    return to_pdf(picture(graph, depth))


def _png(graph: Graph, depth: int | None) -> bytes:
    from cnnspec.drawing.pdf import to_png

    return to_png(picture(graph, depth))


def _mermaid(graph: Graph, depth: int | None) -> bytes:
    return to_mermaid(graph, depth).encode()


def _dot(graph: Graph, depth: int | None) -> bytes:
    return to_dot(graph, depth).encode()


KINDS_OF_PICTURE: Final[dict[str, Drawer]] = {
    "svg": _svg,
    "png": _png,
    "pdf": _pdf,
    "mmd": _mermaid,
    "dot": _dot,
}


def drawn(graph: Graph, kind: str, depth: int | None = None) -> bytes:
    """The content of a file with the network's picture. Raises KeyError for a kind that there is not."""
    return KINDS_OF_PICTURE[kind](graph, depth)
