"""What a data set is to the training loop: images with what is taught of them, and which of them are for what."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from cnnspec.data.archive import Place, content
from cnnspec.data.classes import match_classes, some
from cnnspec.errors import CnnspecError, UsageError
from cnnspec.graph import Graph
from cnnspec.images import MAX_PIXELS, Box, read_image
from cnnspec.intake import STRETCH, Intake, inputs_word
from cnnspec.ops import Shape, show_shape
from cnnspec.ops.linear import Linear
from cnnspec.partial_images import check_image, read_crop
from cnnspec.sounds import read_sound
from cnnspec.tasks import DEFAULT_IGNORE, TASKS, Task

__all__ = [
    "DataSet", "Drawn", "Files", "ImageSet", "Images", "OpenOptions", "Streamed", "check_fit", "check_trainable",
    "class_names", "decode", "named_as",
]  # fmt: skip


@dataclass(frozen=True)
class OpenOptions:
    """How a data set is to be opened."""

    folder: Path  # where downloaded sets lie
    val_fraction: float = 0.1
    seed: int = 0
    skip_bad: bool = False
    max_pixels: int = MAX_PIXELS  # of an image file
    loading: str = "auto"
    cache: Path | None = None
    memory: int = 2**30  # bytes of images that may be kept in memory
    report: Callable[[str], None] = print
    as_files: bool = False  # training images in files stay there: crops of them are cut at their own size
    varied: bool = False  # training images are varied at random, so that those that lie apart may be read as `near`
    classes: tuple[str, ...] = ()  # what a network that is trained already tells apart; empty for one that is not


@dataclass(frozen=True)
class Images:
    """Inputs in memory: `(N, C, *axes)`, uint8 or float32, and what is taught of each, as `TargetKind` has it."""

    images: Tensor
    targets: Tensor
    mapped: bool = False  # the images lie in a file, and the system brings in what is read
    paths: tuple[Place, ...] = ()  # the files that they were decoded from, where there are such
    near: bool = False  # as that of the `Files` that they were

    def __len__(self) -> int:
        return len(self.targets)

    @property
    def nbytes(self) -> int:
        """What the samples come to."""
        return self.images.nbytes

    @property
    def shape(self) -> Shape:
        """Of one input."""
        return tuple(self.images.shape[1:])

    def read(self, row: int) -> Tensor:
        """One input, `(C, …)`."""
        return self.images[row]


@dataclass(frozen=True)
class Files:
    """Images or sounds in files, decoded to `shape` when a batch needs them; `targets` as those of `Images`."""

    paths: tuple[Place, ...]
    targets: Tensor
    shape: Shape
    max_pixels: int = MAX_PIXELS
    intake: Intake = STRETCH
    near: bool = False  # large JPEGs may be decoded at a smaller size, which is near enough for training only

    def __len__(self) -> int:
        return len(self.targets)

    def read(self, row: int) -> Tensor:
        """One image, `(C, H, W)`. Raises CnnspecError that says what is wrong with the file."""
        if self.near:
            return self.cropped(row)
        return torch.from_numpy(decode(self.paths[row], self.shape, self.max_pixels, self.intake))

    def cropped(self, row: int, choose: Callable[[tuple[int, int]], Box] | None = None) -> Tensor:
        """A part of an image, or all of it, `(C, H, W)`; see `read_crop`. Raises as `read`."""
        path = self.paths[row]
        with _of_many():
            pixels = read_crop(content(path), self.shape, choose, name=str(path), max_pixels=self.max_pixels)
        return torch.from_numpy(np.array(np.moveaxis(pixels, -1, 0), order="C"))

    def check(self, row: int, *, whole: bool = True) -> bool:
        """Whether a file holds more than one colour or value. Raises as `read`, in less time; see `check_image`."""
        path = self.paths[row]
        if len(self.shape) != 3:
            values = self.read(row)
            return bool((values != values.flatten()[0]).any())
        with _of_many():
            return check_image(content(path), self.shape, name=str(path), max_pixels=self.max_pixels, whole=whole)

    @property
    def nbytes(self) -> int:
        """What the images come to where all of them are decoded."""
        return len(self) * prod(self.shape) * self.kind.itemsize

    @property
    def kind(self) -> np.dtype[Any]:
        """Of the numbers: bytes of images, float32 of sounds."""
        return np.dtype(np.uint8 if len(self.shape) == 3 else np.float32)


@dataclass(frozen=True)
class Drawn:
    """Inputs that a data set of Python gives when a batch needs them; `targets` as those of `Images`."""

    source: Callable[[int], Tensor]  # gives what the network reads of one
    rows: Tensor  # of the source, `(N,)`
    targets: Tensor
    size: int  # bytes of a sample
    kind: np.dtype[Any]
    shape: Shape  # of one input
    paths: tuple[Place, ...] = ()

    def __len__(self) -> int:
        return len(self.targets)

    def read(self, row: int) -> Tensor:
        """One sample, `(C, …)`. Raises UsageError and CnnspecError where it cannot be read."""
        return self.source(int(self.rows[row]))

    @property
    def nbytes(self) -> int:
        """What the samples come to."""
        return len(self) * self.size


Streamed = Files | Drawn
ImageSet = Images | Streamed


@dataclass(frozen=True)
class DataSet:
    """A data set, split. `train_rows` and `val_rows` are rows of `train`, unless `val` holds images of its own.

    `classes` are those of its targets; of numbers there are none.
    """

    name: str
    classes: tuple[str, ...]
    train: ImageSet
    train_rows: Tensor
    val: ImageSet
    val_rows: Tensor
    test: ImageSet | None
    remark: str = ""  # one line for people: sizes, and how the images are held
    contents: str = ""  # what tells these training images from others, however they are held
    place: Path | None = None  # the folder or file that it was read from, if it is no set with a name
    task: Task = TASKS["classification"]
    ignore: int = DEFAULT_IGNORE  # in masks, where there is no class
    fixed: bool = True  # whether every reading gives the same samples

    @property
    def digest(self) -> str:
        """Of the images in training and their targets, in their order: a run is continued on the same ones only."""
        digest = hashlib.sha256(self.train.targets[self.train_rows].contiguous().numpy().data)
        digest.update(self.contents.encode())
        return digest.hexdigest()

    @property
    def inputs(self) -> str:
        """What its inputs are called: images, signals or volumes."""
        return inputs_word(self.train.shape)

    @property
    def bytes(self) -> bool:
        """Whether its inputs are bytes, as of pictures."""
        train = self.train
        kind = train.images.dtype == torch.uint8 if isinstance(train, Images) else train.kind == np.uint8
        return bool(kind)

    @cached_property
    def counts(self) -> Tensor:
        """How many training images each class has; of masks, how many places. Empty where there are no classes."""
        targets = self.train.targets[self.train_rows]
        if self.task.target == "labels":
            return targets.sum(0).round().to(torch.int64)
        if self.task.target == "numbers":
            return torch.zeros(0, dtype=torch.int64)
        if self.task.target == "mask" and targets.dtype == torch.uint8:
            found = torch.bincount(targets.flatten(), minlength=256)  # a tenth of the time of leaving places out first
            found[self.ignore] = 0
            return found[: len(self.classes)]
        if self.task.target == "mask":
            targets = targets[targets != self.ignore].flatten()
        return torch.bincount(targets, minlength=len(self.classes))


@contextmanager
def _of_many() -> Iterator[None]:
    """For one of many files, which is not what was named: what is wrong with it is no UsageError."""
    try:
        yield
    except UsageError as error:
        raise CnnspecError(error.message) from None


def decode(path: Place, shape: Shape, max_pixels: int = MAX_PIXELS, intake: Intake = STRETCH) -> np.ndarray:
    """An image as `(C, H, W)` uint8, or a sound as `(C, L)` float32.

    Raises CnnspecError that says what is wrong with the file.
    """
    with _of_many():
        source = content(path)
        if len(shape) == 2:
            return read_sound(source, shape, intake, name=str(path))
        pixels = read_image(source, shape, intake=intake, name=str(path), max_pixels=max_pixels)
    return np.array(np.moveaxis(pixels, -1, 0), order="C")  # a copy: the original is read-only


def check_trainable(graph: Graph) -> Task:
    """The network's task. Raises UsageError unless it has one output, and it is known what that is for."""
    shapes = [graph.shape_of(output) for output in graph.outputs]
    shown = f"{graph.name} gives {', '.join(map(show_shape, shapes))}"
    if len(shapes) != 1:
        raise UsageError(
            f"{shown}, and what is trained has one output",
            hint="`outputs` of the spec says which; heads that only training has are `aux_outputs`",
        )
    task = graph.task
    if task is None:
        linear = isinstance(graph.by_name[graph.outputs[0]].op, Linear)
        raise UsageError(
            f"{shown}, and what that is for has to be said",
            hint="`Flatten` before the last `Linear` makes a vector of its input"
            if linear
            else "`task: segmentation` in the spec, or the names of its `classes`, where it is a class for every place",
        )
    for name in graph.aux_outputs:
        if graph.shape_of(name) != graph.output_shape:
            raise UsageError(
                f"the auxiliary output `{name}` of {graph.name} is {show_shape(graph.shape_of(name))}, and the output"
                f" {show_shape(graph.output_shape)}: both are taught the same"
            )
    return task


def class_names(graph: Graph) -> tuple[str, ...]:
    """The names of the classes that a network tells apart: those of its spec, or else numbers."""
    count = graph.output_shape[0]
    return graph.classes if len(graph.classes) == count else tuple(map(str, range(count)))


def check_fit(
    graph: Graph, name: str, channels: tuple[int, ...] | None, classes: int, known: tuple[str, ...] = ()
) -> None:
    """Raise UsageError unless a classifier takes the images of a data set, of any of these channels, and its classes.

    `known` are the classes of a network that is trained, and can have no others.
    """
    if channels is not None and graph.input_shape[0] not in channels:
        shape: Shape = (channels[-1], *graph.input_shape[1:])
        listed = " or ".join(map(str, channels))
        raise UsageError(
            f"{name} has images of {listed} channel{'s' * (channels != (1,))}, but {graph.name} reads"
            f" {show_shape(graph.input_shape)}",
            hint=f"`--input {show_shape(shape)}` gives the network as many channels",
        )
    if classes != graph.output_shape[0] and known:
        raise UsageError(f"{name} has {classes} classes, and the network was trained on {len(known)}: {some(known)}")
    if classes != graph.output_shape[0]:
        raise UsageError(
            f"{name} has {classes} classes, but {graph.name} gives {graph.output_shape[0]} numbers",
            hint=f"give the last layer {classes} outputs; where the spec has a parameter for it:"
            f" `--set num_classes={classes}`",
        )


def named_as(data: DataSet, known: tuple[str, ...]) -> DataSet:
    """The data set with the classes of a trained network. Raises as `match_classes`."""
    if not data.task.has_classes:
        return data
    names, numbers = match_classes(data.name, data.classes, known)
    if numbers == [*range(len(names))]:
        return replace(data, classes=names)
    lookup = torch.tensor(numbers)

    def renamed(source: ImageSet) -> ImageSet:
        if data.task.target == "labels":  # a column for each class
            wide = torch.zeros(len(source), len(names))
            return replace(source, targets=wide.index_copy_(1, lookup, source.targets.float()))
        if data.task.target == "mask":
            whole = torch.full((256,), data.ignore)
            whole[: len(numbers)] = lookup
            return replace(source, targets=whole.to(source.targets.dtype)[source.targets.long()])
        return replace(source, targets=lookup[source.targets])

    train = renamed(data.train)
    val = train if data.val is data.train else renamed(data.val)
    return replace(data, classes=names, train=train, val=val, test=None if data.test is None else renamed(data.test))
