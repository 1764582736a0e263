"""How good a network is on a set of images."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from cnnspec.data.batches import batch_rows, batches
from cnnspec.data.prepare import Prepare
from cnnspec.data.sets import ImageSet

if TYPE_CHECKING:
    from cnnspec.data.folder import LoaderPool

__all__ = ["Scores", "Scoring", "evaluate"]


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


class Scoring:
    """A network that is scored: its loss, added up on the device, and for each image its true and predicted class."""

    def __init__(
        self, model: nn.Module, prepare: Prepare, criterion: Callable[[Tensor, Tensor], Tensor], device: torch.device,
        classes: int,
    ) -> None:  # fmt: skip
        self.model, self.prepare, self.criterion, self.device, self.classes = model, prepare, criterion, device, classes
        self.loss = torch.zeros((), device=device, dtype=torch.float64 if device.type != "mps" else torch.float32)

    def __call__(self, images: Tensor, labels: Tensor) -> Tensor:
        """For each image `true * classes + predicted`, `(B,)`."""
        outputs = self.model(self.prepare(images)).float()
        self.loss += self.criterion(outputs, labels)
        predicted: Tensor = outputs.argmax(1)
        return labels * self.classes + predicted


def evaluate(
    scoring: Scoring,
    source: ImageSet,
    rows: Tensor,
    *,
    size: int,
    recorded: Callable[[Tensor], Tensor] | None = None,
    rank: int = 0,
    ranks: int = 1,
    workers: int = 0,
    loaders: LoaderPool | None = None,
    stop: Callable[[], bool] = lambda: False,
    gather: Callable[[Tensor], Tensor] = lambda tensor: tensor,
) -> Scores | None:
    """Score a network, in evaluation mode, on `rows` of a source. None where `stop` said so between two batches.

    Each process takes `size` images at a time; where `recorded` does what `scoring` does, from rows, it is called. The
    device is waited for once, at the end. `gather` adds a tensor up over all processes.
    """
    device, classes = scoring.device, scoring.classes
    scoring.model.eval()
    scoring.loss.zero_()
    found = [torch.zeros(0, dtype=torch.int64, device=device)]
    with torch.inference_mode():
        if recorded is not None:
            scored = (recorded(part).clone() for part in batch_rows(rows.to(device), 0, size))
        else:
            parts = batches(
                source, rows, size * ranks, device, rank=rank, ranks=ranks, workers=workers, loaders=loaders
            )
            scored = (scoring(images, labels) for images, labels in parts if len(labels))
        while True:
            if stop():
                return None
            codes = next(scored, None)
            if codes is None:
                break
            found.append(codes)
        matrix = torch.bincount(torch.cat(found), minlength=classes * classes)
    total = gather(matrix).cpu().view(classes, classes)
    return Scores(float(gather(scoring.loss)) / max(1, int(total.sum())), total)
