"""Samples read batch by batch, and the files among them by threads while the session runs on the batch before."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from itertools import chain, islice
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from PIL import Image

from cnnspec.arrays import input_of
from cnnspec.errors import CnnspecError
from cnnspec.runtime.array_files import FileSample

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Decoded", "Sample", "are_large", "read_batches"]

_SMALL: Final = 2**13  # bytes of a file, in which Python has more to do than the decoder, and Python runs one thread
_PARTS: Final = 2  # of a batch for each thread: a large file does not keep the others waiting


class Decoded(NamedTuple):
    """An image file that somebody else has read: its pixels, or why it cannot be read."""

    name: str
    values: NDArray[Any] | CnnspecError


class Sample(NamedTuple):
    """What came of one of the samples: its values, or why it cannot be read."""

    place: int  # from 0, among all
    source: object
    values: NDArray[Any] | CnnspecError

    @property
    def name(self) -> str:
        """Its path, where it has one."""
        source = self.source
        if isinstance(source, str):
            return source
        if isinstance(source, (Decoded, FileSample)):
            return source.name
        source = input_of(source)
        if isinstance(source, bytes):
            return "-"
        if isinstance(source, Image.Image):
            return "image"
        return str(os.fspath(source)) if isinstance(source, (str, os.PathLike)) else str(self.place)


Taken = list[tuple[int, object]]


def read_batches(
    images: Iterable[object], read: Callable[[object], NDArray[Any]], size: int, threads: int
) -> Iterator[list[Sample]]:
    """The samples in batches of `size`, in their order, each as `read` gives it.

    With several threads, a batch is asked for ahead, and files that are not small are read by these. Samples that come
    one by one, or fewer than a batch, are taken no earlier than they are wanted; what `images` itself raises comes in
    its turn.
    """
    waiting = enumerate(images)

    def attempts(taken: Taken) -> list[Sample]:
        return [Sample(place, source, _attempt(read, source)) for place, source in taken]

    first = list(islice(waiting, size))
    if threads == 1 or size == 1 or len(first) < size:
        while first:
            yield attempts(first)
            first = list(islice(waiting, size))
        return
    pool = ThreadPoolExecutor(threads, "reads images")

    def begin(taken: Taken) -> list[Callable[[], list[Sample]]]:
        """Let the pool read them, or whoever asks where that is no gain."""
        if not taken:
            return []
        if not are_large([source for _, source in taken]):
            return [partial(attempts, taken)]
        many = -(-len(taken) // (threads * _PARTS))
        return [
            pool.submit(attempts, taken[start : start + many]).result for start in range(0, len(taken), max(1, many))
        ]

    try:
        begun = begin(first)
        while begun:
            following, failure = [], None
            try:
                following = begin(list(islice(waiting, size)))
            except Exception as error:  # of whoever gives the samples: those before it are still to be answered
                failure = error
            yield list(chain.from_iterable(part() for part in begun))
            if failure is not None:
                raise failure
            begun = following
    finally:
        pool.shutdown(cancel_futures=True)


def are_large(sources: list[object]) -> bool:
    """Whether all are files, which nobody else reads, and so large that decoding them takes longer than Python does."""
    total = 0
    for source in sources:
        if isinstance(source, bytes):
            total += len(source)
        elif isinstance(source, str | os.PathLike):
            with suppress(OSError):  # it is told of by who reads it
                total += os.stat(source).st_size
        else:
            return False
    return total > _SMALL * len(sources)


def _attempt(read: Callable[[object], NDArray[Any]], source: object) -> NDArray[Any] | CnnspecError:
    if isinstance(source, Decoded):
        return source.values
    try:
        return read(source)
    except CnnspecError as error:
        return error
