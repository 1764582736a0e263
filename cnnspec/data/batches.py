"""Batches of bytes on the device, from images in memory or in files."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from cnnspec.data.ahead import copied_ahead
from cnnspec.data.sets import Images, ImageSet

if TYPE_CHECKING:
    from cnnspec.data.loaders import LoaderPool
    from cnnspec.data.photo import Photo

__all__ = ["batch_rows", "batches", "take", "to_device"]


def batch_rows(order: Tensor, start: int, size: int, rank: int = 0, ranks: int = 1) -> Iterator[Tensor]:
    """The rows of each batch from position `start` on: of every batch, the part of process `rank` of `ranks`.

    `start` is a multiple of `size`, or the end. Together the parts are the batch, whatever `ranks` is.
    """
    for first in range(start, len(order), size):
        rows = order[first : first + size]
        yield rows[rank::ranks] if ranks > 1 else rows


def to_device(source: ImageSet, device: torch.device, room: int) -> ImageSet:
    """Images in memory moved to the device, once, unless they are more than `room` bytes; files stay where they are."""
    if not isinstance(source, Images) or source.mapped or device == source.images.device or source.images.nbytes > room:
        return source
    return replace(source, images=source.images.to(device), targets=source.targets.to(device))


def take(source: Images, rows: Tensor) -> tuple[Tensor, Tensor]:
    """The images and labels in these rows, where they lie. For few small images indexing takes ten times as long."""
    return source.images.index_select(0, rows), source.targets.index_select(0, rows)


def batches(
    source: ImageSet, order: Tensor, size: int, device: torch.device, *, start: int = 0, rank: int = 0, ranks: int = 1,
    workers: int = 0, loaders: LoaderPool | None = None, photo: Photo | None = None, seeds: Tensor | None = None,
) -> Iterator[tuple[Tensor, Tensor]]:  # fmt: skip
    """`(images, labels)` on the device, uint8 `(B, C, H, W)` and int64 `(B,)`, in the order given.

    To CUDA they are copied ahead. With a `photo` each image is varied by it while it is read, from its seed in `seeds`,
    which are in the same order. Files are decoded by `workers` threads or processes: those of `loaders`, which keeps
    them, or else by some that end with this.
    """
    if isinstance(source, Images) and not photo:
        order = order.to(source.images.device)
        taken = (take(source, rows) for rows in batch_rows(order, start, size, rank, ranks))
        yield from taken if source.images.device == device else copied_ahead(taken, device)
        return
    from cnnspec.data.loaders import LoaderPool, Varied

    chosen, varied = list(batch_rows(order, start, size, rank, ranks)), None
    if photo and seeds is not None:
        varied = Varied(photo, list(batch_rows(seeds, start, size, rank, ranks)))
    pool = loaders or LoaderPool()
    yield from copied_ahead(pool.stream(source, chosen, device, workers, varied), device)
