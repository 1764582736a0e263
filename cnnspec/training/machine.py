"""The threads and the memory layout that are fastest, and what there is to say about the machine."""

from __future__ import annotations

import copy
import ctypes
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable
from typing import Final

import torch
from torch import nn

from cnnspec.cores import usable_cores
from cnnspec.training.config import Precision
from cnnspec.training.device import arithmetic, local_processes, synchronize
from cnnspec.training.process import random_state, set_random_state

__all__ = ["describe", "keep_freed_memory", "pick_layout", "pick_threads", "pick_workers"]

_TRIM_THRESHOLD: Final = -1  # bytes free at the heap's end, from which on they are given back
_MMAP_THRESHOLD: Final = -3  # bytes from which on an allocation is mapped by itself, and given back when freed
_TRIAL: Final = 0.2  # seconds for which a number of threads is tried, in so many turns:
_TURNS: Final = 3
_LONG: Final = 0.05  # seconds of a trial step at most, by taking fewer images, but for these:
_FEWEST: Final = 2  # batch norm wants a variance


def pick_threads(
    model: nn.Module,
    shape: tuple[int, ...],
    batch_size: int,
    threads: int | None,
    channels_last: bool | None,
    report: Callable[[str], None],
) -> tuple[int, bool]:
    """The number of threads and the memory layout with which a training step on the CPU is fastest, by trying.

    What is given is kept. Tried are 1, half, and all cores, and then channels last with the best of them. Two threads
    on two busy cores can be ten times slower than one, so this is measured and not assumed: threads by the usual step,
    which shows how busy the machine is, and the layout by the shortest one. Where a step of the whole batch takes
    long, fewer images are tried: a few seconds are all that a large network has to wait, and they are reported.
    """
    cores = usable_cores()
    state = torch.random.get_rng_state()
    count, long = _affordable(model, shape, batch_size)
    batch, turns = torch.rand(count, *shape), 1 if long else _TURNS
    if long:
        report("measuring which threads and memory layout are fastest (`--threads` and `--channels-last` give them)")
    if threads is None:
        counts = sorted({1, max(1, cores // 2), cores})
        tried = _seconds(model, batch, [(count, False) for count in counts], turns)
        usual = {count: statistics.median(tried[count, False]) for count in counts}
        threads = min(counts, key=lambda count: usual[count] * (1 + 0.02 * count / cores))  # fewer if no slower
    if channels_last is None:
        layouts = [(threads, False), (threads, True)] if len(shape) == 3 else []
        channels_last = bool(layouts) and _faster_last(_seconds(model, batch, layouts, turns), threads)
    torch.random.set_rng_state(state)
    return threads, channels_last


def pick_workers(given: int | None) -> int:
    """How many processes or threads decode images: what is given, or as many as there are cores for, from 2 to 8."""
    return max(2, min(8, usable_cores() // local_processes() - 1)) if given is None else given


def pick_layout(
    model: nn.Module, shape: tuple[int, ...], batch_size: int, device: torch.device, precision: Precision
) -> bool:
    """Whether a training step of whole batches on this device is faster with channels last, by trying."""
    if len(shape) != 3:
        return False
    threads, random = torch.get_num_threads(), random_state(device)
    batch = torch.rand(batch_size, *shape, device=device)

    def step(trial: nn.Module, x: torch.Tensor) -> None:
        with arithmetic(device, precision):
            _step(trial, x)
        synchronize(device)

    tried = _seconds(model, batch, [(threads, False), (threads, True)], _TURNS, step)
    set_random_state(random, device)
    return _faster_last(tried, threads)


def _faster_last(tried: dict[tuple[int, bool], list[float]], threads: int) -> bool:
    """Whether channels last is faster, by the shortest step and by more than chance."""
    return min(tried[threads, True]) < 0.97 * min(tried[threads, False])


def keep_freed_memory() -> None:
    """Let the C library keep what a step frees, so that the next one need not ask the system for it again.

    By its own rules glibc gives most of it back after every step, and each page that returns costs a fault: a fifth of
    the time of a step of LeNet-5. Elsewhere than with glibc this does nothing.
    """
    if platform.libc_ver()[0] == "glibc":
        library = ctypes.CDLL(None)
        if library.mallopt(_MMAP_THRESHOLD, 2**25):  # the largest that it takes
            library.mallopt(_TRIM_THRESHOLD, 2**30)


def _affordable(model: nn.Module, shape: tuple[int, ...], batch_size: int) -> tuple[int, bool]:
    """How many images, of the batch's, a trial step takes; and whether even the fewest take long.

    With one thread: more of them on busy cores would make any network look slow.
    """
    torch.set_num_threads(1)
    trial, count = copy.deepcopy(model), min(_FEWEST, batch_size)
    while True:
        batch = torch.rand(count, *shape)
        _step(trial, batch)
        started = time.perf_counter()
        _step(trial, batch)
        seconds = time.perf_counter() - started
        if count == batch_size or 2 * seconds > _LONG:
            return count, seconds > _LONG
        count = min(2 * count, batch_size)


def _seconds(
    model: nn.Module,
    batch: torch.Tensor,
    choices: list[tuple[int, bool]],
    turns: int,
    step: Callable[[nn.Module, torch.Tensor], None] | None = None,
) -> dict[tuple[int, bool], list[float]]:
    """How long training steps take with each number of threads and layout, in turns: the machine may be busy."""
    step = step or _step
    steps: dict[tuple[int, bool], list[float]] = {choice: [] for choice in choices}
    for _ in range(turns):
        for threads, channels_last in choices:
            torch.set_num_threads(threads)
            layout = torch.channels_last if channels_last else torch.contiguous_format
            trial = copy.deepcopy(model).to(memory_format=layout)
            x = batch.to(memory_format=layout)
            step(trial, x)
            began = now = time.perf_counter()
            while now - began < _TRIAL / _TURNS:
                started = now
                step(trial, x)
                now = time.perf_counter()
                steps[threads, channels_last].append(now - started)
    return steps


def _step(model: nn.Module, batch: torch.Tensor) -> None:
    result = model(batch)
    outputs = result.values() if isinstance(result, dict) else [result]
    sum(output.sum() for output in outputs).backward()
    model.zero_grad(set_to_none=True)


def describe(device: torch.device, threads: int) -> dict[str, object]:
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
        "cuda": torch.version.cuda if device.type == "cuda" else None,
        "tf32": device.type == "cuda" and torch.backends.cudnn.allow_tf32 and torch.cuda.is_tf32_supported(),
        "command": sys.argv,
        "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
    }
