"""Which samples train, which choose the best epoch, and which are held back for the test."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

import torch
from torch import Tensor

from cnnspec.data.sets import DataSet, Drawn, Files, Images, ImageSet, OpenOptions
from cnnspec.errors import CnnspecError
from cnnspec.intake import inputs_word
from cnnspec.tasks import DEFAULT_IGNORE, TASKS, Task

__all__ = ["TEST_FRACTION", "TEST_SEED", "pick_rows", "split_parts", "split_rows", "stratified"]

TEST_FRACTION: Final = 0.2  # of what has no test samples of its own
TEST_SEED: Final = 0  # they are the same whatever the seed of the run


def split_parts(
    name: str, classes: tuple[str, ...], sources: Mapping[str, ImageSet], options: OpenOptions,
    task: Task = TASKS["classification"], ignore: int = DEFAULT_IGNORE,
) -> DataSet:  # fmt: skip
    """The samples in `sources`, by `train`, `val` and `test`, as a data set.

    Without a `val`, a part of the training samples chooses the best epoch. Without `val` and `test`, a fifth is held
    back as test samples, the same whatever the seed.
    """
    train, val, test = sources["train"], sources.get("val"), sources.get("test")
    size = sum(source.nbytes for source in sources.values())
    rows = torch.arange(len(train))
    if val is None and test is None:  # hold back test samples first, so that they do not depend on the seed
        rows, held = split_rows(task, train.targets, TEST_FRACTION, TEST_SEED)
        test = pick_rows(train, held)
    if val is not None:
        train_rows, val_rows = rows, torch.arange(len(val))
    else:
        kept, chosen = split_rows(task, train.targets[rows], options.val_fraction, options.seed)
        train_rows, val_rows, val = rows[kept], rows[chosen], train
    if isinstance(train, Images):
        where = f"decoded in {options.cache}" if options.cache else "read where they lie"
        how = f"{size / 1e6:,.1f} MB, {where if train.mapped else 'all in memory'}"
    else:
        short = (
            f": {size / 1e9:.1f} GB do not fit into memory"
            if options.loading == "auto" and size > options.memory
            else ""
        )
        how = f"decoded while training{short}"
    of_classes = f" of {len(classes)} classes" * bool(classes)
    remark = (
        f"{name}: {len(train_rows):,} {inputs_word(train.shape)}{of_classes} to train, {len(val_rows):,} to validate,"
        f" {len(test) if test else 0:,} to test; {how}"
    )
    return DataSet(name, classes, train, train_rows, val, val_rows, test, remark, task=task, ignore=ignore)


def pick_rows(source: ImageSet, rows: Tensor) -> ImageSet:
    """These samples alone."""
    paths = tuple(source.paths[row] for row in rows.tolist()) if source.paths else ()
    targets = source.targets[rows]
    match source:
        case Images():
            return replace(source, images=source.images[rows], targets=targets, paths=paths)
        case Files():
            return replace(source, targets=targets, paths=paths)
        case Drawn():
            return replace(source, rows=source.rows[rows], targets=targets, paths=paths)


def stratified(labels: Tensor, fraction: float, seed: int) -> tuple[Tensor, Tensor]:
    """Rows to keep and rows to hold back, `fraction` of every class (at least one of each), both sorted.

    Raises CnnspecError where a class has fewer than two images.
    """
    generator = torch.Generator().manual_seed(seed)
    held = []
    for label in range(int(labels.max()) + 1):
        rows = (labels == label).nonzero().squeeze(1)
        if not len(rows):
            continue
        if len(rows) < 2:
            raise CnnspecError(
                f"class {label} has {len(rows)} image, and at least 2 are needed to hold one back",
                hint="add images, or give validation images of their own",
            )
        count = min(max(1, round(fraction * len(rows))), len(rows) - 1)
        held.append(rows[torch.randperm(len(rows), generator=generator)[:count]])
    chosen = torch.zeros(len(labels), dtype=torch.bool)
    chosen[torch.cat(held)] = True
    return (~chosen).nonzero().squeeze(1), chosen.nonzero().squeeze(1)


def split_rows(task: Task, targets: Tensor, fraction: float, seed: int) -> tuple[Tensor, Tensor]:
    """Rows to keep and rows to hold back: by class where each image has one, else `fraction` of all (at least one).

    Both are sorted. Raises CnnspecError where there are too few images.
    """
    if task.target == "class":
        return stratified(targets, fraction, seed)
    count = len(targets)
    if count < 2:
        raise CnnspecError(f"{count} images are too few: at least 2 are needed to hold one back")
    order = torch.randperm(count, generator=torch.Generator().manual_seed(seed))
    held = min(max(1, round(fraction * count)), count - 1)
    return order[held:].sort().values, order[:held].sort().values
