"""The device, the threads, and what there is to say about the machine."""

from __future__ import annotations

import copy
import os
import platform
import sys
import time
from typing import Any, Final

import torch
from torch import nn

from cnnspec.errors import UsageError

__all__ = ["describe", "image_memory", "pick_device", "pick_threads"]

_TRIAL: Final = 0.15  # seconds for which a number of threads is tried


def pick_device(name: str) -> torch.device:
    """The device called `name`; `auto` is CUDA, then MPS, then the CPU. Raises UsageError where it is not there."""
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        device = torch.device("meta")
    if device.type not in ("cpu", "cuda", "mps"):
        raise UsageError(f"`{name}` is no device to train on", hint="there are: auto, cpu, cuda, cuda:0, mps")
    if device.type == "cuda":
        count = torch.cuda.device_count()
        if count == 0:
            raise UsageError("this machine has no CUDA device that torch can use", hint="`--device cpu`")
        index = int(os.environ.get("LOCAL_RANK", "0")) if device.index is None else device.index
        if index >= count:
            raise UsageError(f"there is no device cuda:{index}: the machine has {count}")
        return torch.device("cuda", index)
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise UsageError("torch cannot use MPS on this machine", hint="`--device cpu`")
    return device


def image_memory(device: torch.device) -> int:
    """How many bytes of images may be kept on the device: half of what is free there."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0] // 2
    try:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
    except (ValueError, OSError, AttributeError):
        return 2**30


def pick_threads(model: nn.Module, shape: tuple[int, ...], batch_size: int) -> int:
    """The number of threads with which a training step on the CPU is fastest, by trying: 1, half, and all cores.

    Two threads on two busy cores can be ten times slower than one, so this is measured and not assumed.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    state = torch.random.get_rng_state()
    trial = copy.deepcopy(model)
    batch = torch.rand(batch_size, *shape)
    steps = {}
    for threads in sorted({1, max(1, cores // 2), cores}):
        torch.set_num_threads(threads)
        _step(trial, batch)
        started = time.perf_counter()
        count = 0
        while time.perf_counter() - started < _TRIAL or count < 2:
            _step(trial, batch)
            count += 1
        steps[threads] = (time.perf_counter() - started) / count
    torch.random.set_rng_state(state)
    return min(steps, key=lambda threads: steps[threads] * (1 + 0.02 * threads / cores))  # fewer where it is no slower


def _step(model: nn.Module, batch: torch.Tensor) -> None:
    found = model(batch)
    outputs = found.values() if isinstance(found, dict) else [found]
    sum(output.sum() for output in outputs).backward()
    model.zero_grad(set_to_none=True)


def describe(device: torch.device, threads: int) -> dict[str, Any]:
    """What to note about the machine and the versions, so that figures can be traced."""
    from cnnspec.version import __version__

    return {
        "cnnspec": __version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "platform": platform.platform(),
        "cores": os.cpu_count(),
        "threads": threads,
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else str(device),
        "command": sys.argv,
        "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
    }
