"""Arrays in memory as a data set: `x` of any rank, and `y` as the network's task is taught."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from cnnspec.data.sets import DataSet, Images, OpenOptions, check_fit, class_names, split_rows
from cnnspec.data.targets import as_targets, fit_masks, ignored
from cnnspec.errors import CnnspecError
from cnnspec.graph import Graph
from cnnspec.images import prepare
from cnnspec.ops import Shape, show_shape
from cnnspec.tasks import TASKS, Task

__all__ = ["TEST_FRACTION", "array_set", "fit_size", "in_memory"]

TEST_FRACTION = 0.2  # of what has no test images of its own
_SPLIT_SEED = 0  # the test images are the same whatever the seed of the run

Array = np.ndarray[Any, np.dtype[Any]]


def array_set(name: str, x: Array, y: Array, graph: Graph, task: Task, options: OpenOptions) -> DataSet:
    """`x` `(N, C, *axes)`, without C where there is one channel, images also `(N, H, W, C)`; and `y` for the task.

    Images are brought to the network's size; signals and volumes have it. Raises CnnspecError and UsageError.
    """
    if x.ndim == 0 or y.ndim == 0 or len(x) != len(y):
        raise CnnspecError(f"{name}: `x` is {x.shape} and `y` is {y.shape}; they are (N, …), with the same N")
    if len(x) < 2 or 0 in x.shape:
        raise CnnspecError(f"{name} holds {len(x)} images of {x.shape[1:]}; that is nothing to train on")
    pixels = _channels_first(name, x, graph.input_shape)
    channels = (pixels.shape[1],)
    if task.has_classes:
        check_fit(graph, name, channels, graph.output_shape[0])
    targets = as_targets(f"`y` of {name}" if task.target != "class" else name, y, graph, task)
    if task.target == "class":
        missing = sorted(set(range(graph.output_shape[0])) - set(targets.tolist()))
        if missing and not options.classes:
            raise CnnspecError(
                f"{name} has no image of class {missing[0]}, and {graph.name} has {graph.output_shape[0]} classes"
            )
    if task.target == "mask":
        if targets.shape[1:] != pixels.shape[2:]:
            raise CnnspecError(
                f"{name}: the masks in `y` are {show_shape(tuple(targets.shape[1:]))}, and what they lie over is"
                f" {show_shape(tuple(pixels.shape[2:]))}"
            )
        targets = fit_masks(targets, graph.input_shape[1:])
    kept, held = split_rows(task, targets, TEST_FRACTION, _SPLIT_SEED)
    images = fit_size(pixels, graph.input_shape)
    train, test = Images(images[kept], targets[kept]), Images(images[held], targets[held])
    return in_memory(name, class_names(graph) if task.has_classes else (), train, test, options, task, ignored(graph))


def _channels_first(name: str, x: Array, shape: Shape) -> Tensor:
    """`(N, C, *)`, from whichever axis the channels are on."""
    axes = len(shape) - 1
    if x.ndim not in (axes + 1, axes + 2):
        raise CnnspecError(f"{name}: `x` is {x.shape}, and the network reads {show_shape(shape)}: (N, C, …)")
    pixels = torch.from_numpy(np.ascontiguousarray(x))
    if x.ndim == axes + 1 and axes:
        return pixels.unsqueeze(1)
    if axes != 2:
        if tuple(x.shape[1:]) != shape:
            raise CnnspecError(f"{name}: `x` is {x.shape}, and the network reads (N, {', '.join(map(str, shape))})")
        return pixels
    if x.shape[-1] in (1, 3):
        return pixels.permute(0, 3, 1, 2).contiguous()
    if x.shape[1] not in (1, 3):
        raise CnnspecError(f"{name}: `x` is {x.shape}; one axis is the channels, 1 or 3")
    return pixels


def in_memory(
    name: str, classes: tuple[str, ...], train: Images, test: Images | None, options: OpenOptions,
    task: Task = TASKS["classification"], ignore: int = 255,
) -> DataSet:  # fmt: skip
    """A data set of which all images are in memory, with validation images taken from the training images."""
    kept, held = split_rows(task, train.targets, options.val_fraction, options.seed)
    size = train.images.nbytes + (test.images.nbytes if test else 0)
    remark = (
        f"{name}: {len(kept):,} images to train, {len(held):,} to validate, {len(test) if test else 0:,} to test;"
        f" {size / 1e6:,.1f} MB, all in memory"
    )
    contents = hashlib.blake2b(train.images.contiguous().numpy().data).hexdigest()
    return DataSet(name, classes, train, kept, train, held, test, remark, contents, task=task, ignore=ignore)


def fit_size(pixels: Tensor, shape: Shape) -> Tensor:
    """`(N, C, h, w)` uint8 resized to the network's input by the rule that inference uses too."""
    if tuple(pixels.shape[1:]) == shape:
        return pixels
    if len(shape) != 3:
        raise CnnspecError(f"what is {show_shape(tuple(pixels.shape[1:]))} is not brought to {show_shape(shape)}")
    fitted = torch.empty((len(pixels), *shape), dtype=torch.uint8)
    for row, image in enumerate(pixels):
        plane = image[0] if shape[0] == 1 else image.permute(1, 2, 0)
        fitted[row] = torch.from_numpy(prepare(Image.fromarray(plane.numpy()), shape).copy()).permute(2, 0, 1)
    return fitted
