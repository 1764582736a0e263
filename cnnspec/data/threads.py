"""Photographs decoded by threads of this process, which hand nothing over and share one memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from statistics import median
from typing import Final

import torch
from torch import Tensor

from cnnspec.data.archive import file_size
from cnnspec.data.sets import Files, ImageSet

__all__ = ["are_large", "read_by_threads"]

_LARGE: Final = 2**15  # bytes of a file from which on decoding, at which threads do not wait, is most of the work
_ASKED: Final = 16  # files that are asked for their size
_TOGETHER: Final = 8  # images that a thread takes at once
_AHEAD: Final = 2  # batches that are read while one is learned from


def are_large(source: ImageSet) -> bool:
    """Whether these are images in files of which decoding is most of the work, and not what Python does around it."""
    if not isinstance(source, Files) or len(source.shape) != 3 or not source.paths:
        return False
    sizes = []
    for path in source.paths[:: -(-len(source.paths) // _ASKED)]:
        with suppress(OSError):  # it is told of when it is read
            sizes.append(file_size(path))
    return bool(sizes) and median(sizes) >= _LARGE


def read_by_threads(
    pool: ThreadPoolExecutor, source: Files, chosen: Iterable[list[tuple[int, int]]], read: Callable[[int, int], Tensor]
) -> Iterator[tuple[Tensor, Tensor]]:
    """Images and targets of batches that are given as rows and seeds, in their order, a few batches ahead.

    `read` gives the image of a row and a seed. What it raises comes in the turn of its batch.
    """
    waiting: deque[tuple[Tensor, Tensor, list[Future[None]]]] = deque()
    coming = iter(chosen)

    def begin(places: list[tuple[int, int]]) -> None:
        images = torch.empty((len(places), *source.shape), dtype=torch.uint8)

        def fill(first: int) -> None:
            for number, place in enumerate(places[first : first + _TOGETHER], first):
                images[number] = read(*place)

        parts = [pool.submit(fill, first) for first in range(0, len(places), _TOGETHER)]
        waiting.append((images, source.targets[[row for row, _ in places]], parts))

    try:
        while True:
            while len(waiting) <= _AHEAD and (places := next(coming, None)) is not None:
                begin(places)
            if not waiting:
                return
            images, targets, parts = waiting.popleft()
            for part in parts:
                part.result()
            yield images, targets
    finally:
        for _, _, parts in waiting:
            for part in parts:
                part.cancel()
