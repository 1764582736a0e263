"""Data sets of which all images are in memory."""

from __future__ import annotations

import hashlib

import torch
from torch import Tensor

from cnnspec.arrays import fit
from cnnspec.data.sets import DataSet, Images, OpenOptions
from cnnspec.data.splits import split_rows
from cnnspec.intake import inputs_word
from cnnspec.ops import Shape
from cnnspec.tasks import TASKS, Task

__all__ = ["fit_size", "in_memory"]


def in_memory(
    name: str, classes: tuple[str, ...], train: Images, test: Images | None, options: OpenOptions,
    task: Task = TASKS["classification"], ignore: int = 255,
) -> DataSet:  # fmt: skip
    """A data set of which all images are in memory, with validation images taken from the training images."""
    kept, held = split_rows(task, train.targets, options.val_fraction, options.seed)
    size = train.images.nbytes + (test.images.nbytes if test else 0)
    remark = (
        f"{name}: {len(kept):,} {inputs_word(train.shape)} to train, {len(held):,} to validate,"
        f" {len(test) if test else 0:,} to test; {size / 1e6:,.1f} MB, all in memory"
    )
    contents = hashlib.blake2b(train.images.contiguous().numpy().data).hexdigest()
    return DataSet(name, classes, train, kept, train, held, test, remark, contents, task=task, ignore=ignore)


def fit_size(pixels: Tensor, shape: Shape) -> Tensor:
    """`(N, C, h, w)` uint8 resized to the network's input by the rule that inference uses too."""
    return pixels if tuple(pixels.shape[1:]) == shape else torch.from_numpy(fit(pixels.numpy(), shape, "`x`"))
