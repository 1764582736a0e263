"""Data that somebody has in Python, told apart by what they can do. Importing this module imports no torch."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from cnnspec.arrays import INPUTS, is_array
from cnnspec.errors import UsageError
from cnnspec.public import shown

__all__ = ["IN_PYTHON", "Given", "class_names", "columns", "is_map", "is_pair", "split_sample"]

IN_PYTHON: Final = "python"  # what a run says of its data where they were handed over in Python
SPLITS: Final = {"train": ("train",), "val": ("val", "validation", "valid", "dev"), "test": ("test",)}
_TARGETS: Final = ("label", "labels", "y", "target", "targets", "class", "fine_label")


@dataclass(frozen=True, eq=False)
class Given:
    """Samples from Python, and which are for what: those that choose the best epoch and those of the test, or None.

    Each is a pair of arrays `(x, y)`, a data set with `len` and rows, or what can only be gone through.
    """

    train: object
    val: object = None
    test: object = None

    @classmethod
    def of(cls, data: object, val: object = None, test: object = None) -> Given:
        """What was given, with the splits of a dictionary of data sets each in its place. Raises UsageError."""
        if isinstance(data, Mapping) and "train" in data:
            if val is not None or test is not None:
                raise UsageError("`data` holds its splits by name, so `val` and `test` have no place beside it")
            if unknown := sorted(set(data) - {name for names in SPLITS.values() for name in names}):
                raise UsageError(
                    f"`data` has the split {shown(unknown[0])}",
                    hint="splits are train, val (or validation) and test; hand the others over by name",
                )
            parts = [next((data[name] for name in names if name in data), None) for names in SPLITS.values()]
            return cls.of(*parts)
        for name, part in (("data", data), ("val", val), ("test", test)):
            if part is not None or name == "data":
                _check_kind(part, name)
        return cls(data, val, test)

    def as_test(self) -> Given:
        """The same samples, to be scored: the test's where it has some."""
        return Given(None, None, self.train if self.test is None else self.test)

    @property
    def parts(self) -> dict[str, object]:
        """What there is, by its split."""
        every = {"train": self.train, "val": self.val, "test": self.test}
        return {name: part for name, part in every.items() if part is not None}


def _check_kind(part: object, name: str) -> None:
    """Raise UsageError for what holds no samples."""
    if hasattr(part, "batch_sampler") and hasattr(part, "dataset"):
        raise UsageError(
            f"`{name}` is a loader of batches, and the batches of a run are its own: order, size and augmentation",
            hint="hand over its `dataset`",
        )
    if is_array(part):
        raise UsageError(f"`{name}` is an array without labels", hint=f"`{name}=(x, y)`")
    texts = isinstance(part, str | bytes)
    if is_pair(part) or (not texts and not isinstance(part, Mapping) and (is_map(part) or isinstance(part, Iterable))):
        return
    raise UsageError(
        f"`{name}` is {shown(part)}, and no samples",
        hint="`(x, y)` of arrays, a data set of `(image, label)`, or the name or path of one",
    )


def is_pair(part: object) -> bool:
    """Whether samples are two arrays (or lists), and no list of samples."""
    return isinstance(part, tuple) and len(part) == 2


def is_map(part: object) -> bool:
    """Whether samples have numbers: any of them can be read at any time."""
    return hasattr(part, "__getitem__") and hasattr(part, "__len__")


def class_names(part: object) -> tuple[str, ...]:
    """The names of the classes that a data set knows: `classes` as torchvision has them, or those of its features."""
    features = getattr(part, "features", None)
    if isinstance(features, Mapping):
        names = getattr(features.get(_column(features, _TARGETS) or ""), "names", None)
    else:
        names = getattr(part, "classes", None)
    if isinstance(names, Sequence) and not isinstance(names, str) and all(isinstance(name, str) for name in names):
        return tuple(names)
    return ()


def columns(sample: Mapping[str, Any], name: str) -> tuple[str, str]:
    """Which columns of a sample are its image and its target. Raises UsageError where that is not to be seen."""
    found = _column(sample, INPUTS), _column(sample, _TARGETS)
    image, target = found
    if image is None or target is None:
        what = "image" if image is None else "label"
        raise UsageError(
            f"{name} has the columns {', '.join(map(str, sample))}, and none is known to be the {what}",
            hint="`data.rename_column(…)`: they are called `image` and `label`",
        )
    return image, target


def _column(names: Mapping[str, Any], known: Sequence[str]) -> str | None:
    return next((name for name in known if name in names), None)


def split_sample(sample: object, name: str) -> tuple[Any, Any]:
    """A sample's image and target, of a dictionary or a pair. Raises UsageError for another kind."""
    if isinstance(sample, Mapping):
        image, target = columns(sample, name)
        return sample[image], sample[target]
    if isinstance(sample, tuple | list) and len(sample) == 2:
        return sample[0], sample[1]
    raise UsageError(f"{name} is {shown(sample)}, and no pair of an image and its label")
