"""The two sides of a comparison: torch, and onnxruntime."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from cnnspec.errors import MissingExtraError
from cnnspec.graph import Graph
from cnnspec.runtime.session import open_session

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cnnspec.exporting.subject import Weights

    Run = Callable[[NDArray[Any]], Sequence[NDArray[Any]]]

__all__ = ["onnx_run", "torch_run"]


def torch_run(graph: Graph, weights: Weights, *, softmax: bool = False, double: bool = False) -> Run:
    """The network in torch, on the CPU, in float32 or float64: the outputs, in their order, for a batch.

    Raises MissingExtraError without torch, and CnnspecError where the weights are of another network.
    """
    try:
        import torch
    except ImportError:
        raise MissingExtraError("torch", "train") from None
    from cnnspec.torch_backend import build_module
    from cnnspec.torch_backend.weights import check_state

    module = build_module(graph).eval()
    wanted = graph.state_shapes()
    state = {name: torch.from_numpy(array.copy()) for name, array in weights.items() if name in wanted}
    for name in wanted:  # which files from before torch 0.4.1 lack
        if name.endswith("num_batches_tracked"):
            state.setdefault(name, torch.zeros((), dtype=torch.long))
    check_state(module, state, "the weights")
    module.load_state_dict(state)
    kind = torch.float64 if double else torch.float32
    module.to(kind)

    def run(inputs: NDArray[Any]) -> list[NDArray[Any]]:
        with torch.inference_mode():
            found = module(torch.from_numpy(inputs).to(kind))
            listed = [found[name] for name in graph.outputs] if isinstance(found, dict) else [found]
            return [(value.softmax(1) if softmax else value).numpy() for value in listed]

    return run


def onnx_run(model: bytes, shown: str, *, threads: int | None = None) -> Run:
    """A model in onnxruntime on the CPU: the outputs, in their order, for a batch."""
    session = open_session(model, shown, device="cpu", threads=threads, arena=False)
    name = session.get_inputs()[0].name

    def run(inputs: NDArray[Any]) -> list[NDArray[Any]]:
        return list(session.run(None, {name: inputs}))

    return run
