"""Pictures of networks, as files."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final

from cnnspec.api.networks import PathLike, Spec, load
from cnnspec.errors import CnnspecError, UsageError, needs_extra
from cnnspec.files import expand_user, rewrite
from cnnspec.graph import Purpose
from cnnspec.hints import did_you_mean
from cnnspec.language import Network
from cnnspec.ops.base import Count
from cnnspec.public import public
from cnnspec.zoo import find_run

if TYPE_CHECKING:
    from cnnspec.runtime.predictor import Predictor
    from cnnspec.training.run_folder import Run

__all__ = ["PICTURES", "draw", "draw_bytes", "draw_diff", "draw_why"]

PAGE: Final = "html"
PICTURES: Final = (PAGE, "svg", "png", "pdf", "mmd", "dot")


@public(Run="cnnspec.training.run_folder")
def draw(
    network: Network | Run | PathLike,
    output: PathLike,
    *,
    depth: Count | None = None,
    purpose: Purpose = "inference",
    beside: Run | PathLike | None = None,
    weights: PathLike | None = None,
    images: tuple[str, ...] = (),
    data: str | None = None,
    values: bool = True,
    live: bool = False,
    report: Callable[[str], None] = lambda text: None,
) -> Path:
    """Write a network's picture to a file, whose ending says of which kind: .html, .svg, .png, .pdf, .mmd or .dot.

    HTML is a page to look around in. In the others groups are open down to `depth`; by default as deep as fits on a
    page. PNG and PDF need the extra `draw`.

    The page of a run shows its curves, what its weights say of its images, and what every layer computes on ten of
    them, unless `values` is false; `beside` is a second run. A spec shows what it computes with `weights`, on `images`
    (files, folders and patterns) or on those of `data`. Needs the extra `train`, or for files of images `onnx`;
    `report` is told what could not be shown of a run. With `live` the network runs in the page, on what is drawn there
    or opened: it needs `onnx`, and makes the page 5 MB larger.
    Raises UsageError for another ending, and where weights or images do not fit.
    """
    path = expand_user(output)
    kind = path.suffix.removeprefix(".").lower()
    content = draw_bytes(
        network, kind, depth=depth, purpose=purpose, beside=beside, weights=weights, images=images, data=data,
        values=values, live=live, report=report,
    )  # fmt: skip
    rewrite(path, content)
    return path


@public(Run="cnnspec.training.run_folder")
def draw_bytes(
    network: Network | Run | PathLike,
    kind: str = "svg",
    *,
    depth: Count | None = None,
    purpose: Purpose = "inference",
    beside: Run | PathLike | None = None,
    weights: PathLike | None = None,
    images: tuple[str, ...] = (),
    data: str | None = None,
    values: bool = True,
    live: bool = False,
    report: Callable[[str], None] = lambda text: None,
) -> bytes:
    """The content of a network's picture of this kind: html, svg, png, pdf, mmd (Mermaid) or dot. Raises as `draw`."""
    from cnnspec.drawing.blocks import block_names
    from cnnspec.drawing.boxes import Scene
    from cnnspec.drawing.page import to_page
    from cnnspec.drawing.write import drawn

    if kind not in PICTURES:
        hint = did_you_mean(kind, PICTURES) or f"there are: {', '.join(f'.{each}' for each in PICTURES)}"
        raise UsageError(f"`{kind:.60}` is no kind of picture" if kind else "the file has no ending", hint=hint)
    if kind != PAGE and (live or beside is not None or weights is not None or images or data is not None):
        raise UsageError("only a page shows what a network computes, and two runs", hint="`-o net.html` makes one")
    if live and not values:
        raise UsageError(
            "a page that is drawn on shows what the network computes", hint="give one of `live` and `values`"
        )
    run = None
    if isinstance(network, (str, os.PathLike)):
        run = _run_named(network) if kind == PAGE else None
        network = run.network if run is not None else load(network, purpose=purpose)
    elif not isinstance(network, Network):
        run, network = network, network.network
    if kind != PAGE:
        return drawn(Scene.of(network.graph.network(purpose), depth, block_names(network)), kind)
    from cnnspec.api.page_parts import Shown, page_parts

    second = _run_named(beside) if isinstance(beside, (str, os.PathLike)) else beside
    if beside is not None and (run is None or second is None):
        raise UsageError("two runs stand side by side", hint="`cnnspec runs` lists the runs")
    parts = page_parts(network, run, second, Shown(weights, images, data, values, live, report))
    page = to_page(network, purpose, parts)
    if live:
        from cnnspec.pages.in_browser import with_engine

        page = with_engine(page)
    return page.encode()


@public()
def draw_diff(
    before: Spec | PathLike,
    after: Spec | PathLike,
    output: PathLike,
    *,
    purpose: Purpose = "inference",
    names: tuple[str, str] | None = None,
) -> Path:
    """Write a page of two networks side by side, with the layers that differ marked in both.

    `names` are what they are called there; by default their own. Raises as `load`, and UsageError for another ending
    than .html.
    """
    from cnnspec.api.tools import diff
    from cnnspec.drawing.page import data_of, with_data

    path = expand_user(output)
    if path.suffix.lower() != f".{PAGE}":
        raise UsageError(f"{path} is to be a page", hint=f"give it the ending .{PAGE}")
    both = [spec if isinstance(spec, Spec) else load(spec, purpose=purpose) for spec in (before, after)]
    difference = diff(both[0], both[1], purpose=purpose)
    data = {
        "difference": difference.to_dict(),
        "names": list(names or (difference.before, difference.after)),
        "networks": [data_of(spec, purpose) for spec in both],
    }
    rewrite(path, with_data(data).encode())
    return path


@needs_extra("onnx")
@public(Predictor="cnnspec.runtime.predictor")
def draw_why(
    model: Predictor | PathLike,
    images: tuple[str, ...],
    output: PathLike,
    *,
    classes: Count = 2,
    on_error: Callable[[CnnspecError], None] | None = None,
    report: Callable[[str], None] = lambda text: None,
) -> Path:
    """Draw why an exported network answers as it does: a PNG with maps for the most probable `classes` of each image.

    `images` are files, folders and patterns, of which the first 25 are drawn. Grad-CAM needs torch; without it there is
    occlusion alone, which `report` is told. A bad image goes to `on_error`; without it, it raises.
    Raises UsageError where there are no images, and for another ending than .png.
    """
    path = expand_user(output)
    if path.suffix.lower() != ".png":
        raise UsageError(f"{path} is to be a picture", hint="give it the ending .png")
    from cnnspec.pages.answers import answers, sheet
    from cnnspec.runtime.predictor import Predictor
    from cnnspec.runtime.sources import expand

    def refuse(error: CnnspecError) -> None:
        raise error

    sources = expand(images)
    predictor = model if isinstance(model, Predictor) else Predictor(model)
    found = answers(predictor, sources, classes=classes, on_error=on_error or refuse, report=report)
    if not found:
        raise UsageError("there is no image that can be read, and so nothing to draw")
    rewrite(path, sheet(found))
    return path


def _run_named(name: PathLike) -> Run | None:
    """The run of this folder or name; None where it is no run's."""
    from cnnspec.training.run_folder import open_run

    folder = find_run(name, or_spec=True)
    return None if folder is None else open_run(folder)
