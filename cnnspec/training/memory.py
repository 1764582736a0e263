"""What to say when memory runs out: the largest batch that fits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import torch
from torch import Tensor

from cnnspec.errors import CnnspecError
from cnnspec.graph import Graph
from cnnspec.torch_backend import build_module

__all__ = ["is_out_of_memory", "largest_batch", "too_large"]

_SIGNS: Final = ("out of memory", "can't allocate memory", "not enough memory", "status_alloc_failed")  # the CPU's,
# CUDA's where the driver ran out and not torch's allocator, cuBLAS's and cuDNN's, and that of MPS


def is_out_of_memory(error: RuntimeError) -> bool:
    """Whether this is torch's way to say that memory ran out, on any device."""
    return isinstance(error, torch.OutOfMemoryError) or any(sign in str(error).lower() for sign in _SIGNS)


def largest_batch(fits: Callable[[int], bool], failed: int) -> int:
    """The largest batch below `failed` that fits, by bisection; 0 where not even one image does."""
    low, high = 0, failed
    while high - low > 1:
        middle = (low + high) // 2
        if fits(middle):
            low = middle
        else:
            high = middle
    return low


def too_large(graph: Graph, batch_size: int, device: torch.device) -> CnnspecError:
    """The error for a batch that does not fit, found out by trying smaller ones."""

    def fits(size: int) -> bool:
        try:
            model = build_module(graph).to(device)
            result = model(torch.zeros(size, *graph.input_shape, device=device))
            outputs = [result] if isinstance(result, Tensor) else list(result.values())
            torch.autograd.backward([output.sum() for output in outputs])
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            return False
        return True

    if device.type == "cuda":
        torch.cuda.empty_cache()
    size = largest_batch(fits, batch_size)
    message = f"memory ran out on {device} with batches of {batch_size} images"
    if not size:
        return CnnspecError(f"{message}; not even one image fits", hint="use a smaller input, or another device")
    parts = -(-batch_size // size)
    return CnnspecError(
        f"{message}; the largest that fits is about {size}",
        hint=f"`--accumulate {parts}` gives the same steps in {parts} parts; `--batch-size {size}` gives other ones",
    )
