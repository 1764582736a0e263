"""Segmentation: a class for every place of each input."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from cnnspec.data.prepare import one_hot
from cnnspec.tasks import TASKS, Answers
from cnnspec.training.config import TrainConfig
from cnnspec.training.objectives.base import Figures, Objective, class_weights, loss_word

__all__ = ["MaskObjective", "cropped", "mask_figures", "mask_ious"]


class MaskObjective(Objective):
    """Scores `(B, classes, *axes)` and masks `(B, *axes)`, of which `ignore` is no class.

    A mask that is larger than the output, as an unpadded U-Net's is, is cropped to its middle.
    """

    task = TASKS["segmentation"]
    adds = True

    def __init__(self, config: TrainConfig, counts: Tensor, ignore: int, device: torch.device) -> None:
        super().__init__(Answers("segmentation", ignore=ignore))
        self.word = loss_word(config, self.task)
        self.classes, self.ignore = len(counts), ignore
        self.weights = class_weights(config, counts, device)

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Cross-entropy, the mean over the places of an image that have a class; Dice's loss; or both added."""
        if self.word == "cross-entropy" and targets.device.type == "cpu" and int(targets.max()) < self.ignore:
            masks = cropped(targets, outputs).long()  # all have one; another device would have to be waited for
            whole = functional.cross_entropy(outputs, masks, weight=self.weights, reduction="sum")
            return whole / masks[0].numel()
        masks = cropped(targets, outputs).long()
        known = masks != self.ignore
        total = outputs.new_zeros(())
        if "cross-entropy" in self.word:
            each = functional.cross_entropy(
                outputs, torch.where(known, masks, -100), weight=self.weights, reduction="none"
            )
            total = total + (each.flatten(1).sum(1) / known.flatten(1).sum(1).clamp(min=1)).sum()
        if "dice" in self.word:
            total = total + self._dice(outputs, torch.where(known, masks, 0), known)
        return total

    def _dice(self, outputs: Tensor, masks: Tensor, known: Tensor) -> Tensor:
        """`1 - (2 p·t + 1) / (p + t + 1)`, the mean over the classes (Milletari, Navab and Ahmadi 2016)."""
        there = known.flatten(1)[:, None]
        given = outputs.softmax(1).flatten(2) * there
        wanted = one_hot(masks.flatten(), self.classes, outputs.dtype).view(*masks.flatten(1).shape, -1).mT * there
        shared = (given * wanted).sum(2)
        overlap = (2 * shared + 1) / (given.sum(2) + wanted.sum(2) + 1)
        terms = 1 - overlap
        if self.weights is not None:
            terms = terms * self.weights
        return terms.mean(1).sum()

    def note(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Places by true and predicted class, int64 `(classes, classes)`."""
        masks = cropped(targets, outputs).long()
        known = masks != self.ignore
        codes = torch.where(known, masks * self.classes + outputs.max(1).indices, self.classes**2).flatten()
        counts = codes.new_zeros(self.classes**2 + 1).scatter_add_(0, codes, torch.ones_like(codes))
        return counts[:-1].view(self.classes, self.classes)

    def figures(self, noted: Tensor) -> Figures:
        """The mean intersection over union, and the share of places that are recognised."""
        return mask_figures(noted)


def cropped(masks: Tensor, outputs: Tensor) -> Tensor:
    """The middle of masks `(B, *axes)` that outputs `(B, classes, *axes)` are of."""
    for axis, size in enumerate(outputs.shape[2:], 1):
        if masks.shape[axis] != size:
            masks = masks.narrow(axis, (masks.shape[axis] - size) // 2, size)
    return masks


def mask_ious(matrix: Tensor) -> list[float | None]:
    """The intersection over union of each class; None of one that is neither there nor given."""
    hits = matrix.diagonal().double()
    union = matrix.sum(0) + matrix.sum(1) - matrix.diagonal()
    return [float(hit / size) if size else None for hit, size in zip(hits, union, strict=True)]


def mask_figures(matrix: Tensor) -> Figures:
    """`miou`, the mean over the classes that are there or given, and `pixel_accuracy`; of no places None."""
    found = [iou for iou in mask_ious(matrix) if iou is not None]
    if not found:
        return {"miou": None, "pixel_accuracy": None}
    share = int(matrix.diagonal().sum()) / max(1, int(matrix.sum()))
    return {"miou": sum(found) / len(found), "pixel_accuracy": share}
