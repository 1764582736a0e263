"""What a data set is to the training loop: labelled images, and which of them are for what."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from math import prod
from pathlib import Path
from typing import Final

import numpy as np
import torch
from torch import Tensor

from cnnspec.data.classes import match_classes, some
from cnnspec.errors import CnnspecError, UsageError
from cnnspec.graph import Graph
from cnnspec.images import MAX_PIXELS, read_image
from cnnspec.ops import Shape, show_shape
from cnnspec.ops.linear import Linear

__all__ = [
    "DataSet", "Drawn", "Files", "ImageSet", "Images", "OpenOptions", "Streamed", "check_classifier", "check_fit",
    "decode", "named_as", "pick_rows", "split_parts", "stratified",
]  # fmt: skip

_TEST_FRACTION: Final = 0.2  # of samples that come without test samples of their own


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
    classes: tuple[str, ...] = ()  # what a network that is trained already tells apart; empty for one that is not


@dataclass(frozen=True)
class Images:
    """Samples in memory: `(N, C, …)`, uint8 or float32, and labels `(N,)` int64."""

    images: Tensor
    labels: Tensor
    mapped: bool = False  # the images lie in a file, and the system brings in what is read
    paths: tuple[Path, ...] = ()  # the files that they were decoded from, where there are such

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def nbytes(self) -> int:
        """What the samples come to."""
        return self.images.nbytes


@dataclass(frozen=True)
class Files:
    """Images in files, decoded to `shape` when a batch needs them; labels `(N,)` int64."""

    paths: tuple[Path, ...]
    labels: Tensor
    shape: tuple[int, int, int]
    max_pixels: int = MAX_PIXELS

    def __len__(self) -> int:
        return len(self.labels)

    def read(self, row: int) -> Tensor:
        """One image, `(C, H, W)`. Raises CnnspecError that says what is wrong with the file."""
        return torch.from_numpy(decode(self.paths[row], self.shape, self.max_pixels))

    @property
    def nbytes(self) -> int:
        """What the images come to where all of them are decoded."""
        return len(self) * prod(self.shape)


@dataclass(frozen=True)
class Drawn:
    """Samples that a data set of Python gives when a batch needs them; labels `(N,)` int64."""

    source: Callable[[int], Tensor]  # gives what the network reads of one
    rows: Tensor  # of the source, `(N,)`
    labels: Tensor
    size: int  # bytes of a sample
    paths: tuple[Path, ...] = ()

    def __len__(self) -> int:
        return len(self.labels)

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
    """A data set, split. `train_rows` and `val_rows` are rows of `train`, unless `val` holds images of its own."""

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
    fixed: bool = True  # whether every reading gives the same samples

    @property
    def digest(self) -> str:
        """Of the images in training and their labels, in their order: a run is continued on the same ones only."""
        labels = self.train.labels[self.train_rows].numpy().tobytes()
        return hashlib.sha256(labels + self.contents.encode()).hexdigest()

    @property
    def counts(self) -> Tensor:
        """How many training images each class has."""
        return torch.bincount(self.train.labels[self.train_rows], minlength=len(self.classes))


def split_parts(name: str, classes: tuple[str, ...], sources: Mapping[str, ImageSet], options: OpenOptions) -> DataSet:
    """The samples in `sources`, by `train`, `val` and `test`, as a data set.

    Without a `val`, a part of the training samples chooses the best epoch. Without `val` and `test`, a fifth is held
    back as test samples, the same whatever the seed.
    """
    train, val, test = sources["train"], sources.get("val"), sources.get("test")
    size = sum(source.nbytes for source in sources.values())
    rows = torch.arange(len(train))
    if val is None and test is None:  # hold back test samples first, so that they do not depend on the seed
        rows, held = stratified(train.labels, _TEST_FRACTION, 0)
        test = pick_rows(train, held)
    if val is not None:
        train_rows, val_rows = rows, torch.arange(len(val))
    else:
        kept, chosen = stratified(train.labels[rows], options.val_fraction, options.seed)
        train_rows, val_rows, val = rows[kept], rows[chosen], train
    if isinstance(train, Images):
        how = f"{size / 1e6:,.1f} MB, {f'decoded in {options.cache}' if train.mapped else 'all in memory'}"
    else:
        short = f": {size / 1e9:.1f} GB do not fit into memory" if options.loading == "auto" else ""
        how = f"decoded while training{short}"
    remark = (
        f"{name}: {len(train_rows):,} images of {len(classes)} classes to train, {len(val_rows):,} to validate,"
        f" {len(test) if test else 0:,} to test; {how}"
    )
    return DataSet(name, classes, train, train_rows, val, val_rows, test, remark)


def pick_rows(source: ImageSet, rows: Tensor) -> ImageSet:
    """These samples alone."""
    paths = tuple(source.paths[row] for row in rows.tolist()) if source.paths else ()
    match source:
        case Images():
            return replace(source, images=source.images[rows], labels=source.labels[rows], paths=paths)
        case Files():
            return replace(source, labels=source.labels[rows], paths=paths)
        case Drawn():
            return replace(source, rows=source.rows[rows], labels=source.labels[rows], paths=paths)


def decode(path: Path, shape: tuple[int, int, int], max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """An image as `(C, H, W)` uint8. Raises CnnspecError that says what is wrong with the file."""
    try:
        pixels = read_image(path, shape, max_pixels=max_pixels)
    except UsageError as error:  # one of many files, and not what was named
        raise CnnspecError(error.message) from None
    return np.array(np.moveaxis(pixels, -1, 0), order="C")  # a copy: the original is read-only


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


def check_classifier(graph: Graph) -> None:
    """Raise UsageError unless the network takes images and gives one number per class."""
    shapes = [graph.shape_of(output) for output in graph.outputs]
    if len(graph.input_shape) == 3 and len(shapes) == 1 and len(shapes[0]) == 1:
        return
    hint = "`inspect`, `check` and `export` take any network; `cnnspec.build` is the PyTorch module, for your own loop"
    if len(graph.input_shape) != 3:
        does = f"reads {show_shape(graph.input_shape)}"
    else:
        does = f"gives {', '.join(map(show_shape, shapes))}"
        if len(shapes) == 1 and isinstance(graph.by_name[graph.outputs[0]].op, Linear):
            hint = "`Flatten` before the last `Linear` makes a vector of its input"
    raise UsageError(
        f"{graph.name} {does} and is no classifier of images, which has an input CxHxW and one output with a number"
        " per class",
        hint=hint,
    )


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
    names, numbers = match_classes(data.name, data.classes, known)
    if numbers == [*range(len(names))]:
        return replace(data, classes=names)
    lookup = torch.tensor(numbers)

    def renamed(source: ImageSet) -> ImageSet:
        return replace(source, labels=lookup[source.labels])

    train = renamed(data.train)
    val = train if data.val is data.train else renamed(data.val)
    return replace(data, classes=names, train=train, val=val, test=None if data.test is None else renamed(data.test))
