"""The ground truth of memory: what torch's autograd keeps, and which tensors live, on a run of the built module."""

from __future__ import annotations

import weakref
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten

from cnnspec.graph import Graph
from cnnspec.torch_backend import build_module


def kept_by_autograd(graph: Graph, batch: int) -> int:
    """Bytes of distinct storages that saved-tensor hooks see, without parameters and buffers; on the meta device."""
    module = build_module(graph, device="meta").train()
    own = {tensor.untyped_storage()._cdata for tensor in [*module.parameters(), *module.buffers()]}
    x = torch.empty(batch, *graph.input_shape, device="meta")
    seen: dict[int, tuple[torch.Tensor, int]] = {}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage._cdata not in own:
            seen[storage._cdata] = (tensor, storage.nbytes())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        output = module(x)
    del output
    return sum(size for _, size in seen.values())


class LiveTensors(TorchDispatchMode):
    """Sums the bytes of the storages that operators make and that are still alive."""

    def __init__(self, known: set[int]) -> None:
        super().__init__()
        self.known, self.alive, self.now, self.peak = known, dict[int, int](), 0, 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
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

    def _drop(self, key: int) -> None:
        self.now -= self.alive.pop(key, 0)


def peak_of_live_tensors(graph: Graph, batch: int) -> int:
    """Bytes of the tensors alive at the worst moment of an inference run on the CPU, the input included."""
    module = build_module(graph).eval()
    own = {tensor.untyped_storage()._cdata for tensor in [*module.parameters(), *module.buffers()]}
    x = torch.zeros(batch, *graph.input_shape)
    tracker = LiveTensors(own | {x.untyped_storage()._cdata})
    with torch.no_grad(), tracker:
        module(x)
    return tracker.peak + x.untyped_storage().nbytes()
