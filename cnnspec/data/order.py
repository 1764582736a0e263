"""The order of the data and the numbers behind augmentation, from nothing but seed, epoch and position.

So a run that continues in the middle of an epoch sees what the uninterrupted run would have seen, and several
processes see together what one would have seen.
"""

from __future__ import annotations

import hashlib

import numpy as np
import torch
from torch import Tensor

__all__ = ["derive_seed", "epoch_numbers", "epoch_order", "epoch_seeds", "epoch_shares", "neighbours"]


def derive_seed(seed: int, *purpose: int | str) -> int:
    """A seed of its own for each purpose."""
    text = "/".join(map(str, (seed, *purpose)))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def epoch_order(rows: Tensor, seed: int, epoch: int) -> Tensor:
    """`rows` in the order in which this epoch reads them."""
    generator = torch.Generator().manual_seed(derive_seed(seed, "order", epoch))
    return rows[torch.randperm(len(rows), generator=generator)]


def epoch_numbers(count: int, columns: int, seed: int, epoch: int) -> Tensor:
    """Uniform numbers in [0, 1) for augmentation: one row per position in the epoch's order, `(count, columns)`."""
    generator = torch.Generator().manual_seed(derive_seed(seed, "augment", epoch))
    return torch.rand(count, columns, generator=generator)


def epoch_seeds(count: int, seed: int, epoch: int) -> Tensor:
    """A seed for each position in the epoch's order, for what varies images one by one; `(count,)` int64."""
    generator = torch.Generator().manual_seed(derive_seed(seed, "photo", epoch))
    return torch.randint(0, 2**62, (count,), generator=generator)


def epoch_shares(count: int, alpha: float, seed: int, epoch: int) -> Tensor:
    """For mixup: the share of each image in its mixture, from Beta(alpha, alpha), by position; `(count,)`."""
    generator = np.random.default_rng(derive_seed(seed, "mixup", epoch))
    return torch.from_numpy(generator.beta(alpha, alpha, count).astype(np.float32))


def neighbours(order: Tensor, size: int) -> Tensor:
    """For mixup: what each position is mixed with, the next image of its batch, round to the first."""
    return torch.cat([order[first : first + size].roll(-1) for first in range(0, len(order), size)])
