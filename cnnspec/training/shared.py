"""What several runs of one process may share. Importing this module imports no torch."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cnnspec.data.sets import DataSet

__all__ = ["Shared"]


class Shared:
    """Opened images, and the measured threads and memory layout, for all runs that are given this value.

    Nothing is shared unless the caller makes one and passes it on. Images serve every run that would open the same ones
    in the same way; they are read once, so a later change of their files goes unseen. What was measured serves every
    run of the same network with the same batch.
    """

    def __init__(self) -> None:
        self._data: dict[Hashable, DataSet] = {}
        self._measured: dict[Hashable, tuple[int, bool]] = {}

    def __repr__(self) -> str:
        return f"<Shared: {len(self._data)} data sets, {len(self._measured)} measurements>"

    def data(self, key: Hashable, open_data: Callable[[], DataSet]) -> DataSet:
        """The images that are opened for everything in `key`."""
        if key not in self._data:
            self._data[key] = open_data()
        return self._data[key]

    def measured(self, key: Hashable, measure: Callable[[], tuple[int, bool]]) -> tuple[int, bool]:
        """The number of threads, and whether channels come last, as measured for everything in `key`."""
        if key not in self._measured:
            self._measured[key] = measure()
        return self._measured[key]
