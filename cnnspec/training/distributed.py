"""Several processes as torchrun starts them; with one process everything here does nothing."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from cnnspec.errors import UsageError

__all__ = ["Ranks", "is_lost_peer", "join_ranks", "leave_ranks"]


@dataclass(frozen=True)
class Ranks:
    """This process among all: `rank` of `count`."""

    rank: int = 0
    count: int = 1

    @property
    def first(self) -> bool:
        """Whether this is the process that writes."""
        return self.rank == 0

    def total(self, tensor: Tensor) -> Tensor:
        """The sum over all processes."""
        if self.count > 1:
            tensor = tensor.clone()
            dist.all_reduce(tensor)
        return tensor

    def agree(self, flags: Tensor) -> Tensor:
        """The largest value over all processes, so that all decide alike."""
        if self.count > 1:
            dist.all_reduce(flags, op=dist.ReduceOp.MAX)
        return flags

    def share(self, make: Callable[[], Any]) -> Any:
        """What the first process makes, for all. An error there is an error everywhere."""
        if self.count == 1:
            return make()
        box: list[Any] = [None, None]
        if self.first:
            try:
                box[0] = make()
            except Exception as error:
                box[1] = error
        dist.broadcast_object_list(box, src=0)
        if box[1] is not None:
            raise box[1]
        return box[0]

    def wait(self) -> None:
        """Until all are here."""
        if self.count > 1:
            dist.barrier()

    def wrap(self, model: nn.Module, device: torch.device, *, sync_norm: bool = False) -> nn.Module:
        """The module with gradients averaged, and where asked batch norm taken, over all processes.

        Raises UsageError for `sync_norm` elsewhere than on CUDA: torch has it nowhere else.
        """
        if sync_norm and device.type != "cuda":
            raise UsageError("--sync-norm is for CUDA: torch has synchronised batch norm nowhere else")
        if self.count == 1:
            return model
        if sync_norm:
            nn.SyncBatchNorm.convert_sync_batchnorm(model)  # type: ignore[no-untyped-call]  # inside this very module
        ids = [device.index] if device.type == "cuda" else None
        return nn.parallel.DistributedDataParallel(model, device_ids=ids)


def is_lost_peer(error: RuntimeError) -> bool:
    """Whether this is how gloo or nccl say that another process is gone."""
    if isinstance(error, dist.DistError):
        return True
    return any(part in str(error) for part in ("Connection closed by peer", "Connection reset", "gloo/transport"))


def leave_ranks() -> None:
    """Leave the processes that were joined; a process that ends with gloo's threads running may abort."""
    if dist.is_available() and dist.is_initialized():
        dist.destroy_process_group()


def join_ranks(device: torch.device) -> Ranks:
    """Join the processes that torchrun started, by its environment variables."""
    count = int(os.environ.get("WORLD_SIZE", "1"))
    if count == 1:
        return Ranks()
    if not dist.is_initialized():
        if device.type == "cuda":
            torch.cuda.set_device(device)
        dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    return Ranks(dist.get_rank(), dist.get_world_size())
