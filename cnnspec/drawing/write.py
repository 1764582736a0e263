"""What kinds of pictures there are, by the ending of a file's name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from cnnspec.drawing.boxes import Scene
from cnnspec.drawing.dot import to_dot
from cnnspec.drawing.mermaid import to_mermaid
from cnnspec.drawing.picture import picture
from cnnspec.drawing.svg import to_svg

__all__ = ["KINDS_OF_PICTURE", "drawn"]

Drawer = Callable[[Scene], bytes]


def _svg(scene: Scene) -> bytes:
    return to_svg(picture(scene)).encode()


def _pdf(scene: Scene) -> bytes:
    from cnnspec.drawing.pdf import to_pdf

    return to_pdf(picture(scene))


def _png(scene: Scene) -> bytes:
    from cnnspec.drawing.pdf import to_png

    return to_png(picture(scene))


def _mermaid(scene: Scene) -> bytes:
    return to_mermaid(scene).encode()


def _dot(scene: Scene) -> bytes:
    return to_dot(scene).encode()


KINDS_OF_PICTURE: Final[dict[str, Drawer]] = {
    "svg": _svg,
    "png": _png,
    "pdf": _pdf,
    "mmd": _mermaid,
    "dot": _dot,
}


def drawn(scene: Scene, kind: str) -> bytes:
    """The content of a file with a picture of this kind. Raises KeyError where there is none."""
    return KINDS_OF_PICTURE[kind](scene)
