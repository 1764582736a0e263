"""Reading and writing weights, strictly."""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Final
from zipfile import ZipFile, is_zipfile

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from cnnspec.errors import CnnspecError, UsageError
from cnnspec.files import check_inflation, rewrite
from cnnspec.graph import unwrapped

__all__ = ["check_state", "kind_fault", "load_weights", "read_weights", "save_weights", "weights_bytes"]

SHOWN = 8  # names listed in a message
LONGEST_NAME = 100  # letters of one: a file may hold any


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
    if path.suffix.lower() in _SPECS:
        raise UsageError(f"{path} is a spec by its name, and holds no weights", hint=_WEIGHTS)
    try:
        if path.suffix == ".safetensors":
            return dict(load_file(path))
        _check_unpacked(path)
        with warnings.catch_warnings(action="ignore"):  # of TorchScript: it is told below
            state: object = torch.load(path, map_location="cpu", weights_only=True)
    except (SafetensorError, OSError) as error:
        raise CnnspecError(f"{path} cannot be read as weights: {str(error).splitlines()[0]:.200}") from error
    except CnnspecError:
        raise
    except Exception as error:  # torch's reader raises whatever a damaged file makes it stumble over
        raise _unreadable(path, error) from error
    for key in ("state_dict", "model"):
        if isinstance(state, dict) and isinstance(state.get(key), dict):
            state = state[key]
    if not isinstance(state, dict) or not all(
        isinstance(name, str) and isinstance(value, Tensor) for name, value in state.items()
    ):
        raise CnnspecError(f"{path} holds no state_dict", hint=_SAVE)
    return dict(state)  # a plain dict, without torch's `_metadata`


def _check_unpacked(path: Path) -> None:
    """Raise CnnspecError for an archive that unpacks to far more than it holds: `torch.save` packs nothing."""
    if is_zipfile(path):
        with ZipFile(path) as archive:
            unpacked = sum(member.file_size for member in archive.infolist())
        check_inflation(os.fspath(path), path.stat().st_size, unpacked)


_SPECS: Final = (".yaml", ".yml", ".json")
_WEIGHTS: Final = "weights are those of a run, RUN or RUN/last.safetensors, or a file of safetensors or `torch.save`"
_SAVE: Final = "save its `state_dict()`: `torch.save(model.state_dict(), path)`"


def _unreadable(path: Path, error: Exception) -> CnnspecError:
    """What torch refuses to read: a whole model, or what is no file of torch's, of which it says nothing that helps."""
    text = str(error)
    if "TorchScript" in text:
        return CnnspecError(f"{path} cannot be read as weights: it is a TorchScript model", hint=_SAVE)
    if held := re.search(r"GLOBAL ([\w.]+)", text):
        reason = f"it holds a pickled `{held[1]:.100}`, and only tensors are read"
        return CnnspecError(f"{path} cannot be read as weights: {reason}", hint=_SAVE)
    return CnnspecError(f"{path} cannot be read as weights: it is no file that `torch.save` wrote, or it is damaged")


def check_state(module: nn.Module, state: Mapping[str, Tensor], source: str, *, can_reset: bool = False) -> None:
    """Raise CnnspecError that names every tensor missing from `state`, left over, of another kind or another shape.

    With `can_reset` it says how the layers that do not fit start fresh, and how those left over are left out.
    The counters `num_batches_tracked`, which files from before torch 0.4.1 lack, may be missing.
    """
    wanted = module.state_dict()
    missing = [name for name in wanted if name not in state and not name.endswith("num_batches_tracked")]
    left_over = [name for name in state if name not in wanted]
    both = {name: (state[name], tensor) for name, tensor in wanted.items() if name in state}
    kinds = {name: kind for name, pair in both.items() if (kind := kind_fault(*pair))}
    wrong = [
        f"{name} ({_size(given)}, not {_size(tensor)})"
        for name, (given, tensor) in both.items()
        if name not in kinds and given.shape != tensor.shape
    ]
    unlike = [f"{name} ({kind})" for name, kind in kinds.items()]
    found = ("missing", missing), ("left over", left_over), ("of another kind", unlike), ("of another shape", wrong)
    faults = [
        f"{len(names)} {what}: {', '.join(f'{name:.{LONGEST_NAME}}' for name in names[:SHOWN])}"
        + ", …" * (len(names) > SHOWN)
        for what, names in found
        if names
    ]
    if faults:
        hint = None
        layers = list(dict.fromkeys(name.rpartition(".")[0] for name in (*missing, *(one.split()[0] for one in wrong))))
        others = list(dict.fromkeys(name.rpartition(".")[0] for name in left_over))
        if can_reset and all(layers) and all(others) and len(layers) + len(others) < min(SHOWN, len(wanted) // 2):
            hint = " and ".join(
                f"`--{option} {','.join(names)}` lets {'that layer' if len(names) == 1 else 'those layers'} {what}"
                for option, names, what in (("reset", layers, "start fresh"), ("leave-out", others, "be left over"))
                if names
            )
        raise CnnspecError(f"the weights in {source} do not fit the network; {'; '.join(faults)}", hint=hint)


def load_weights(module: nn.Module, path: str | os.PathLike[str]) -> None:
    """Load a file of weights into a module, strictly. Raises CnnspecError, and then changes nothing."""
    state = unwrapped(read_weights(path), module.state_dict())
    check_state(module, state, os.fspath(path))
    module.load_state_dict({**_counters(module, state), **state}, assign=_is_meta(module))


def weights_bytes(state: nn.Module | Mapping[str, Tensor]) -> bytes:
    """A module's weights in safetensors' format: equal weights give equal bytes."""
    tensors = state.state_dict() if isinstance(state, nn.Module) else state
    plain = {name: tensor.detach().contiguous().cpu() for name, tensor in tensors.items()}
    data: bytes = save(plain, {"format": "pt"})  # of several notes the order would be random
    return data


def save_weights(state: nn.Module | Mapping[str, Tensor], path: str | os.PathLike[str]) -> None:
    """Write a module's weights as safetensors, whole or not at all. Raises CnnspecError where that cannot be."""
    rewrite(path, weights_bytes(state))


def _counters(module: nn.Module, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    names = (name for name in module.state_dict() if name.endswith("num_batches_tracked") and name not in state)
    return {name: torch.zeros((), dtype=torch.long) for name in names}


def _is_meta(module: nn.Module) -> bool:
    return any(tensor.is_meta for tensor in module.state_dict().values())


def kind_fault(tensor: Tensor, wanted: Tensor) -> str | None:
    """What is wrong with the kind of a tensor: `load_state_dict` casts any numbers, and takes no others."""
    if tensor.is_nested or tensor.layout != torch.strided:
        return "nested" if tensor.is_nested else "sparse"
    if tensor.is_quantized or tensor.is_meta:
        return "quantised" if tensor.is_quantized else "without values"
    if wanted.is_floating_point() and not tensor.is_floating_point():
        return str(tensor.dtype).removeprefix("torch.")
    return None


def _size(tensor: Tensor) -> str:
    return "x".join(map(str, tensor.shape)) or "a single number"
