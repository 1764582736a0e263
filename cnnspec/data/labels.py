"""The labels of samples from Python: whole numbers, or the names of classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from cnnspec.data.classes import match_classes
from cnnspec.data.sets import check_fit
from cnnspec.errors import CnnspecError, UsageError
from cnnspec.graph import Graph

__all__ = ["check_labels", "read_labels"]


def read_labels(
    targets: Mapping[str, Sequence[Any]], names: tuple[str, ...], graph: Graph, known: tuple[str, ...]
) -> tuple[tuple[str, ...], dict[str, Tensor]]:
    """The classes of a data set, and the labels of each split as their numbers, `(N,)` int64.

    Labels are whole numbers from 0, of which `names` may be the names, or names themselves: then classes are in
    alphabetical order, or in the spec's where it has the same ones. `known` are the classes of a network that is
    trained. Raises UsageError where they do not fit the network, and CnnspecError for what is no label.
    """
    found = {split: _plain(values, split) for split, values in targets.items()}
    first = next(iter(found.values()))
    count = graph.output_shape[0]
    if first.dtype.kind == "U":
        classes = tuple(sorted(set(first.tolist())))
        if set(graph.classes) == set(classes):
            classes = graph.classes
    else:
        classes = names or (graph.classes if len(graph.classes) == count else tuple(map(str, range(count))))
    if known:
        match_classes("the data", classes, known)
    else:
        check_fit(graph, "the data", None, len(classes))
    labels = {split: _numbers(values, classes, split) for split, values in found.items()}
    if "train" in labels and not known:
        counts = torch.bincount(labels["train"], minlength=len(classes))
        if not counts.all():
            raise CnnspecError(f"the data have no sample of class {classes[int(counts.argmin())]}")
    return classes, labels


def _plain(values: Sequence[Any], split: str) -> np.ndarray:
    """Labels as one array of whole numbers or of names. Raises UsageError."""
    name = f"y of `{'data' if split == 'train' else split}`"
    array = np.asarray(
        [value.item() if hasattr(value, "item") and not getattr(value, "ndim", 1) else value for value in values]
    )
    if array.ndim == 2 and array.shape[1] == 1:  # a column of a table
        array = array[:, 0]
    if array.ndim != 1 or array.dtype.kind not in "iubU":
        raise UsageError(f"{name} holds {array.dtype} {array.shape[1:] or ''}, and a label is a whole number or a name")
    return array if array.dtype.kind == "U" else array.astype(np.int64)


def _numbers(values: np.ndarray, classes: tuple[str, ...], split: str) -> Tensor:
    name = "data" if split == "train" else split
    if values.dtype.kind != "U":
        labels = torch.from_numpy(values)
        check_labels(labels, len(classes), name)
        return labels
    lookup = {label: number for number, label in enumerate(classes)}
    if strange := sorted(set(values.tolist()) - lookup.keys()):
        raise UsageError(f"`{name}` has the class `{strange[0]:.60}`, which the training samples do not have")
    return torch.tensor([lookup[value] for value in values.tolist()])


def check_labels(labels: Tensor, classes: int, name: str) -> None:
    """Raise CnnspecError unless every label is one of `classes` classes."""
    wrong = ((labels < 0) | (labels >= classes)).nonzero()
    if len(wrong):
        row = int(wrong[0])
        raise CnnspecError(f"{name}: image {row} has the label {int(labels[row])}; labels are 0 to {classes - 1}")
