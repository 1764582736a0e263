"""What samples are taught, one by one or as an array: brought together, with the classes that they name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from cnnspec.arrays import Array, as_array
from cnnspec.data.classes import match_classes
from cnnspec.data.sets import check_fit, class_names
from cnnspec.data.targets import as_targets, fit_masks
from cnnspec.errors import CnnspecError, UsageError
from cnnspec.graph import Graph
from cnnspec.tasks import Task

__all__ = ["Taught", "read_targets"]


@dataclass(frozen=True)
class Taught:
    """What a data set teaches: its classes, and of each split a row for each sample, as `TargetKind` has it."""

    classes: tuple[str, ...]
    targets: dict[str, Tensor]


def read_targets(
    given: Mapping[str, Sequence[Any] | Array], shown: Mapping[str, str], names: tuple[str, ...], graph: Graph,
    task: Task, known: tuple[str, ...],
) -> Taught:  # fmt: skip
    """What the splits in `given` teach a network of this task. `shown` is what messages call them.

    Labels are whole numbers from 0, of which `names` may be the names; or they are names themselves: then classes are
    in alphabetical order, or in the spec's where it has the same ones. `known` are the classes of a network that is
    trained. Raises UsageError where they do not fit the network, and CnnspecError for what is no target.
    """
    arrays = {split: _as_one(values, shown[split]) for split, values in given.items()}
    first = next(iter(arrays.values()))
    if not task.has_classes:
        classes: tuple[str, ...] = ()
    elif task.target == "class" and first.dtype.kind == "U":
        classes = tuple(sorted(set(first.tolist())))
        classes = graph.classes if set(graph.classes) == set(classes) else classes
        if known:
            classes, _ = match_classes(next(iter(shown.values())), classes, known)
        arrays = {split: _numbered(values, classes, shown[split]) for split, values in arrays.items()}
    else:
        classes = names or class_names(graph)
    if classes:
        check_fit(graph, next(iter(shown.values())), None, len(classes), known)
    targets: dict[str, Tensor] = {}
    for split, array in arrays.items():
        name = shown[split] if task.target == "class" else f"y of {shown[split]}"
        rows = as_targets(name, array, graph, task)
        targets[split] = fit_masks(rows, graph.input_shape[1:]) if task.target == "mask" else rows
    if task.target == "class" and not known and "train" in targets:
        _check_present(targets["train"], shown["train"], graph)
    return Taught(classes, targets)


def _check_present(labels: Tensor, shown: str, graph: Graph) -> None:
    """Raise CnnspecError where a class has no sample to be learned from."""
    count = graph.output_shape[0]
    missing = (torch.bincount(labels, minlength=count) == 0).nonzero().squeeze(1).tolist()
    if missing:
        raise CnnspecError(f"{shown} has no image of class {missing[0]}, and {graph.name} has {count} classes")


def _as_one(values: Sequence[Any] | Array, shown: str) -> Array:
    """Targets as one array, a row for each sample. Raises UsageError where they are of several forms."""
    if not isinstance(values, np.ndarray):
        rows = [as_array(value, f"y of {shown}") for value in values]
        odd = next((number for number, row in enumerate(rows) if row.shape != rows[0].shape), None)
        if odd is not None:
            raise UsageError(
                f"{shown}: the target of sample {odd} is {rows[odd].shape}, and the first is {rows[0].shape}"
            )
        values = np.stack(rows)
    if values.dtype.kind == "O":  # as pandas has texts
        values = np.asarray([value if isinstance(value, str) else np.nan for value in values.ravel()]).reshape(
            values.shape
        )
    if values.ndim == 2 and values.shape[1] == 1 and values.dtype.kind in "iubU":  # a column of a table
        values = values[:, 0]
    return values


def _numbered(values: Array, classes: tuple[str, ...], shown: str) -> Array:
    """Names of classes as their numbers. Raises UsageError for one that there is not."""
    if values.ndim != 1 or values.dtype.kind != "U":
        raise UsageError(f"{shown}: a label is one name, as those of the training samples are")
    lookup = {label: number for number, label in enumerate(classes)}
    if strange := sorted(set(values.tolist()) - lookup.keys()):
        raise UsageError(f"{shown} has the class `{strange[0]:.60}`, which the training samples do not have")
    return np.asarray([lookup[value] for value in values.tolist()])
