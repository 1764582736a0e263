"""What can be said of a model that there is nothing to compare with: it runs, at every batch, twice the same."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
from onnx import ModelProto, TensorProto

from cnnspec.errors import CnnspecError
from cnnspec.exporting.proof import batches_for
from cnnspec.exporting.reference import onnx_run
from cnnspec.graph import Graph
from cnnspec.onnx_backend.verify import BATCHES, Check, unchecked
from cnnspec.ops import show_shape

if TYPE_CHECKING:
    from cnnspec.onnx_backend.metadata import Metadata
    from cnnspec.onnx_backend.verify import Outputs

__all__ = ["check_rows"]

ROWS: Final = 1e-4  # how much one image's result may depend on the others in its batch


def check_rows(model: ModelProto, data: bytes, shown: str, metadata: Metadata | None, graph: Graph | None) -> Check:
    """Whether a model gives every image of a batch what it gives it alone, finite numbers, and the same ones again."""
    name = "batches"
    kind = model.graph.input[0].type.tensor_type
    first, *inner = [dim.dim_value for dim in kind.shape.dim] or [0]
    if metadata is not None and metadata.dynamic_size:
        inner = list(metadata.image_shape)
    initial = {tensor.name for tensor in model.graph.initializer}
    if len([given for given in model.graph.input if given.name not in initial]) != 1 or not all(inner):
        return unchecked(name, "not run: it has several inputs, or sizes that only its maker knows")
    if kind.elem_type not in (TensorProto.FLOAT, TensorProto.UINT8):
        return unchecked(name, "not run: it takes neither float32 nor bytes")
    batches = batches_for(graph, first or None)[0] if graph is not None else (first,) if first else BATCHES
    run = onnx_run(data, shown)
    inputs = np.random.default_rng(0).integers(0, 256, (batches[-1], *inner)).astype(np.uint8)
    whole = inputs if kind.elem_type == TensorProto.UINT8 else (inputs / np.float32(128) - 1).astype(np.float32)
    try:
        together, again = run(whole), run(whole)
        worst = max((_largest(run(whole[:count]), together, count) for count in batches[:-1]), default=0.0)
    except CnnspecError as error:
        return Check(name, False, error.message)
    if not all(np.isfinite(value).all() for value in together):
        return Check(name, False, "the outputs are not finite")
    if not all(np.array_equal(one, two) for one, two in zip(together, again, strict=True)):
        return Check(name, False, "it gives other numbers for the same images")
    shapes = ", ".join(show_shape(value.shape) for value in together)
    detail = f"runs at batches {', '.join(map(str, batches))}, twice the same, and gives {shapes}"
    return Check(name, worst <= ROWS, f"{detail}; rows differ by {worst:.1e} of the largest magnitude", worst)


def _largest(part: Outputs, whole: Outputs, count: int) -> float:
    pairs = [(one, two[:count]) for one, two in zip(part, whole, strict=True)]
    return max(float(np.abs(one - two).max() / (np.abs(two).max() or 1)) for one, two in pairs)
