"""A CUDA graph in miniature, on the CPU: the operations of a step, recorded once, and replayed on the same tensors.

As on CUDA, Python does not run again: what a step has read from Python while it was recorded (a rate as a number, the
augmentation of one batch) stays what it was, and what it has put in the place of a tensor is not seen.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

__all__ = ["EmulatedGraph", "EmulatedStep", "NotRecordable"]

WARM_UP: Final = 3  # plain steps before one is recorded, as with CUDA graphs


class NotRecordable(RuntimeError):
    """A step has wanted a number from the device, which a recording cannot give."""


class EmulatedGraph(TorchDispatchMode):
    """While entered, notes every operation. At the end, state and random numbers are those from before."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[Any, tuple[Any, ...], dict[str, Any], Any]] = []
        self._made: set[int] = set()  # storages that came to be inside
        self._before: dict[int, tuple[Tensor, Tensor]] = {}  # of the others, with what they held
        self._random = torch.get_rng_state()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        tags = {torch.Tag.data_dependent_output, torch.Tag.dynamic_output_shape}
        if tags & set(func.tags):
            raise NotRecordable(f"{func} wants a number from the device")
        self._keep(tensors([args, kwargs]))
        result = func(*args, **kwargs)
        given = {storage(tensor) for tensor in tensors([args, kwargs])}
        self._made |= {storage(tensor) for tensor in tensors(result)} - given
        self.calls.append((func, args, kwargs, result))
        return result

    def _keep(self, given: list[Tensor]) -> None:
        """Note what tensors from outside hold. All of them: batch norm writes to some that its schema does not name."""
        for tensor in given:
            key = storage(tensor)
            if key not in self._made and key not in self._before:
                whole = torch.empty(0, dtype=tensor.dtype).set_(tensor.untyped_storage())
                self._before[key] = whole, whole.clone()

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)
        with torch.no_grad():
            for whole, was in self._before.values():
                whole.copy_(was)
        torch.set_rng_state(self._random)

    def replay(self) -> None:
        """The same operations on the same tensors, with the random numbers of now."""
        with torch._C._AutoDispatchBelowAutograd():
            for func, args, kwargs, recorded in self.calls:
                again = func(*args, **kwargs)
                aliases = [value.alias_info is not None for value in func._schema.returns]
                if any(aliases):
                    continue  # a view, or written in place: it lies where it lay
                for old, new in zip(tensors(recorded), tensors(again), strict=True):
                    old.copy_(new)


def tensors(values: Any) -> list[Tensor]:
    return [value for value in tree_leaves(values) if isinstance(value, Tensor)]


def storage(tensor: Tensor) -> int:
    return tensor.untyped_storage()._cdata


class EmulatedStep:
    """A recorded step, as `GraphedStep` on CUDA: some as they are, then one recorded and replayed."""

    def __init__(self, step: Callable[[Tensor, Tensor | None], Tensor], size: int) -> None:
        self.step, self.size = step, size
        self.rate = torch.zeros((), dtype=torch.float64)
        self.warm = self.replayed = 0
        self.graph: EmulatedGraph | None = None

    def __call__(self, rows: Tensor, numbers: Tensor | None) -> Tensor:
        if len(rows) != self.size:
            return self.step(rows, numbers)
        if self.warm < WARM_UP:
            self.warm += 1
            return self.step(rows, numbers)
        if self.graph is None:
            self.rows, self.numbers = rows.clone(), None if numbers is None else numbers.clone()
            with EmulatedGraph() as graph:
                self.loss = self.step(self.rows, self.numbers)
            self.graph = graph
        self.rows.copy_(rows)
        if self.numbers is not None and numbers is not None:
            self.numbers.copy_(numbers)
        self.graph.replay()
        self.replayed += 1
        return self.loss
