"""Where samples that are read one by one are kept: in memory, or in a file of the cache that the system maps."""

from __future__ import annotations

import hashlib
import os
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Final, Protocol

import numpy as np
import torch
from torch import Tensor

from cnnspec.arrays import Array
from cnnspec.data.sets import Images
from cnnspec.errors import CnnspecError
from cnnspec.ops import Shape

__all__ = ["InCache", "InMemory", "Nowhere", "Store", "mapped_file"]

_BLOCK: Final = 2**26  # bytes of a piece of memory while the number of samples is not known
_NO_TARGETS: Final = torch.empty(0)


class Store(Protocol):
    """Takes samples `(C, …)` in turn, and gives back all of them."""

    def add(self, values: Array) -> None:
        """Keep one more. Raises CnnspecError where there is no room."""

    def images(self, shape: Shape) -> Images | None:
        """All that were added, `(N, *shape)`, still without targets; None where they are not kept."""

    def close(self) -> None:
        """Take away what was begun and not finished."""


class Nowhere:
    """Keeps nothing: samples are read anew when it is their turn."""

    def add(self, values: Array) -> None:
        """Let go of it."""

    def images(self, shape: Shape) -> None:
        """Nothing."""

    def close(self) -> None:
        """Nothing is begun."""


class InMemory:
    """Keeps samples in memory, at most `limit` bytes of them; `count` is their number where it is known."""

    def __init__(self, name: str, limit: int | None, count: int | None) -> None:
        self.name, self.limit, self.count = name, limit, count
        self.blocks: list[Tensor] = []
        self.kept = self.filled = 0  # samples of all blocks, and of the last one

    def add(self, values: Array) -> None:
        """Keep one more. Raises CnnspecError where they come to more than the limit."""
        if self.limit is not None and (self.kept + 1) * values.nbytes > self.limit:
            raise CnnspecError(
                f"{self.name} does not fit into memory: {self.kept:,} samples have come, {self.limit / 1e9:.1f} GB",
                hint="`cache=` names a folder where it is kept while training; or hand over a data set that has `len`"
                " and rows, of which a batch is read when it is its turn",
            )
        if not self.blocks or self.filled == len(self.blocks[-1]):
            rows = self.count or max(1, _BLOCK // max(1, values.nbytes))
            self.blocks.append(torch.empty((rows, *values.shape), dtype=torch.from_numpy(values[:0]).dtype))
            self.filled = 0
        self.blocks[-1][self.filled] = torch.from_numpy(values)
        self.kept, self.filled = self.kept + 1, self.filled + 1

    def images(self, shape: Shape) -> Images:
        """All that were added."""
        *full, last = self.blocks
        whole = last[: self.filled] if not full else torch.cat([*full, last[: self.filled]])
        self.blocks.clear()
        return Images(whole.view(-1, *shape), _NO_TARGETS)

    def close(self) -> None:
        """Nothing is begun."""


class InCache:
    """Writes samples to a file in a folder, which then has the digest of what it holds as its name."""

    def __init__(self, folder: Path) -> None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            handle, path = tempfile.mkstemp(suffix=".part", dir=folder)
        except OSError as error:
            raise CnnspecError(f"cannot write to {folder}: {error.strerror or error}") from None
        self.folder, self.path, self.file = folder, Path(path), os.fdopen(handle, "wb")
        self.digest = hashlib.sha256()
        self.kind = np.dtype(np.uint8)
        self.finished = False

    def add(self, values: Array) -> None:
        """Keep one more. Raises CnnspecError where the disk is full."""
        try:
            self.file.write(values.data)
        except OSError as error:
            raise CnnspecError(f"cannot write to {self.folder}: {error.strerror or error}") from None
        self.digest.update(values.data)
        self.kind = values.dtype

    def images(self, shape: Shape) -> Images:
        """All that were added, as the system maps them."""
        final = self.folder / f"{self.digest.hexdigest()[:32]}.{'u8' if self.kind == np.uint8 else 'f32'}"
        try:
            self.file.close()
            os.replace(self.path, final)
        except OSError as error:
            raise CnnspecError(f"cannot write {final}: {error.strerror or error}") from None
        self.finished = True
        return Images(mapped_file(final, shape, self.kind), _NO_TARGETS, mapped=True)

    def close(self) -> None:
        """Take away what was begun and not finished."""
        with suppress(OSError):
            self.file.close()
        if not self.finished:
            self.path.unlink(missing_ok=True)


def mapped_file(path: Path, shape: Shape, kind: np.dtype[np.generic]) -> Tensor:
    """A file of samples `(N, *shape)`, as the system maps it; what is written there stays in this process."""
    return torch.from_numpy(np.memmap(path, kind, "c").reshape(-1, *shape))
