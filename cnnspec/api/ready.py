"""A network with weights, ready to predict at once: exported and opened in one go."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from cnnspec.api.networks import PathLike
from cnnspec.errors import needs_extra
from cnnspec.language import Network
from cnnspec.ops.base import Count
from cnnspec.public import public

if TYPE_CHECKING:
    from cnnspec.runtime.predictor import Predictor

__all__ = ["ready"]


@needs_extra("onnx")
@public()
def ready(
    network: Network | PathLike,
    weights: PathLike,
    *,
    device: str = "auto",
    allow_fallback: bool = False,
    threads: Count | None = None,
    batch_size: Count | None = None,
    invert: bool = False,
    max_pixels: int | None = None,
    report: Callable[[str], None] = lambda text: None,
) -> Predictor:
    """A spec with weights as a Predictor, which takes the other arguments. Needs the extras `onnx` and `train`.

    `weights` are those of `export`, as `torchvision:IMAGENET1K_V2`. The file that `export` writes is opened and taken
    away again; it is not compared with torch, which takes longer than many images do. Raises as `export` and as
    Predictor.
    """
    from cnnspec.api.exports import export
    from cnnspec.runtime.predictor import Predictor
    from cnnspec.runtime.session import BATCH_SIZE

    with tempfile.TemporaryDirectory() as folder:
        made = export(network, Path(folder, "ready.onnx"), weights=weights, verify=False, report=report)
        predictor = Predictor(
            made.path, device=device, allow_fallback=allow_fallback, threads=threads,
            batch_size=BATCH_SIZE if batch_size is None else batch_size, invert=invert, max_pixels=max_pixels,
        )  # fmt: skip
    predictor.path = f"{made.name} with {made.weights}"
    return predictor
