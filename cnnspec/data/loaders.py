"""Batches of inputs that are read when it is their turn, by worker processes that stay from epoch to epoch."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from types import TracebackType

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from cnnspec.data.sets import Streamed
from cnnspec.errors import CnnspecError

__all__ = ["LoaderPool"]


class _Decoded(Dataset[tuple[Tensor, Tensor] | CnnspecError]):
    """Images, decoded by worker processes. A file that cannot be read gives its error: raised, only a text arrives."""

    def __init__(self, source: Streamed) -> None:
        self.source = source

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, row: int) -> tuple[Tensor, Tensor] | CnnspecError:
        try:
            return self.source.read(row), self.source.targets[row]
        except CnnspecError as error:
            return error


def _batch(samples: list[tuple[Tensor, Tensor] | CnnspecError]) -> list[Tensor] | CnnspecError:
    """The images and the labels of samples, or the first error among them."""
    for sample in samples:
        if isinstance(sample, CnnspecError):
            return sample
    return [torch.stack(tensors) for tensors in zip(*samples, strict=True)]


class _Chosen(Sampler[list[int]]):
    """The rows of each batch, set anew for every epoch while the workers live on."""

    def __init__(self) -> None:
        self.chosen: list[Tensor] = []

    def __iter__(self) -> Iterator[list[int]]:
        return iter([rows.tolist() for rows in self.chosen])

    def __len__(self) -> int:
        return len(self.chosen)


class LoaderPool:
    """The processes that decode the images of files, which stay from epoch to epoch. As a context it ends them."""

    def __init__(self) -> None:
        self._idle: list[_Loader] = []  # that no stream uses at the moment

    def __enter__(self) -> LoaderPool:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._idle.clear()

    def stream(
        self, source: Streamed, chosen: list[Tensor], device: torch.device, workers: int
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Batches of the `chosen` rows, decoded by worker processes, in memory from which the device can copy.

        Two streams of one source at the same time have workers of their own. Raises CnnspecError that names a file
        which could not be read.
        """
        loader = next((idle for idle in self._idle if idle.source is source), None)
        if loader is None:
            loader = _make_loader(source, device, workers)
        else:
            self._idle.remove(loader)
        loader.sampler.chosen = chosen
        for batch in loader.batches:
            if isinstance(batch, CnnspecError):
                raise batch
            yield batch
        self._idle.append(loader)


@dataclass(frozen=True, eq=False)
class _Loader:
    source: Streamed
    sampler: _Chosen
    batches: DataLoader[tuple[Tensor, Tensor] | CnnspecError]


def _make_loader(source: Streamed, device: torch.device, workers: int) -> _Loader:
    sampler = _Chosen()
    batches: DataLoader[tuple[Tensor, Tensor] | CnnspecError] = DataLoader(
        _Decoded(source),
        batch_sampler=sampler,
        collate_fn=_batch,
        num_workers=workers,
        persistent_workers=workers > 0,
        pin_memory=device.type == "cuda",
        generator=torch.Generator(),  # otherwise every epoch would draw from the numbers that dropout uses
        worker_init_fn=_leave_group,
    )
    return _Loader(source, sampler, batches)


def _leave_group(worker: int) -> None:
    """A signal to the group of a run is for the process that trains: it needs its images until it has saved."""
    if hasattr(os, "setpgrp"):
        os.setpgrp()
    np.random.seed(torch.initial_seed() % 2**32)  # data sets from Python may draw from it, each worker its own
