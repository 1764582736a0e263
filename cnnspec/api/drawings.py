"""Pictures of networks, as files."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

from cnnspec.api.networks import PathLike, load
from cnnspec.errors import UsageError
from cnnspec.files import expand_user, rewrite
from cnnspec.graph import Purpose
from cnnspec.hints import did_you_mean
from cnnspec.language import Network
from cnnspec.ops.base import Count
from cnnspec.public import public

if TYPE_CHECKING:
    from cnnspec.training.run_folder import Run

__all__ = ["PICTURES", "draw", "draw_bytes"]

PAGE: Final = "html"
PICTURES: Final = (PAGE, "svg", "png", "pdf", "mmd", "dot")


@public(Run="cnnspec.training.run_folder")
def draw(
    network: Network | Run | PathLike,
    output: PathLike,
    *,
    depth: Count | None = None,
    purpose: Purpose = "inference",
) -> Path:
    """Write a network's picture to a file, whose ending says of which kind: .html, .svg, .png, .pdf, .mmd or .dot.

    HTML is a page to look around in. In the others groups are open down to `depth`; by default as deep as fits on a
    page. PNG and PDF need the extra `draw`.
    Raises UsageError for another ending.
    """
    path = expand_user(output)
    kind = path.suffix.removeprefix(".").lower()
    rewrite(path, draw_bytes(network, kind, depth=depth, purpose=purpose))
    return path


@public(Run="cnnspec.training.run_folder")
def draw_bytes(
    network: Network | Run | PathLike, kind: str = "svg", *, depth: Count | None = None, purpose: Purpose = "inference"
) -> bytes:
    """The content of a network's picture of this kind: html, svg, png, pdf, mmd (Mermaid) or dot. Raises UsageError."""
    from cnnspec.drawing.blocks import block_names
    from cnnspec.drawing.boxes import Scene
    from cnnspec.drawing.page import to_page
    from cnnspec.drawing.write import drawn

    if kind not in PICTURES:
        hint = did_you_mean(kind, PICTURES) or f"there are: {', '.join(f'.{each}' for each in PICTURES)}"
        raise UsageError(f"`{kind:.60}` is no kind of picture" if kind else "the file has no ending", hint=hint)
    if isinstance(network, (str, os.PathLike)):
        network = load(network, purpose=purpose)
    network = network if isinstance(network, Network) else network.network
    if kind == PAGE:
        return to_page(network, purpose).encode()
    return drawn(Scene.of(network.graph.network(purpose), depth, block_names(network)), kind)
