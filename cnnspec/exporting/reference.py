"""The two sides of a comparison: torch, and onnxruntime."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from cnnspec.errors import CnnspecError, MissingExtraError
from cnnspec.graph import Graph
from cnnspec.runtime.session import first_line, open_session

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cnnspec.exporting.subject import Weights

    Run = Callable[[NDArray[Any]], Sequence[NDArray[Any]]]

__all__ = ["onnx_run", "scaled_statistics", "torch_run"]


def torch_run(graph: Graph, weights: Weights, *, softmax: bool = False) -> Run:
    """The network in torch, on the CPU, in float32: the outputs, in their order, for a batch.

    Raises MissingExtraError without torch, and CnnspecError where the weights are of another network.
    """
    module, torch = _module(graph, weights)

    def run(inputs: NDArray[Any]) -> list[NDArray[Any]]:
        with torch.inference_mode():
            found = module(torch.from_numpy(inputs))
            listed = [found[name] for name in graph.outputs] if isinstance(found, dict) else [found]
            return [(value.softmax(1) if softmax else value).numpy() for value in listed]

    return run


def scaled_statistics(graph: Graph, weights: Weights, inputs: NDArray[Any]) -> dict[str, NDArray[Any]]:
    """The same weights with the running means and variances scaled to the signal that `inputs` cause.

    Behind every batch norm the values then have a mean square of about 1, however deep it stands; which channel has
    which share of it stays as it was given. Layer by layer, as Mishkin and Matas 2016, All you need is a good init.
    Without this the signal of a deep network grows or fades until rounding is all that is left of it.
    """
    module, torch = _module(graph, weights)

    def scale(norm: Any, args: tuple[Any, ...]) -> None:
        power = args[0].square().mean()
        if power > 0:
            norm.running_mean.mul_(power.sqrt())
            norm.running_var.mul_(power)

    for part in module.modules():
        if getattr(part, "running_mean", None) is not None:
            part.register_forward_pre_hook(scale)
    with torch.no_grad():
        module(torch.from_numpy(inputs))
    return {name: value.numpy() for name, value in module.state_dict().items()}


def _module(graph: Graph, weights: Weights) -> tuple[Any, Any]:
    """The network in torch with a copy of these weights, ready to run, and torch."""
    try:
        import torch
    except ImportError:
        raise MissingExtraError("torch", "train") from None
    from cnnspec.torch_backend import build_module
    from cnnspec.torch_backend.weights import check_state

    module = build_module(graph, device="meta").eval()
    wanted = graph.state_shapes()
    state = {name: torch.from_numpy(array.copy()) for name, array in weights.items() if name in wanted}
    for name in wanted:  # which files from before torch 0.4.1 lack
        if name.endswith("num_batches_tracked"):
            state.setdefault(name, torch.zeros((), dtype=torch.long))
    check_state(module, state, "the weights")
    module.load_state_dict(state, assign=True)
    return module, torch


def onnx_run(model: bytes, shown: str, *, threads: int | None = None) -> Run:
    """A model in onnxruntime on the CPU: the outputs, in their order, for a batch.

    Raises CnnspecError where it cannot be loaded, and then where it cannot be run.
    """
    session = open_session(model, shown, device="cpu", threads=threads, arena=False)
    name = session.get_inputs()[0].name

    def run(inputs: NDArray[Any]) -> list[NDArray[Any]]:
        try:
            return list(session.run(None, {name: inputs}))
        except Exception as error:  # onnxruntime's errors have no common base below Exception
            raise CnnspecError(f"onnxruntime cannot run {shown}: {first_line(error)}") from None

    return run
