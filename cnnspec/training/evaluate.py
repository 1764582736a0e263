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
from cnnspec.training.objectives.base import Figures, Objective

if TYPE_CHECKING:
    from cnnspec.data.loaders import LoaderPool

__all__ = ["Scores", "Scoring", "evaluate"]


@dataclass(frozen=True)
class Scores:
    """The mean loss on so many images, the figures of the task, and what they were worked out from."""

    loss: float
    images: int
    figures: Figures
    noted: Tensor


class Scoring:
    """A network that is scored: its loss, added up on the device, and what its objective notes of every batch."""

    def __init__(
        self, model: nn.Module, prepare: Prepare, criterion: Callable[[Tensor, Tensor], Tensor], objective: Objective,
        device: torch.device,
    ) -> None:  # fmt: skip
        self.model, self.prepare, self.criterion, self.device = model, prepare, criterion, device
        self.objective = objective
        self.loss = torch.zeros((), device=device, dtype=torch.float64 if device.type != "mps" else torch.float32)

    def __call__(self, images: Tensor, targets: Tensor) -> Tensor:
        """What the objective notes of a batch."""
        outputs = self.model(self.prepare(images)).float()
        self.loss += self.criterion(outputs, targets)
        return self.objective.note(outputs, targets)


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
    device, objective = scoring.device, scoring.objective
    scoring.model.eval()
    scoring.loss.zero_()
    found: list[Tensor] = []
    with torch.inference_mode():
        if recorded is not None:
            scored = (recorded(part).clone() for part in batch_rows(rows.to(device), 0, size))
        else:
            parts = batches(
                source, rows, size * ranks, device, rank=rank, ranks=ranks, workers=workers, loaders=loaders
            )
            scored = (scoring(images, targets) for images, targets in parts if len(targets))
        while True:
            if stop():
                return None
            noted = next(scored, None)
            if noted is None:
                break
            if objective.adds and found:
                found[0] += noted
            else:
                found.append(noted)
        whole = _joined(found, len(rows), size, rank, ranks, gather, adds=objective.adds)
    images = len(rows)
    return Scores(float(gather(scoring.loss)) / max(1, images), images, objective.figures(whole), whole)


def _joined(
    found: list[Tensor], count: int, size: int, rank: int, ranks: int, gather: Callable[[Tensor], Tensor], *, adds: bool
) -> Tensor:
    """What all processes have noted of `count` images, on the CPU."""
    if adds or ranks == 1:
        return gather(found[0] if adds else torch.cat(found)).cpu()
    places = torch.cat([*batch_rows(torch.arange(count), 0, size * ranks, rank, ranks)])
    own = torch.cat(found)
    whole = own.new_zeros(count, *own.shape[1:])
    whole[places.to(own.device)] = own
    return gather(whole).cpu()
