"""How long a network takes for one sample: the one figure that follows from no declaration."""

from __future__ import annotations

import statistics
from typing import Final

from cnnspec.errors import needs_extra
from cnnspec.language import Network

__all__ = ["check_measurable", "latency"]

SECONDS: Final = 0.25  # of measuring, for each network


@needs_extra("onnx")
def check_measurable() -> None:
    """Raise MissingExtraError where nothing can be measured here."""
    import onnx  # noqa: F401
    import onnxruntime  # noqa: F401


@needs_extra("onnx")
def latency(network: Network) -> float:
    """The median of the seconds for one sample, in onnxruntime on one thread of the CPU, with random weights."""
    import numpy as np

    from cnnspec.onnx_backend.initial import initial_weights
    from cnnspec.onnx_backend.lower import lower, select_outputs
    from cnnspec.runtime.bench import measure
    from cnnspec.runtime.session import open_session

    graph = select_outputs(network.graph)
    model = lower(graph, initial_weights(graph)).SerializeToString()
    session = open_session(model, network.name, device="cpu", threads=1)
    name = session.get_inputs()[0].name
    noise = np.random.default_rng(0).standard_normal((1, *graph.input_shape), np.float32)
    return statistics.median(measure(lambda inputs: session.run(None, {name: inputs}), noise, SECONDS))
