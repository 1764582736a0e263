"""How good a network is on a set of images."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from cnnspec.data.batches import batches
from cnnspec.data.prepare import Prepare
from cnnspec.data.sets import ImageSet

if TYPE_CHECKING:
    from cnnspec.data.folder import LoaderPool

__all__ = ["Scores", "evaluate"]


@dataclass(frozen=True)
class Scores:
    """Mean loss, and images by true and predicted class, `(classes, classes)`."""

    loss: float
    matrix: Tensor

    @property
    def images(self) -> int:
        """How many images there were."""
        return int(self.matrix.sum())

    @property
    def accuracy(self) -> float:
        """The share of images that were recognised."""
        return int(self.matrix.diagonal().sum()) / max(1, self.images)


def evaluate(
    model: nn.Module,
    source: ImageSet,
    rows: Tensor,
    prepare: Prepare,
    criterion: Callable[[Tensor, Tensor], Tensor],
    device: torch.device,
    *,
    classes: int,
    size: int,
    rank: int = 0,
    ranks: int = 1,
    workers: int = 0,
    loaders: LoaderPool | None = None,
    stop: Callable[[], bool] = lambda: False,
    gather: Callable[[Tensor], Tensor] = lambda tensor: tensor,
) -> Scores | None:
    """Score a network, in evaluation mode, on `rows` of a source. None where `stop` said so between two batches.

    Each process takes `size` images at a time, and `gather` adds a tensor up over all processes.
    """
    model.eval()
    loss = torch.zeros((), device=device, dtype=torch.float64 if device.type != "mps" else torch.float32)
    matrix = torch.zeros(classes * classes, device=device, dtype=torch.int64)
    with torch.inference_mode():
        for images, labels in batches(
            source, rows, size * ranks, device, rank=rank, ranks=ranks, workers=workers, loaders=loaders
        ):
            if stop():
                return None
            if not len(labels):
                continue
            outputs = model(prepare(images)).float()
            loss += criterion(outputs, labels)
            matrix += torch.bincount(labels * classes + outputs.argmax(1), minlength=classes * classes)
    total = gather(matrix).cpu().view(classes, classes)
    return Scores(float(gather(loss)) / max(1, int(total.sum())), total)
