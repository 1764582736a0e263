"""A network that runs in its own page: its model, how pixels become its input there, and the engine that runs it."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from cnnspec.drawing.page import built
from cnnspec.errors import CnnspecError, UsageError, needs_extra
from cnnspec.images import scale_and_shift
from cnnspec.ops import show_shape
from cnnspec.pages.packed import deflated

if TYPE_CHECKING:
    from cnnspec.exporting.subject import Subject
    from cnnspec.graph import Graph

__all__ = ["check_live", "in_browser", "with_engine"]

ENGINE: Final = Path(__file__).parents[1] / "web" / "onnxruntime.wasm.xz"
MOST_WEIGHTS: Final = 2**25  # 134 MB, and a third more as text
MOST_VALUES: Final = 2**26  # of all layers together, which the page has in memory at once: 268 MB


def check_live(graph: Graph) -> None:
    """Raise UsageError where a network reads no images, or is too large to run in a page."""
    shape = graph.input_shape
    if len(shape) != 3 or shape[0] not in (1, 3):
        raise UsageError(
            f"a page that is drawn on is for networks that read images, 1xHxW or 3xHxW, and this reads"
            f" {show_shape(shape)}",
            hint="without `--live` the page shows it on noise",
        )
    weights = sum(map(prod, graph.state_shapes().values()))
    values = sum(prod(node.shape) for node in graph)
    for what, count, most in (("weights", weights, MOST_WEIGHTS), ("values of its layers", values, MOST_VALUES)):
        if count > most:
            raise UsageError(
                f"the network is too large to run in a page: {count:,} {what}, of at most {most:,}",
                hint="`cnnspec serve` with its exported file answers drawings and images",
            )


def in_browser(subject: Subject, layers: Sequence[int]) -> dict[str, Any]:
    """What a page needs to work out these layers itself, given by their numbers, as plain data.

    It is the model that their recorded values come from where there is no torch, for one image at a time.
    Raises as `check_live`, MissingExtraError without onnx, and CnnspecError for weights of another network.
    """
    graph = subject.network.graph.network("inference")
    check_live(graph)
    with needs_extra("onnx"):
        from cnnspec.onnx_backend.lower import lower
    from cnnspec.onnx_backend.options import Lowering

    names = tuple(node.name for number, node in enumerate(graph) if number in set(layers))
    model = lower(replace(graph, outputs=names, aux_outputs=()), subject.weights, Lowering(batch=1))
    scale, shift = scale_and_shift(graph.mean, graph.std, graph.input_shape[0])
    intake = graph.intake
    return {
        "intake": {"fit": intake.fit, "resize": intake.resize, "scale": scale.tolist(), "shift": shift.tolist()},
        "layers": list(layers),
        "model": deflated(model.SerializeToString()),
    }


def with_engine(page: str) -> str:
    """A page whose data have the network itself, with what runs it there: onnxruntime, and a pad to draw on.

    Raises CnnspecError where this Python cannot unpack the engine.
    """
    part = built("pad")
    style, script = (part.partition(f"<{tag}>")[2].partition(f"</{tag}>")[0] for tag in ("style", "script"))
    page = page.replace("script-src ", f"script-src 'wasm-unsafe-eval' {_allowed(script)} ", 1)
    page = page.replace("style-src ", f"style-src {_allowed(style)} ", 1)
    head, end, rest = page.rpartition("</body>")
    return f'{head}  <script type="text/plain" id="engine">{_engine()}</script>\n    {part}  {end}{rest}'


def _allowed(text: str) -> str:
    """What a page's policy says to allow a script or a style."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


@cache
def _engine() -> str:
    """onnxruntime for browsers as text. Its file is two fifths smaller, packed in a way that browsers do not know."""
    try:
        import lzma
    except ImportError:
        raise CnnspecError("this Python was built without lzma, in which the engine of the page is packed") from None
    return deflated(lzma.decompress(ENGINE.read_bytes()))
