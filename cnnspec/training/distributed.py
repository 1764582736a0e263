"""Several processes as torchrun starts them; with one process everything here does nothing."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Final, TypeVar, cast

import torch
import torch.distributed as dist
from torch import Tensor, nn

from cnnspec.errors import CnnspecError, UsageError
from cnnspec.training.device import torchrun_number

__all__ = ["Ranks", "agree", "is_lost_peer", "join_ranks", "leave_ranks"]

T = TypeVar("T")

# One process may decode or test for hours while the others wait for it; one that is dead is seen without waiting.
_PATIENCE: Final = timedelta(days=1)
_LOST: Final = (
    "Connection closed by peer", "Connection reset", "gloo/transport", "Broken pipe", "failed to recv",
    "ncclRemoteError", "remote process exited", "NCCL communicator was aborted",
)  # fmt: skip


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
        """The largest value over all processes, so that all decide alike. On the CPU: no device is waited for."""
        if self.count > 1:
            dist.all_reduce(flags, op=dist.ReduceOp.MAX)
        return flags

    def share(self, make: Callable[[], T]) -> T:
        """What the first process makes, for all. An error there is an error everywhere."""
        if self.count == 1:
            return make()
        made: list[object] = [None, None]  # the value, or the error
        if self.first:
            try:
                made[0] = make()
            except Exception as error:
                made[1] = error
        dist.broadcast_object_list(made, src=0)
        if isinstance(made[1], Exception):
            raise made[1]
        return cast(T, made[0])

    def restarted(self) -> bool:
        """Whether torchrun has started these processes in place of others. Every machine counts its own failures."""
        return bool(self.agree(torch.tensor([_restarts()])).item())

    def wait(self) -> None:
        """Until all are here."""
        self.agree(torch.zeros(1))  # and not a barrier, which would be one of the devices

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


def agree(ranks: Ranks, asked: bool, signal: int | None) -> tuple[bool, int | None]:
    """What the first process has asked for, to all of them, and the signal that stops all of them."""
    if ranks.count == 1:
        return asked, signal
    flags = ranks.agree(torch.tensor([int(asked and ranks.first), signal or 0])).tolist()
    return bool(flags[0]), flags[1] or None


def is_lost_peer(error: RuntimeError) -> bool:
    """Whether this is how gloo, nccl or torchrun's store say that another process is gone."""
    return any(sign in str(error) for sign in _LOST)


def leave_ranks() -> None:
    """Leave the processes that were joined; a process that ends with gloo's threads running may abort."""
    if dist.is_available() and dist.is_initialized():
        dist.destroy_process_group()


def join_ranks(device: torch.device) -> Ranks:
    """Join the processes that torchrun started, by its environment variables. Raises CnnspecError where that fails."""
    count = torchrun_number("WORLD_SIZE", 1)
    if count == 1:
        return Ranks()
    if not dist.is_initialized():
        from torch.distributed.distributed_c10d import PrefixStore
        from torch.distributed.rendezvous import rendezvous

        if device.type == "cuda":
            torch.cuda.set_device(device)
        try:
            store, rank, count = next(rendezvous("env://"))
            if os.environ.get("GROUP_WORLD_SIZE", "1") == "1":
                # torchrun's store outlives the processes: those that it starts again must not read where dead ones
                # were listening. On one machine all of them know the same number of restarts; on several they do not.
                store = PrefixStore(f"restart {_restarts()}", store)
            on_cuda = device.type == "cuda"
            dist.init_process_group(
                "cpu:gloo,cuda:nccl" if on_cuda else "gloo",
                store=store,
                rank=rank,
                world_size=count,
                timeout=_PATIENCE,
                device_id=device if on_cuda else None,
            )
        except (RuntimeError, ValueError) as error:
            reason = str(error).splitlines()[0]
            raise CnnspecError(
                f"the processes of this run do not find each other: {reason}",
                hint="on several machines, start torchrun with TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1",
            ) from error
    return Ranks(dist.get_rank(), dist.get_world_size())


def _restarts() -> int:
    """How often torchrun has started the processes of this machine again because one of them had failed."""
    return torchrun_number("TORCHELASTIC_RESTART_COUNT", 0)
