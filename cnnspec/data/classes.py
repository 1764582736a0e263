"""The classes of a data set, by the names of folders. Needs no torch: a file is scored without it too."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from cnnspec.errors import UsageError

__all__ = ["SHOWN", "VAL_FOLDERS", "match_classes", "some"]

SHOWN: Final = 5  # names in a message
VAL_FOLDERS: Final = ("val", "valid", "validation")  # of images that choose the best epoch, beside `train` and `test`


def some(names: Sequence[str]) -> str:
    """The first of these names, for a message."""
    return ", ".join(names[:SHOWN]) + ", …" * (len(names) > SHOWN)


def match_classes(name: str, found: tuple[str, ...], known: tuple[str, ...]) -> tuple[tuple[str, ...], list[int]]:
    """The names of all classes that a trained network knows, and which of them each class of a data set is.

    Classes of the same name are the same, in whichever order and however few. Plain numbers may stand for any names.
    Raises UsageError that says which classes the network does not know.
    """
    if set(found) <= set(known):
        return known, [known.index(label) for label in found]
    numbers = tuple(str(number) for number in range(len(known)))
    if set(found) == set(numbers):
        return known, [int(label) for label in found]
    if known == numbers and len(found) == len(known):
        return found, [*range(len(found))]
    strange = [label for label in found if label not in known]
    raise UsageError(
        f"{name} has images of {some(strange)}, and the network was not trained on that: its classes are {some(known)}"
    )
