"""Batches of inputs that are read when it is their turn, by processes or threads that stay from epoch to epoch."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from types import TracebackType
from typing import Final

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from cnnspec.data.photo import Photo, vary
from cnnspec.data.sets import Files, ImageSet
from cnnspec.data.threads import are_large, read_by_threads
from cnnspec.errors import CnnspecError

__all__ = ["LoaderPool", "Varied"]

_MOST_THREADS: Final = 4  # that decode: all share one lock of Python with the learner


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
            return _read(self.source, self.photo, row, seed), self.source.targets[row]
        except CnnspecError as error:
            return error


def _read(source: ImageSet, photo: Photo | None, row: int, seed: int) -> Tensor:
    return source.read(row) if photo is None else vary(source, row, photo, seed)


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
        return _places(self.chosen, self.chosen if self.seeds is None else self.seeds)  # which nobody reads then

    def __len__(self) -> int:
        return len(self.chosen)


def _places(chosen: list[Tensor], seeds: list[Tensor]) -> Iterator[list[tuple[int, int]]]:
    """The rows and the seeds of each batch, in pairs."""
    return (list(zip(rows.tolist(), part.tolist(), strict=True)) for rows, part in zip(chosen, seeds, strict=True))


class LoaderPool:
    """Who decodes the images of files, which stays from epoch to epoch. As a context it ends them.

    These are threads of this process where they take less time, and else processes.
    """

    def __init__(self) -> None:
        self._idle: list[_Loader] = []  # that no stream uses at the moment
        self._threads: ThreadPoolExecutor | None = None

    def __enter__(self) -> LoaderPool:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._idle.clear()
        if self._threads is not None:
            self._threads.shutdown(cancel_futures=True)

    def stream(
        self, source: ImageSet, chosen: list[Tensor], device: torch.device, workers: int, varied: Varied | None = None
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Batches of the `chosen` rows, decoded by workers, in memory from which the device can copy.

        `varied` says what is done to each of them, in the same order.

        Two streams of one source at the same time have workers of their own. Raises CnnspecError that names a file
        which could not be read.
        """
        photo = None if varied is None else varied.photo
        if _want_threads(source, photo, device, workers):
            yield from self._read_by_threads(source, chosen, workers, varied)
            return
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

    def _read_by_threads(
        self, source: ImageSet, chosen: list[Tensor], workers: int, varied: Varied | None
    ) -> Iterator[tuple[Tensor, Tensor]]:
        assert isinstance(source, Files)  # what threads are wanted for
        if self._threads is None:
            self._threads = ThreadPoolExecutor(workers, "decodes images")
        photo, seeds = (None, chosen) if varied is None else (varied.photo, varied.seeds)
        yield from read_by_threads(
            self._threads, source, _places(chosen, seeds), lambda row, seed: _read(source, photo, row, seed)
        )


@dataclass(frozen=True, eq=False)
class _Loader:
    source: ImageSet
    photo: Photo | None
    sampler: _Chosen
    batches: DataLoader[tuple[Tensor, Tensor] | CnnspecError]


def _want_threads(source: ImageSet, photo: Photo | None, device: torch.device, workers: int) -> bool:
    """Whether threads are to decode: a process takes a third of the time for itself and for handing images over.

    A device that is told each step by Python is left the whole of it; and torchvision's policies draw from the random
    numbers of the process.
    """
    drawn = photo is not None and photo.policy != "none"
    return device.type == "cpu" and 0 < workers <= _MOST_THREADS and not drawn and are_large(source)


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
