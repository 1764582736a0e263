"""What is taught, as arrays: checked against the task, and brought to the one form that training reads of its kind."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from cnnspec.errors import CnnspecError
from cnnspec.graph import Graph
from cnnspec.tasks import DEFAULT_IGNORE, Task

__all__ = ["as_targets", "check_labels", "fit_masks", "ignored", "taught_kind"]

Array = np.ndarray[Any, np.dtype[Any]]
_KINDS: Final = {"class": "iu", "labels": "biuf", "numbers": "iuf", "mask": "biu"}  # numpy's, by the kind of target
_FORMS: Final = {
    "class": "one whole number per image, (N,)",
    "labels": "0 or 1 for each class, (N, classes)",
    "numbers": "numbers, (N,) or (N, numbers)",
    "mask": "whole numbers, one for each place of the input, (N, …)",
}


def ignored(graph: Graph) -> int:
    """What stands in a network's masks where there is no class."""
    options = graph.task_options
    return DEFAULT_IGNORE if options is None or options.ignore is None else options.ignore


def taught_kind(name: str, task: Task, dtype: np.dtype[Any], shape: tuple[int, ...]) -> None:
    """Raise CnnspecError where an array of this kind cannot be what the task is taught."""
    if dtype.kind not in _KINDS[task.target]:
        hint = None
        if task.target == "class" and dtype.kind == "f":
            hint = "numbers are taught by `task: regression` in the spec"
        raise CnnspecError(f"{name} is {_FORMS[task.target]}, not {dtype!s:.60} {shape!s:.60}", hint=hint)


def as_targets(name: str, y: Array, graph: Graph, task: Task) -> Tensor:
    """What `y` teaches a network of this task, one row for each input, as `TargetKind` has it.

    `name` is what messages call it. Raises CnnspecError where it is of another form, or a value is none.
    """
    taught_kind(name, task, y.dtype, y.shape)
    count = graph.output_shape[0]
    match task.target:
        case "class":
            if y.ndim != 1:
                hint = "several classes of one image are `task: multi-label` in the spec" if y.ndim == 2 else None
                raise CnnspecError(f"{name} is {_FORMS['class']}, not {y.dtype} {y.shape}", hint=hint)
            labels = torch.from_numpy(y.astype(np.int64))
            check_labels(labels, count, name)
            return labels
        case "labels":
            if y.ndim != 2 or y.shape[1] != count:
                raise CnnspecError(f"{name} is {y.shape}; {graph.name} tells {count} classes apart: (N, {count})")
            if not np.isin(y, (0, 1)).all():
                raise CnnspecError(f"{name} holds other values than 0 and 1")
            return torch.from_numpy(y.astype(np.float32))
        case "numbers":
            if y.ndim == 1:
                y = y[:, None]
            if y.ndim != 2 or y.shape[1] != count:
                raise CnnspecError(f"{name} is {y.shape}; {graph.name} gives {count} numbers: (N, {count})")
            if not np.isfinite(y).all():
                row = int(np.flatnonzero(~np.isfinite(y).all(1))[0])
                raise CnnspecError(f"{name}: row {row} is not finite")
            return torch.from_numpy(y.astype(np.float32))
        case "mask":
            rank = len(graph.input_shape)
            if y.ndim == rank + 1 and y.shape[1] == 1:
                y = y[:, 0]
            if y.ndim != rank:
                raise CnnspecError(f"{name} is {y.shape}; a mask has the axes of the input, (N, …) of {rank} axes")
            check_mask(y, count, ignored(graph), name)
            narrow = max(count - 1, ignored(graph)) < 256
            return torch.from_numpy(y.astype(np.uint8 if narrow else np.int64))


def check_labels(labels: Tensor, classes: int, name: str) -> None:
    """Raise CnnspecError unless every label is one of `classes` classes."""
    wrong = ((labels < 0) | (labels >= classes)).nonzero()
    if len(wrong):
        row = int(wrong[0])
        raise CnnspecError(f"{name}: image {row} has the label {int(labels[row])}; labels are 0 to {classes - 1}")


def check_mask(masks: Array, classes: int, ignore: int, name: str) -> None:
    """Raise CnnspecError unless every value of some masks is one of `classes` classes, or `ignore`."""
    if masks.size and masks.min() >= 0 and masks.max() < classes:  # in a thirtieth of the time of listing them
        return
    for value in np.unique(masks).tolist():
        if value != ignore and not 0 <= value < classes:
            row = int(np.flatnonzero((masks == value).reshape(len(masks), -1).any(1))[0])
            raise CnnspecError(
                f"{name}: mask {row} holds {value}; classes are 0 to {classes - 1}, and {ignore} is none of them",
                hint=f"`task: {{type: segmentation, ignore: {value}}}` in the spec leaves such places out"
                if 0 <= value <= 255
                else f"give such places the value {ignore}: masks hold 0 to 255",
            )


def fit_masks(masks: Tensor, axes: tuple[int, ...]) -> Tensor:
    """`(N, *)` masks at the network's size, by the nearest place."""
    if tuple(masks.shape[1:]) == axes:
        return masks
    return functional.interpolate(masks[:, None].float(), axes, mode="nearest-exact")[:, 0].to(masks.dtype)
