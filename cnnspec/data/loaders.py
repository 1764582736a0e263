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

from cnnspec.data.photo import Photo, vary
from cnnspec.data.sets import ImageSet
from cnnspec.errors import CnnspecError

__all__ = ["LoaderPool", "Varied"]


@dataclass(frozen=True, eq=False)
class Varied:
    """What is done to images while they are read, and the seed of each, `(B,)`, batch by batch."""

    photo: Photo
    seeds: list[Tensor]


class _Decoded(Dataset[tuple[Tensor, Tensor] | CnnspecError]):
    """Images, decoded by worker processes. A file that cannot be read gives its error: raised, only a text arrives."""

    def __init__(self, source: ImageSet, photo: Photo | None) -> None:
        self.source, self.photo = source, photo

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, place: tuple[int, int]) -> tuple[Tensor, Tensor] | CnnspecError:
        row, seed = place
        try:
            image = self.source.read(row) if self.photo is None else vary(self.source, row, self.photo, seed)
            return image, self.source.targets[row]
        except CnnspecError as error:
            return error


def _batch(samples: list[tuple[Tensor, Tensor] | CnnspecError]) -> list[Tensor] | CnnspecError:
    """The images and the labels of samples, or the first error among them."""
    for sample in samples:
        if isinstance(sample, CnnspecError):
            return sample
    return [torch.stack(tensors) for tensors in zip(*samples, strict=True)]


class _Chosen(Sampler[list[tuple[int, int]]]):
    """The rows and seeds of each batch, set anew for every epoch while the workers live on."""

    def __init__(self) -> None:
        self.chosen: list[Tensor] = []
        self.seeds: list[Tensor] | None = None

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        seeds = self.chosen if self.seeds is None else self.seeds  # which nobody reads then
        return (
            list(zip(rows.tolist(), part.tolist(), strict=True)) for rows, part in zip(self.chosen, seeds, strict=True)
        )

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
        self, source: ImageSet, chosen: list[Tensor], device: torch.device, workers: int, varied: Varied | None = None
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Batches of the `chosen` rows, decoded by worker processes, in memory from which the device can copy.

        `varied` says what is done to each of them, in the same order.

        Two streams of one source at the same time have workers of their own. Raises CnnspecError that names a file
        which could not be read.
        """
        photo = None if varied is None else varied.photo
        loader = next((idle for idle in self._idle if idle.source is source and idle.photo == photo), None)
        if loader is None:
            loader = _make_loader(source, photo, device, workers)
        else:
            self._idle.remove(loader)
        loader.sampler.chosen = chosen
        loader.sampler.seeds = None if varied is None else varied.seeds
        for batch in loader.batches:
            if isinstance(batch, CnnspecError):
                raise batch
            yield batch
        self._idle.append(loader)


@dataclass(frozen=True, eq=False)
class _Loader:
    source: ImageSet
    photo: Photo | None
    sampler: _Chosen
    batches: DataLoader[tuple[Tensor, Tensor] | CnnspecError]


def _make_loader(source: ImageSet, photo: Photo | None, device: torch.device, workers: int) -> _Loader:
    sampler = _Chosen()
    if photo is not None:
        import torchvision.transforms.v2  # noqa: F401 - before there are workers: each would import it for itself
    batches: DataLoader[tuple[Tensor, Tensor] | CnnspecError] = DataLoader(
        _Decoded(source, photo),
        batch_sampler=sampler,
        collate_fn=_batch,
        num_workers=workers,
        persistent_workers=workers > 0,
        pin_memory=device.type == "cuda",
        generator=torch.Generator(),  # otherwise every epoch would draw from the numbers that dropout uses
        worker_init_fn=_leave_group,
    )
    return _Loader(source, photo, sampler, batches)


def _leave_group(worker: int) -> None:
    """A signal to the group of a run is for the process that trains: it needs its images until it has saved."""
    if hasattr(os, "setpgrp"):
        os.setpgrp()
    np.random.seed(torch.initial_seed() % 2**32)  # data sets from Python may draw from it, each worker its own
