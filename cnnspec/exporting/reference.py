"""The two sides of a comparison: torch, and onnxruntime."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cnnspec.errors import CnnspecError
from cnnspec.exporting.in_torch import torch_run
from cnnspec.graph import Graph
from cnnspec.onnx_backend.verify import TOLERANCES, Comparison
from cnnspec.runtime.session import first_line, open_session

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from cnnspec.exporting.subject import Weights
    from cnnspec.onnx_backend.verify import Forward, Pixels

__all__ = ["beside_torch", "onnx_run"]


def beside_torch(
    model: bytes, shown: str, graph: Graph, weights: Weights, *, half: bool, bytes_last: bool, softmax: bool
) -> Comparison:
    """A model beside the network with these weights in torch. Raises as `onnx_run` and `torch_run`.

    `half`, `bytes_last` and `softmax` say of the model that it computes in float16, that it takes bytes `(N, H, W, C)`,
    and that it gives probabilities where the network gives scores.
    """
    return Comparison(
        onnx_run(model, shown),
        torch_run(graph, weights, softmax=softmax),
        graph,
        tolerance=TOLERANCES["fp16" if half else "fp32"],
        bytes_last=bytes_last,
    )


def onnx_run(model: bytes, shown: str) -> Forward:
    """A model in onnxruntime on the CPU: the outputs, in their order, for a batch.

    Raises CnnspecError where it cannot be loaded, and then where it cannot be run.
    """
    session = open_session(model, shown, device="cpu", arena=False)
    name = session.get_inputs()[0].name

    def run(inputs: NDArray[np.float32] | Pixels) -> list[NDArray[np.float32]]:
        try:
            return list(session.run(None, {name: inputs}))
        except Exception as error:  # onnxruntime's errors have no common base below Exception
            raise CnnspecError(f"onnxruntime cannot run {shown}: {first_line(error)}") from None

    return run
