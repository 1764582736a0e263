"""The device that a run is on: which it is, whether this torch can use it, and what it holds."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

import torch

from cnnspec.errors import UsageError
from cnnspec.training.config import Precision

__all__ = [
    "arithmetic",
    "image_memory",
    "local_processes",
    "pick_device",
    "synchronize",
    "torchrun_number",
    "used_device",
]


def pick_device(name: str, report: Callable[[str], None] = lambda text: None) -> torch.device:
    """The device called `name`; `auto` is CUDA, then MPS, then the CPU, and `report` hears which card is passed over.

    Of the processes that torchrun starts each has the card of its own number. Raises UsageError where the device is
    not there, torch has no kernels for it, or every process would have the same one.
    """
    if name == "auto":
        return _best(report)
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
        if device.index is not None and _processes() > 1:
            raise UsageError(
                f"`{name}` would be the device of all {_processes()} processes",
                hint="`--device cuda`: each process takes the one of its own number",
            )
        device = torch.device("cuda", _own(count) if device.index is None else device.index)
        if device.index >= count:
            raise UsageError(f"there is no device cuda:{device.index}: the machine has {count}")
        missing = _missing_kernels(device.index)
        if missing is not None:
            raise UsageError(missing, hint="a build of torch for this card, or `--device cpu`")
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise UsageError("torch cannot use MPS on this machine", hint="`--device cpu`")
    return device


def _best(report: Callable[[str], None]) -> torch.device:
    """What `auto` is."""
    if torch.cuda.is_available():
        count, several = torch.cuda.device_count(), _processes() > 1
        for index in [_own(count)] if several else range(count):
            missing = _missing_kernels(index)
            if missing is None:
                return torch.device("cuda", index)
            if several:  # the others would wait for one that computes elsewhere
                raise UsageError(missing, hint="a build of torch for this card, or `--device cpu`")
            report(f"{missing}: it is passed over")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def _own(count: int) -> int:
    """The number of this process's card among `count`, as torchrun says it. Raises UsageError where it has none."""
    index = torchrun_number("LOCAL_RANK", 0)
    if index >= count:
        raise UsageError(
            f"process {index} of this machine has no CUDA device of its own: there are {count}",
            hint=f"`torchrun --nproc-per-node={count}`",
        )
    return index


def _processes() -> int:
    return torchrun_number("WORLD_SIZE", 1)


def local_processes() -> int:
    """How many processes of this run are on this machine."""
    return max(1, torchrun_number("LOCAL_WORLD_SIZE", 1))


def torchrun_number(name: str, default: int) -> int:
    """A number that torchrun has left in the environment. Raises UsageError where it is none."""
    text = os.environ.get(name, str(default))
    if not re.fullmatch("[0-9]{1,9}", text):
        raise UsageError(f"the environment says {name}={text!r}, which is no number; torchrun sets it")
    return int(text)


def _missing_kernels(index: int) -> str | None:
    """Why this torch cannot run on a card, or None where it can."""
    built = torch.cuda.get_arch_list()
    if torch.version.cuda is None or not built:  # built for other cards than NVIDIA's, which are not told apart so
        return None
    capability = torch.cuda.get_device_capability(index)
    if any(_runs(architecture, capability) for architecture in built):
        return None
    own = "sm_{}{}".format(*capability)
    return (
        f"cuda:{index}, {torch.cuda.get_device_name(index)}, is {own}, and this torch is built for {', '.join(built)}"
    )


def _runs(architecture: str, capability: tuple[int, int]) -> bool:
    """Whether code for an architecture runs on a card: machine code from its version on, within the major one."""
    found = re.fullmatch(r"(sm|compute)_(\d+)(\d)([af]?)", architecture)
    if found is None:
        return False
    kind, version = found[1], (int(found[2]), int(found[3]))
    if found[4] == "a":  # with what only that one card has
        return version == capability
    if kind == "compute":  # compiled by the driver, for this and every later card
        return version <= capability
    return version[0] == capability[0] and version[1] <= capability[1]


def used_device(device: torch.device) -> AbstractContextManager[object]:
    """While entered, what names no CUDA device means this one: streams, graphs and waiting. It opens no other."""
    return torch.cuda.device(device) if device.type == "cuda" else nullcontext()


def arithmetic(device: torch.device, precision: Precision) -> AbstractContextManager[object]:
    """While entered, what torch works out on the device is in this precision where autocast has it so."""
    if precision == "fp32":
        return nullcontext()
    return torch.autocast(device.type, torch.bfloat16 if precision == "bf16" else torch.float16)


def synchronize(device: torch.device) -> None:
    """Wait until the device has done what it was asked for."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


def image_memory(device: torch.device) -> int:
    """How many bytes of images may be kept: half of what is free, on the device or for this process on the host."""
    try:
        host = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2 // local_processes()
    except (ValueError, OSError, AttributeError):
        host = 2**30
    return min(host, torch.cuda.mem_get_info(device)[0] // 2) if device.type == "cuda" else host
