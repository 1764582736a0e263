"""Test images that a run has trained on: what is measured on them says nothing of new ones."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Hashable, Iterable
from typing import Final, TypeVar

from cnnspec.data.archive import Inside, Place, file_size
from cnnspec.data.sets import DataSet, Images, ImageSet

__all__ = ["count_duplicates", "count_learned"]

FIRST: Final = 4096  # bytes of an image that are looked at before all of them are
Item = TypeVar("Item")


def count_duplicates(data: DataSet) -> int:
    """How many test images are training images too, those that are held back for validation among them.

    Images in memory are compared by their pixels, at the network's size, and those of files, where some are decoded
    while training or at a smaller size, by the bytes of these. Only what is alike at first sight is read as a whole.
    """
    rows = data.train_rows.tolist()
    if data.val is data.train:
        rows += data.val_rows.tolist()
    return 0 if data.test is None else _shared(data.train, rows, data.test)


def count_learned(data: DataSet) -> int:
    """How many validation images that came apart from the training images are among these, as `count_duplicates`."""
    return 0 if data.val is data.train else _shared(data.train, data.train_rows.tolist(), data.val)


def _shared(train: ImageSet, rows: list[int], other: ImageSet) -> int:
    if isinstance(train, Images) and isinstance(other, Images) and not train.near:
        pixels, held = train.images.numpy(), other.images.numpy()
        return _count(
            [(pixels, row) for row in rows],
            [(held, row) for row in range(len(other))],
            lambda at: _digest(at[0][at[1]].reshape(-1)[:FIRST].tobytes()),
            lambda at: _digest(at[0][at[1]].tobytes()),
        )
    if train.paths and other.paths:  # one of them is not in memory, or not to the pixel
        return _count([train.paths[row] for row in rows], other.paths, file_size, _content)
    return 0


def _count(
    learned: Iterable[Item], held: Iterable[Item], glance: Callable[[Item], Hashable], read: Callable[[Item], Hashable]
) -> int:
    """How many of those held back are among the learned, by `read`, where a `glance` does not tell them apart."""
    glances = [(item, glance(item)) for item in held]
    wanted = {seen for _, seen in glances}
    alike = [(item, seen) for item, seen in ((item, glance(item)) for item in learned) if seen in wanted]
    known = {read(item) for item, _ in alike}
    wanted = {seen for _, seen in alike}
    return sum(seen in wanted and read(item) in known for item, seen in glances)


def _digest(data: bytes) -> bytes:
    return hashlib.blake2b(data, digest_size=16).digest()


def _content(path: Place) -> bytes:
    if isinstance(path, Inside):
        return _digest(path.read_bytes())
    with open(path, "rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).digest()
