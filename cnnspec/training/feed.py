"""The batches of an epoch: a function of seed, epoch, position and rank alone, so a run continues anywhere."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from torch import Tensor

from cnnspec.data.batches import batches
from cnnspec.data.loaders import LoaderPool
from cnnspec.data.order import epoch_numbers, epoch_order, epoch_seeds, epoch_shares, neighbours
from cnnspec.data.prepare import COLUMNS, variations
from cnnspec.training.plan import Plan

__all__ = ["Batch", "Feed", "Partners", "RowBatch"]


@dataclass(frozen=True, slots=True)
class Partners:
    """For mixup: what the images of a batch are mixed with, and the share `(B,)` that each keeps."""

    images: Tensor
    targets: Tensor
    shares: Tensor


@dataclass(frozen=True, slots=True)
class Batch:
    """This process's part of a batch, on the device: uint8 `(B, C, *axes)`, targets `(B, …)`, `(B, 11)`."""

    images: Tensor
    targets: Tensor
    numbers: Tensor | None  # what the augmentation does with each image, of `variations`
    partners: Partners | None
    size: int  # images of the batch over all processes


@dataclass(frozen=True, slots=True)
class RowBatch:
    """K batches of images that lie on the device, by their rows `(K, B)`."""

    rows: Tensor
    numbers: Tensor | None  # as those of Batch, `(K, B, 11)`
    rates: Tensor  # the learning rates `(K,)`
    size: int  # images of all of them


class Feed:
    """Iterates over the batches of an epoch, from a position on."""

    def __init__(self, plan: Plan, epoch: int, position: int, loaders: LoaderPool) -> None:
        """`position` is a number of images: a multiple of the batch size, or all of the epoch."""
        self.plan, self.epoch, self.position, self.loaders = plan, epoch, position, loaders
        self.size = plan.config.batch_size
        self.order = epoch_order(plan.data.train_rows, plan.config.seed, epoch)[: plan.count]
        self.numbers = self._numbers()
        self.seeds = epoch_seeds(plan.count, plan.config.seed, epoch) if plan.photo else None

    def following(self) -> Feed:
        """The next epoch's."""
        return type(self)(self.plan, self.epoch + 1, 0, self.loaders)

    def __iter__(self) -> Iterator[Batch]:
        """Batches of images, read from where they are."""
        config, ranks = self.plan.config, self.plan.ranks
        numbers, shares = self.numbers, None
        if config.mixup:
            shares = epoch_shares(self.plan.count, config.mixup, config.seed, self.epoch).to(self.plan.device)
        neighbour_parts = None
        if shares is not None and ranks.count > 1:  # another process has the next image
            others_seeds = None if self.seeds is None else neighbours(self.seeds, self.size)
            neighbour_parts = self._parts(neighbours(self.order, self.size), others_seeds)
        for position, (images, targets) in zip(self._positions(), self._parts(self.order, self.seeds), strict=True):
            partners = None
            if shares is not None:
                others = (images.roll(-1, 0), targets.roll(-1, 0)) if neighbour_parts is None else next(neighbour_parts)
                partners = Partners(*others, self._part(shares, position))
            part = None if numbers is None else self._part(numbers, position)
            yield Batch(images, targets, part, partners, self._size_at(position))

    def rows(self) -> Iterator[RowBatch]:
        """The same as rows, for one process with all images on the device."""
        plan, numbers = self.plan, self.numbers
        order, rates = self.order.to(plan.device), plan.epoch_rates(self.epoch)
        position = self.position
        while position < plan.count:
            many = plan.steps_per_graph if position + plan.steps_per_graph * self.size <= plan.count else 1
            part, first = slice(position, position + many * self.size), position // self.size
            rows = order[part].view(many, -1)
            varied = None if numbers is None else numbers[part].view(*rows.shape, -1)
            yield RowBatch(rows, varied, rates[first : first + many], rows.numel())
            position += rows.numel()

    def _numbers(self) -> Tensor | None:
        plan = self.plan
        if not plan.augment:
            return None
        numbers = epoch_numbers(plan.count, COLUMNS, plan.config.seed, self.epoch)
        return variations(plan.augment, numbers, *plan.job.network.graph.input_shape[1:]).to(plan.device)

    def _positions(self) -> range:
        return range(self.position, self.plan.count, self.size)

    def _size_at(self, position: int) -> int:
        return min(self.size, self.plan.count - position)

    def _part(self, values: Tensor, position: int) -> Tensor:
        """This process's part of what there is for the batch at a position."""
        ranks = self.plan.ranks
        return values[position : position + self._size_at(position)][ranks.rank :: ranks.count]

    def _parts(self, order: Tensor, seeds: Tensor | None) -> Iterator[tuple[Tensor, Tensor]]:
        """This process's part of every batch: images and targets."""
        plan = self.plan
        return batches(
            plan.train, order, self.size, plan.device, start=self.position, rank=plan.ranks.rank,
            ranks=plan.ranks.count, workers=plan.workers, loaders=self.loaders, photo=plan.photo, seeds=seeds,
        )  # fmt: skip
