"""Reading and writing weights, strictly."""

from __future__ import annotations

import os
import pickle
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from cnnspec.errors import CnnspecError, UsageError
from cnnspec.files import write_atomic

__all__ = ["check_state", "load_weights", "read_weights", "save_weights", "weights_bytes"]

SHOWN = 8  # names listed in a message


def read_weights(path: str | os.PathLike[str]) -> dict[str, Tensor]:
    """The tensors of a file, on the CPU: safetensors by its suffix, otherwise what `torch.save` wrote.

    A torch file is read with `weights_only`, so that it cannot run code; where the state_dict lies under
    `state_dict` or `model`, as training scripts write it, it is taken from there.
    Raises UsageError where there is no such file, and CnnspecError where it cannot be read as weights.
    """
    path = Path(path)
    if not path.is_file():
        what = f"{path} is no regular file, as weights are" if path.exists() else f"there is no file of weights {path}"
        raise UsageError(what)
    try:
        if path.suffix == ".safetensors":
            return dict(load_file(path))
        state: object = torch.load(path, map_location="cpu", weights_only=True)
    except (SafetensorError, pickle.UnpicklingError, RuntimeError, EOFError, ValueError, KeyError, OSError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise CnnspecError(f"{path} cannot be read as weights: {reason:.200}") from error
    for key in ("state_dict", "model"):
        if isinstance(state, dict) and isinstance(state.get(key), dict):
            state = state[key]
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise CnnspecError(f"{path} holds no state_dict", hint="save it with `torch.save(model.state_dict(), path)`")
    return dict(state)  # a plain dict, without torch's `_metadata`


def check_state(module: nn.Module, state: Mapping[str, Tensor], source: str) -> None:
    """Raise CnnspecError that names every tensor missing from `state`, left over in it, or of another shape.

    The counters `num_batches_tracked`, which files from before torch 0.4.1 lack, may be missing.
    """
    wanted = module.state_dict()
    missing = [name for name in wanted if name not in state and not name.endswith("num_batches_tracked")]
    left_over = [name for name in state if name not in wanted]
    wrong = [
        f"{name} ({_size(state[name])}, not {_size(tensor)})"
        for name, tensor in wanted.items()
        if name in state and state[name].shape != tensor.shape
    ]
    faults = [
        f"{len(names)} {what}: {', '.join(names[:SHOWN])}{', …' if len(names) > SHOWN else ''}"
        for what, names in (("missing", missing), ("left over", left_over), ("of another shape", wrong))
        if names
    ]
    if faults:
        raise CnnspecError(f"the weights in {source} do not fit the network; {'; '.join(faults)}")


def load_weights(module: nn.Module, path: str | os.PathLike[str]) -> None:
    """Load a file of weights into a module, strictly. Raises CnnspecError, and then changes nothing."""
    state = read_weights(path)
    check_state(module, state, os.fspath(path))
    module.load_state_dict({**_counters(module, state), **state}, assign=_is_meta(module))


def weights_bytes(state: nn.Module | Mapping[str, Tensor]) -> bytes:
    """A module's weights in safetensors' format: equal weights give equal bytes."""
    tensors = state.state_dict() if isinstance(state, nn.Module) else state
    plain = {name: tensor.detach().contiguous().cpu() for name, tensor in tensors.items()}
    data: bytes = save(plain, {"format": "pt"})  # of several notes the order would be random
    return data


def save_weights(state: nn.Module | Mapping[str, Tensor], path: str | os.PathLike[str]) -> None:
    """Write a module's weights as safetensors, atomically. Raises CnnspecError where they cannot be written."""
    write_atomic(path, weights_bytes(state))


def _counters(module: nn.Module, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    names = (name for name in module.state_dict() if name.endswith("num_batches_tracked") and name not in state)
    return {name: torch.zeros((), dtype=torch.long) for name in names}


def _is_meta(module: nn.Module) -> bool:
    return any(tensor.is_meta for tensor in module.state_dict().values())


def _size(tensor: Tensor) -> str:
    return "x".join(map(str, tensor.shape)) or "a single number"
