"""What a run sets for its whole process: random numbers, threads, kernels. All of it is put back when the run ends.

Only what the C library was told about freed memory stays (`machine.keep_freed_memory`); it changes no figure.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import torch
from torch import Tensor

from cnnspec.errors import CnnspecError
from cnnspec.graph import Graph
from cnnspec.training.device import used_device

__all__ = [
    "choose_kernels",
    "is_not_deterministic",
    "no_deterministic_kernel",
    "process_restored",
    "random_state",
    "seed_generators",
    "set_random_state",
]

_WORKSPACE: Final = "CUBLAS_WORKSPACE_CONFIG"


@contextmanager
def process_restored(device: torch.device) -> Iterator[None]:
    """While entered, a run may set torch up for itself; afterwards the process is as it was."""
    threads = torch.get_num_threads()
    deterministic = torch.are_deterministic_algorithms_enabled()
    warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
    benchmark = torch.backends.cudnn.benchmark
    workspace = os.environ.get(_WORKSPACE)
    convolutions, products = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
    random = random_state(device)
    try:
        with used_device(device):
            yield
    finally:
        set_random_state(random, device)
        if workspace is None:
            os.environ.pop(_WORKSPACE, None)
        torch.backends.cudnn.benchmark = benchmark
        torch.backends.cudnn.allow_tf32 = convolutions
        torch.backends.cuda.matmul.allow_tf32 = products
        torch.use_deterministic_algorithms(deterministic, warn_only=warn_only)
        torch.set_num_threads(threads)


def choose_kernels(*, deterministic: bool, tf32: bool) -> None:
    """Let torch use deterministic kernels only, or else those that it finds to be the fastest.

    With `tf32` fp32 products on CUDA, those of convolutions and of dense layers, round their factors to 10 bits.
    """
    if deterministic:
        os.environ.setdefault(_WORKSPACE, ":4096:8")  # torch asks for it, before cuBLAS is first used
    torch.use_deterministic_algorithms(deterministic)
    torch.backends.cudnn.benchmark = not deterministic
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = tf32


def is_not_deterministic(error: RuntimeError) -> bool:
    """Whether torch refuses a kernel because only deterministic ones are allowed."""
    return "does not have a deterministic implementation" in str(error)


def no_deterministic_kernel(error: RuntimeError, graph: Graph) -> CnnspecError:
    """The error for a kernel that is not deterministic, with the layers that want it."""
    kernel = str(error).split()[0]
    named = _family(kernel)
    layers = [
        f"`{node.name}` ({node.op.op_name})" for node in graph.nodes if named.startswith(_family(node.op.op_name))
    ]
    who = f"{', '.join(layers[:3])}{', …' * (len(layers) > 3)}: " if layers else ""
    return CnnspecError(
        f"{who}torch has no deterministic kernel for {kernel}",
        hint="`--no-deterministic`; or another layer: a pool of a fixed size in place of an adaptive one, `nearest` in"
        " place of linear upsampling",
    )


def _family(name: str) -> str:
    """A layer's or a kernel's name without underscores and dimensions: torch pools one dimension by two."""
    return re.sub(r"\dd", "", name.lower().replace("_", ""))


def seed_generators(seed: int, device: torch.device) -> None:
    """Seed torch's random numbers on the CPU and on this device, and on no other."""
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        with torch.cuda.device(device):
            torch.cuda.manual_seed(seed)
    elif device.type == "mps":
        torch.mps.manual_seed(seed)


def random_state(device: torch.device) -> dict[str, Tensor]:
    """The state of torch's random numbers on the CPU and, under its type, on this device."""
    state = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        state["cuda"] = torch.cuda.get_rng_state(device)
    elif device.type == "mps":
        state["mps"] = torch.mps.get_rng_state()
    return state


def set_random_state(state: dict[str, Tensor], device: torch.device) -> None:
    """Put back what `random_state` gave, as far as it is of this device."""
    torch.set_rng_state(state["cpu"])
    if device.type == "cuda" and "cuda" in state:
        torch.cuda.set_rng_state(state["cuda"], device)
    elif device.type == "mps" and "mps" in state:
        torch.mps.set_rng_state(state["mps"])
