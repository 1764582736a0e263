"""Data from Python as a data set: read through once, kept in memory or in the cache, and known by its content."""

from __future__ import annotations

import hashlib
import uuid
import warnings
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any, Final, NamedTuple

import numpy as np
import torch
from torch import Tensor

from cnnspec.arrays import Array, as_array, as_values, channels_first, check_finite, fit, is_array, read_sample
from cnnspec.data.classes import SHOWN
from cnnspec.data.given import Given, class_names, is_map, is_pair, split_sample
from cnnspec.data.labels import read_targets
from cnnspec.data.sets import DataSet, Drawn, Images, ImageSet, OpenOptions, check_trainable
from cnnspec.data.splits import split_parts
from cnnspec.data.stores import InCache, InMemory, Nowhere, Store
from cnnspec.data.targets import ignored
from cnnspec.errors import CnnspecError, UsageError
from cnnspec.graph import Graph
from cnnspec.intake import Intake
from cnnspec.ops import Shape

__all__ = ["open_given"]

_CHUNK: Final = 2**26  # bytes that are looked at together
_TWICE: Final = 4  # samples that are read twice, to see whether they stay as they are


@dataclass(frozen=True)
class _Part:
    """The samples of one split, as they were read."""

    images: ImageSet  # still without targets
    targets: Sequence[Any] | Array
    digest: str
    fixed: bool = True  # whether every reading gives the same
    classes: tuple[str, ...] = ()


class _Sample(NamedTuple):
    row: int
    values: Array  # (C, …)
    target: Any


def open_given(given: Given, graph: Graph, options: OpenOptions, name: str = "data") -> DataSet:
    """Samples from Python, or of a file of arrays, for this network, split as those of a folder are.

    Every sample is read once, and what all of them hold is what the data are known by. Where they fit into memory they
    stay there; else a data set is read anew while training, and what can only be gone through is kept in the cache.
    Raises UsageError where samples do not fit the network, and CnnspecError for those that cannot be read.
    """
    task, every = check_trainable(graph), given.parts
    shown = {split: name if split == "train" or len(every) == 1 else split for split in every}
    parts = {
        split: _read(Reading(part, shown[split], graph.input_shape, graph.intake, options.max_pixels), options)
        for split, part in every.items()
    }
    first, *_ = parts.values()
    targets = {split: part.targets for split, part in parts.items()}
    taught = read_targets(targets, shown, first.classes, graph, task, options.classes)
    sources: dict[str, ImageSet] = {
        split: replace(part.images, targets=taught.targets[split]) for split, part in parts.items()
    }
    fixed = all(part.fixed for part in parts.values())
    if not fixed:
        options.report("the data give other samples each time they are read, so that a run on them is not continued")
    known_by = (part.digest for split, part in parts.items() if split != "test")
    contents = " ".join(known_by) if fixed else uuid.uuid4().hex
    if "train" in sources:
        data = split_parts(name, taught.classes, sources, options, task, ignored(graph))
    else:  # they are only scored
        test, none = sources["test"], torch.arange(0)
        rows = torch.arange(len(test))
        data = DataSet(name, taught.classes, test, none, test, rows, test, task=task, ignore=ignored(graph))
    return replace(data, contents=contents, fixed=fixed)


def _read(read: Reading, options: OpenOptions) -> _Part:
    if not is_pair(read.part):
        return _of_samples(read, options)
    x, y = read.part
    if is_array(x) and not (isinstance(x, np.memmap) and _is_changed(x, read.shape)):
        return _of_arrays(x, y, read)
    return _of_samples(replace(read, part=_Zipped(x, y, read.name)), options)


def _is_changed(x: Array, shape: Shape) -> bool:
    """Whether an array in a file is not what the network reads as it is, so that a copy of it would be made."""
    return x.dtype not in (np.uint8, np.float32) or x.shape[1:] != shape or not x.flags.c_contiguous


class _Zipped:
    """A list of samples and their targets, as a data set."""

    def __init__(self, inputs: Any, targets: Any, name: str) -> None:
        self.inputs, self.targets = inputs, as_array(targets, f"y of {name}")
        if not is_map(inputs):
            raise UsageError(f"x of {name} is neither an array nor a list of samples")
        _check_count(name, len(inputs), self.targets)

    def __len__(self) -> int:
        return len(self.inputs)

    def __getitem__(self, row: int) -> tuple[Any, Any]:
        return self.inputs[row], self.targets[row]


def _check_count(name: str, samples: int, targets: Array) -> None:
    """Raise UsageError unless there is a target for each of so many samples, and a sample at all."""
    if not targets.ndim or len(targets) != samples:
        count = len(targets) if targets.ndim else "no list of"
        raise UsageError(f"{name} holds {samples:,} samples and {count} targets")
    if not samples:
        raise UsageError(f"{name} holds no sample")


def _of_arrays(x: object, y: object, read: Reading) -> _Part:
    """Samples that are arrays already; where nothing has to be done to them they stay where they are."""
    name, shape = read.name, read.shape
    shown = f"x of {name}"
    given, targets = as_array(x, shown), as_array(y, f"y of {name}")
    values = channels_first(as_values(given, shown), shape, shown)
    _check_count(name, len(values), targets)
    values = np.ascontiguousarray(fit(values, shape, shown, read.intake))
    check_finite(values, shown)
    mapped = isinstance(given, np.memmap) and np.may_share_memory(values, given)
    with warnings.catch_warnings():  # nobody writes there
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        images = Images(torch.from_numpy(values.view(np.ndarray)), torch.empty(0), mapped=mapped)
    digest, many = hashlib.blake2b(), max(1, _CHUNK // values[:1].nbytes)
    for first in range(0, len(values), many):
        digest.update(values[first : first + many].data)
    return _Part(images, targets, digest.hexdigest())


def _of_samples(read: Reading, options: OpenOptions) -> _Part:
    """Samples one by one: kept in memory or in the cache, or only looked at where they can be read at any time."""
    bad: list[str] = []
    part, name = read.part, read.name
    found = _samples(read, bad)
    first = next(found, None)
    if first is None:
        raise _unreadable(name, bad) if bad else UsageError(f"{name} holds no sample")
    fixed = not is_map(part) or _is_fixed(read)
    targets, rows, digest = [], [], hashlib.blake2b()
    with closing(_store(part, name, first.values.nbytes, options) if fixed else Nowhere()) as store:
        for sample in chain([first], found):
            if sample.values.dtype != first.values.dtype:
                raise UsageError(
                    f"sample {sample.row} of {name} holds {sample.values.dtype}, and those before it"
                    f" {first.values.dtype}"
                )
            digest.update(sample.values.data)
            targets.append(sample.target)
            rows.append(sample.row)
            store.add(sample.values)
        if bad and not options.skip_bad:
            raise _unreadable(name, bad)
        images: ImageSet | None = store.images(read.shape)
    if bad:
        options.report(f"left out, as no samples that can be read: {_listed(bad)}")
    if images is None:
        images = Drawn(read, torch.tensor(rows), torch.empty(0), first.values.nbytes, first.values.dtype, read.shape)
    return _Part(images, targets, digest.hexdigest(), fixed, class_names(part))


def _store(part: Any, name: str, size: int, options: OpenOptions) -> Store:
    """Where samples of this size are kept, if they are: those of a data set can be read anew."""
    count = len(part) if is_map(part) else None
    if options.loading == "resident":
        return InMemory(name, None, count)
    if options.loading == "auto" and count is not None and count * size <= options.memory:
        return InMemory(name, None, count)
    if options.cache is not None:
        return InCache(options.cache)
    return Nowhere() if count is not None else InMemory(name, options.memory, None)


@dataclass(frozen=True)
class Reading:
    """Reads samples of a data set as a network's input, in this process or in another."""

    part: Any
    name: str
    shape: Shape
    intake: Intake
    max_pixels: int

    def sample(self, row: int) -> _Sample:
        """Sample `row` of a data set that has rows. Raises UsageError and CnnspecError."""
        try:
            sample = self.part[row]
        except CnnspecError:
            raise
        except Exception as error:  # of code that is not ours
            raise self.failed(row, error) from error
        return self.prepared(row, sample)

    def __call__(self, row: int) -> Tensor:
        """What the network reads of sample `row`, `(C, …)`."""
        values = self.sample(row).values
        return torch.from_numpy(values if values.flags.writeable else values.copy())

    def prepared(self, row: int, sample: object) -> _Sample:
        """What a sample holds, as the network reads it."""
        shown = f"sample {row} of {self.name}"
        image, target = split_sample(sample, shown)
        return _Sample(
            row, read_sample(image, self.shape, shown, intake=self.intake, max_pixels=self.max_pixels), target
        )

    def failed(self, row: int, error: Exception) -> CnnspecError:
        """The error for a sample that the data set itself does not give."""
        reason = " ".join(str(error).split())
        return CnnspecError(f"sample {row} of {self.name} is not given: {type(error).__name__}: {reason:.200}")


def _samples(read: Reading, bad: list[str]) -> Iterator[_Sample]:
    """All samples in their order. To `bad` goes what is wrong with those that cannot be read."""
    part = read.part
    if is_map(part):
        for row in range(len(part)):
            try:
                yield read.sample(row)
            except UsageError:
                raise
            except CnnspecError as error:
                bad.append(error.message)
        return
    rows, row = iter(part), 0
    while True:
        try:
            sample = next(rows)
        except StopIteration:
            return
        except Exception as error:  # of code that is not ours; what comes behind it is not to be had
            raise read.failed(row, error) from error
        try:
            yield read.prepared(row, sample)
        except UsageError:
            raise
        except CnnspecError as error:
            bad.append(error.message)
        row += 1


def _is_fixed(read: Reading) -> bool:
    """Whether a data set gives the same again: it may vary its samples at random, as transforms for training do."""
    few = replace(read, part=_Some(read.part, range(min(_TWICE, len(read.part)))))
    first, again = ([sample.values.tobytes() for sample in _samples(few, [])] for _ in range(2))
    return first == again


class _Some:
    """A few samples of a data set."""

    def __init__(self, part: Any, rows: range) -> None:
        self.part, self.rows = part, rows

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, row: int) -> Any:
        return self.part[self.rows[row]]


def _unreadable(name: str, bad: list[str]) -> CnnspecError:
    return CnnspecError(
        f"{len(bad):,} sample{'s' * (len(bad) > 1)} of {name} cannot be read: {_listed(bad)}",
        hint="`skip_bad=True` leaves them out",
    )


def _listed(bad: list[str]) -> str:
    return "; ".join(bad[:SHOWN]) + (f"; and {len(bad) - SHOWN:,} more" if len(bad) > SHOWN else "")
