"""The ground truth of memory: what torch's autograd keeps, and which tensors live, on a run of the built module."""

from __future__ import annotations

import weakref
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten

from cnnspec.graph import Graph
from cnnspec.torch_backend import build_module

torch.set_num_threads(1)  # tensors are tiny: threads would only wait for each other

ADD = torch.ops.aten.add.Tensor
OPTIMIZERS = {
    "sgd": lambda params: torch.optim.SGD(params, 0.1),
    "sgd-momentum": lambda params: torch.optim.SGD(params, 0.1, momentum=0.9),
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
}


def autocast(precision: str) -> AbstractContextManager[object]:
    return nullcontext() if precision == "fp32" else torch.autocast("cpu", torch.bfloat16)


def kept_by_autograd(graph: Graph, batch: int, precision: str = "fp32") -> int:
    """Bytes of distinct storages that saved-tensor hooks see, without parameters and buffers.

    On the meta device, or on the CPU where autocast is to take part.
    """
    device = "meta" if precision == "fp32" else "cpu"
    module = build_module(graph, device=device).train()
    own = {tensor.untyped_storage()._cdata for tensor in [*module.parameters(), *module.buffers()]}
    x = torch.zeros(batch, *graph.input_shape, device=device)
    seen: dict[int, tuple[torch.Tensor, int]] = {}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage._cdata not in own:
            seen[storage._cdata] = (tensor, storage.nbytes())
        return tensor

    hooks = torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor)
    with autocast(precision), hooks:
        output = module(x)
    del output
    return sum(size for _, size in seen.values())


class LiveTensors(TorchDispatchMode):
    """Sums the bytes of the storages that operators make and that are still alive.

    Where any dispatch mode is on, torch adds out of place what it adds in place otherwise: second gradients of a tensor
    that nothing else holds, and the bias of a `linear` of several axes. Both are put right here;
    `test_second_gradients_are_added_as_without_the_tracker` holds the rule against the profiler.
    """

    def __init__(self, known: set[int], terms: set[int]) -> None:
        super().__init__()
        self.terms = terms  # the parameters that are added by a layer of their own, into a new tensor
        self.known, self.alive, self.now, self.peak = known, dict[int, int](), 0, 0
        self.backward = False
        self.sums: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = args[0].add_(args[1]) if func is ADD and self._in_place(*args) else func(*args, **(kwargs or {}))
        for tensor in tree_flatten(out)[0]:
            if isinstance(tensor, torch.Tensor):
                storage = tensor.untyped_storage()
                key = storage._cdata
                if key not in self.known and key not in self.alive:
                    self.alive[key] = storage.nbytes()
                    self.now += storage.nbytes()
                    weakref.finalize(storage, self._drop, key)
        self.peak = max(self.peak, self.now)
        return out

    def _in_place(self, first: torch.Tensor, second: Any) -> bool:
        if not isinstance(second, torch.Tensor):
            return False
        if not self.backward:
            own = second.untyped_storage()._cdata in self.terms
            return second.dim() == 1 and first.dim() > 2 and not own
        uses = torch._C._storage_Use_Count(first.untyped_storage()._cdata)
        alone = first._use_count() <= 4 and uses <= 2 and not first._is_view()  # this call's own among them
        self.sums.append("add_" if alone else "add")
        return alone

    def _drop(self, key: int) -> None:
        self.now -= self.alive.pop(key, 0)


def peak_of_live_tensors(graph: Graph, batch: int) -> int:
    """Bytes of the tensors alive at the worst moment of an inference run on the CPU, the input included."""
    module = build_module(graph).eval()
    own = {tensor.untyped_storage()._cdata for tensor in [*module.parameters(), *module.buffers()]}
    x = torch.zeros(batch, *graph.input_shape)
    tracker = LiveTensors(own | {x.untyped_storage()._cdata}, _terms(graph, module))
    with torch.no_grad(), tracker:
        module(x)
    return tracker.peak + x.untyped_storage().nbytes()


def _terms(graph: Graph, module: torch.nn.Module) -> set[int]:
    return {param.untyped_storage()._cdata for name, param in module.named_parameters() if name in graph.by_name}


def trained_names(graph: Graph) -> set[str]:
    return graph.ancestors(graph.outputs + graph.aux_outputs)


def step_of_live_tensors(
    graph: Graph, batch: int, *, optimizer: str = "sgd-momentum", precision: str = "fp32", device: str = "cpu"
) -> tuple[int, list[str]]:
    """Bytes alive at the worst moment of a real training step, and how second gradients were added.

    A step in the middle of training: the optimizer has its state, gradients are None. Everything that exists counts:
    parameters, buffers, state, the input, the labels.
    """
    module = build_module(graph, device=device).train()
    if any(isinstance(layer, torch.nn.ConvTranspose3d) for layer in module.modules()):
        torch.set_num_threads(2)  # with one, torch has another way through kernels of 1
    params = dict(module.named_parameters())
    live = trained_names(graph)
    update = OPTIMIZERS[optimizer](list(params.values())) if params else None
    if update is not None:
        for name, param in params.items():
            if name in live or name.rpartition(".")[0] in live:
                param.grad = torch.zeros_like(param)
        update.step()
        update.zero_grad(set_to_none=True)
    x = torch.zeros(batch, *graph.input_shape, device=device)
    shapes = [graph.shape_of(name) for name in graph.outputs + graph.aux_outputs]
    labels = [torch.zeros(batch, *shape[1:], dtype=torch.long, device=device) for shape in shapes]
    states = list(update.state.values()) if update is not None else []
    state = [value for each in states for value in each.values() if isinstance(value, torch.Tensor)]
    own = {
        tensor.untyped_storage()._cdata: tensor for tensor in [*params.values(), *module.buffers(), *state, x, *labels]
    }
    tracker = LiveTensors(set(own), _terms(graph, module))
    with tracker:
        with autocast(precision):
            losses = _losses(module(x), labels)
        tracker.backward = True
        torch.autograd.backward([loss for loss in losses if loss.requires_grad])
        tracker.backward = False
        if update is not None:
            update.step()
    torch.set_num_threads(1)
    return tracker.peak + sum(tensor.untyped_storage().nbytes() for tensor in own.values()), tracker.sums


def _losses(outputs: Any, labels: list[torch.Tensor]) -> list[torch.Tensor]:
    found = [outputs] if isinstance(outputs, torch.Tensor) else list(outputs.values())
    return [torch.nn.functional.cross_entropy(*pair) for pair in zip(found, labels, strict=True)]
