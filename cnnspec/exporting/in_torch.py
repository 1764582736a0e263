"""A network with weights in torch, on the CPU. Nothing here needs onnx."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cnnspec.errors import MissingExtraError, needs_extra
from cnnspec.graph import Graph

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray
    from torch import nn

    from cnnspec.exporting.subject import Weights
    from cnnspec.onnx_backend.verify import Forward, Pixels

__all__ = ["scaled_statistics", "torch_module", "torch_run", "why_not_compared"]


def why_not_compared() -> MissingExtraError | None:
    """The error that a comparison with torch would raise where torch is not installed."""
    try:
        with needs_extra("train"):
            import torch  # noqa: F401
    except MissingExtraError as error:
        return error
    return None


def torch_run(graph: Graph, weights: Weights, *, softmax: bool = False) -> Forward:
    """The network in torch, on the CPU, in float32: the outputs, in their order, for a batch.

    Raises MissingExtraError without torch, and CnnspecError where the weights are of another network.
    """
    module = torch_module(graph, weights)
    import torch

    def run(inputs: NDArray[np.float32] | Pixels) -> list[NDArray[np.float32]]:
        with torch.inference_mode():
            outputs = module(torch.from_numpy(inputs))
            listed = [outputs[name] for name in graph.outputs] if isinstance(outputs, dict) else [outputs]
            return [(value.softmax(1) if softmax else value).numpy() for value in listed]

    return run


def scaled_statistics(graph: Graph, weights: Weights, inputs: NDArray[np.float32]) -> Weights:
    """The same weights with the running means and variances scaled to the signal that `inputs` cause.

    Behind every batch norm the values then have a mean square of about 1, however deep it stands; which channel has
    which share of it stays as it was given. Layer by layer, as Mishkin and Matas 2016, All you need is a good init.
    Without this the signal of a deep network grows or fades until rounding is all that is left of it.
    """
    module = torch_module(graph, weights)
    import torch

    def scale(norm: nn.Module, args: tuple[torch.Tensor, ...]) -> None:
        power = args[0].square().mean()
        if power > 0:
            norm.get_buffer("running_mean").mul_(power.sqrt())
            norm.get_buffer("running_var").mul_(power)

    for part in module.modules():
        if getattr(part, "running_mean", None) is not None:
            part.register_forward_pre_hook(scale)
    with torch.no_grad():
        module(torch.from_numpy(inputs))
    return {name: value.numpy() for name, value in module.state_dict().items()}


def torch_module(graph: Graph, weights: Weights, *, inplace: bool = True) -> nn.Module:
    """The network in torch with a copy of these weights, ready to run.

    Without `inplace` no layer writes over what the one before it gave, whatever the spec says.
    """
    with needs_extra("train"):
        import torch
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
    for part in () if inplace else module.modules():
        if getattr(part, "inplace", False):
            part.inplace = False  # type: ignore[assignment]
    return module
