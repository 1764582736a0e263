"""A CUDA graph in miniature, on the CPU: the operations of a step, recorded once, and replayed on the same tensors.

As on CUDA, Python does not run again: what a step has read from Python while it was recorded (a rate as a number, the
augmentation of one batch) stays what it was, and what it has put in the place of a tensor is not seen.
"""

from __future__ import annotations

from typing import Any, Final

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from cnnspec.training.learner import Steps

__all__ = ["EmulatedGraph", "EmulatedSteps", "Launches", "NotRecordable"]

WARM_UP: Final = 3  # calls as they are before one is recorded, as with CUDA graphs
_WAITS: Final = {torch.Tag.data_dependent_output, torch.Tag.dynamic_output_shape}


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
        if _WAITS & set(func.tags):
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
                for old, new in zip(tensors(recorded), tensors(func(*args, **kwargs)), strict=True):
                    if storage(old) != storage(new):  # else it is a view or was written in place, and lies where it lay
                        old.copy_(new)


def tensors(values: Any) -> list[Tensor]:
    return [value for value in tree_leaves(values) if isinstance(value, Tensor)]


def storage(tensor: Tensor) -> int:
    return tensor.untyped_storage()._cdata


class EmulatedSteps:
    """Recorded steps, as `GraphedSteps` on CUDA: some as they are, then some recorded and replayed."""

    def __init__(self, steps: Steps, shape: tuple[int, int], warm_up: int = WARM_UP) -> None:
        self.steps, self.shape, self.warm_up = steps, shape, warm_up
        self.warm = self.replayed = 0
        self.graph: EmulatedGraph | None = None

    def __call__(self, rows: Tensor, numbers: Tensor | None, rates: Tensor) -> Tensor:
        if rows.shape != self.shape:
            return self.steps(rows, numbers, rates)
        if self.warm < self.warm_up:
            self.warm += 1
            return self.steps(rows, numbers, rates)
        if self.graph is None:
            self.rows, self.rates = rows.clone(), rates.clone()
            self.numbers = None if numbers is None else numbers.clone()
            with EmulatedGraph() as graph:
                self.losses = self.steps(self.rows, self.numbers, self.rates)
            self.graph = graph
        self.rows.copy_(rows)
        self.rates.copy_(rates)
        if self.numbers is not None and numbers is not None:
            self.numbers.copy_(numbers)
        self.graph.replay()
        self.replayed += 1
        return self.losses


class Launches(TorchDispatchMode):
    """While entered, counts what would launch a kernel: every operation but views and memory without a value."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []
        self.waits: list[str] = []  # operations that want a number from the device

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func._schema.name.removeprefix("aten::")
        views = any(value.alias_info is not None and not value.alias_info.is_write for value in func._schema.returns)
        if not views and "empty" not in name and name != "detach":
            self.names.append(name)
        if _WAITS & set(func.tags):
            self.waits.append(name)
        return func(*args, **(kwargs or {}))
