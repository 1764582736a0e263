"""Processes that decode small image files beside the one that runs the network.

Of what a digit takes, Python has the most, and threads take turns at that. A reader is forked while its parent has
loaded numpy and Pillow and not onnxruntime yet, whose session has threads: it is there in some milliseconds, and what
is imported is shared. It is for a process that is one command: a fork copies whatever locks others hold.
"""

from __future__ import annotations

import os
import pickle
import signal
import sys
import threading
import warnings
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from itertools import chain, islice
from math import prod
from typing import TYPE_CHECKING, Any, BinaryIO, Final, NoReturn, Self

import numpy as np

from cnnspec.cores import usable_cores
from cnnspec.errors import CnnspecError
from cnnspec.images import SUFFIXES, read_image
from cnnspec.interrupts import numbers
from cnnspec.runtime.reading import Decoded, are_large

if TYPE_CHECKING:
    from cnnspec.runtime.predictor import Predictor

__all__ = ["Readers"]

FEW: Final = 512  # files that one process reads before others would have gained anything
MOST_READERS: Final = 4  # whom one process that runs a network keeps up with
_BLOCK: Final = 64  # files that a reader is asked for at a time,
_BLOCK_BYTES: Final = 2**22  # or so many that they come to about that
_GONE: Final = "a process that reads images has ended before it was done"


class Readers:
    """Decodes what of `sources` are small image files, in processes where these are a gain. Use it in `with`.

    They are where the system has forks that are safe, no other thread runs, more than one core may be used, as
    `threads` says, and there are many small files.
    """

    def __init__(self, sources: Iterator[str | bytes], threads: int | None) -> None:
        first = list(islice(sources, FEW))
        self._sources = chain(first, sources)
        self._readers: list[_Reader] = []
        count = min(threads or usable_cores(), usable_cores(), MOST_READERS)
        if sys.platform != "linux" or count < 2 or threading.active_count() > 1 or len(first) < FEW:
            return
        if not _are_images(first) or are_large(list(first)):
            return
        try:
            while len(self._readers) < count:
                self._readers.append(_Reader(self._readers))
        except OSError:  # of processes or open files there may be no more
            self.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __bool__(self) -> bool:
        return bool(self._readers)

    def close(self) -> None:
        """End the processes, whatever they are at."""
        while self._readers:
            self._readers.pop().close()

    def ahead(self, predictor: Predictor) -> Iterator[object]:
        """The sources in their order, as `Predictor.stream` takes them: those that are image files decoded.

        Each reader has one block of files at a time, so that no more is held, and none waits for the other to read.
        Raises CnnspecError where a reader has ended.
        """
        about = predictor.metadata
        if not self or len(about.input_shape) != 3:
            self.close()
            yield from self._sources
            return
        wanted = (about.input_shape, about.intake, predictor.invert, predictor.max_pixels)
        size = max(1, min(_BLOCK, _BLOCK_BYTES // prod(about.input_shape)))
        idle = deque(self._readers)
        begun: deque[tuple[list[Any], _Reader | None]] = deque()

        def fill() -> None:
            while idle and len(begun) < len(self._readers) and (block := list(islice(self._sources, size))):
                reader = idle.popleft() if _are_images(block) else None
                if reader is not None:
                    reader.ask((block, *wanted))
                begun.append((block, reader))

        fill()
        while begun:
            block, reader = begun.popleft()
            if reader is not None:
                block = reader.answer(block)
                idle.append(reader)
            fill()
            yield from block


def _are_images(sources: list[str | bytes]) -> bool:
    return all(isinstance(source, str) and source.lower().endswith(SUFFIXES) for source in sources)


class _Reader:
    """One process. It ends when its parent does: then there is nothing more to read from it."""

    def __init__(self, others: list[_Reader]) -> None:
        asked, ask = os.pipe()
        answered, answer = os.pipe()
        self.ends: tuple[BinaryIO, ...] = ()
        self._pid = os.fork()
        if self._pid == 0:
            _be_reader(asked, answer, [ask, answered, *(end.fileno() for other in others for end in other.ends)])
        os.close(asked)
        os.close(answer)
        self._asked: BinaryIO = os.fdopen(ask, "wb")
        self._answers: BinaryIO = os.fdopen(answered, "rb")
        self.ends = (self._asked, self._answers)

    def ask(self, question: tuple[Any, ...]) -> None:
        """Have a block of files read."""
        try:
            pickle.dump(question, self._asked)
            self._asked.flush()
        except OSError:
            raise CnnspecError(_GONE) from None

    def answer(self, paths: list[str]) -> list[Decoded]:
        """What came of the files of the block that was asked for."""
        try:
            pixels, errors, warned = pickle.load(self._answers)
        except (OSError, EOFError, pickle.UnpicklingError):
            raise CnnspecError(_GONE, hint="`--threads 1` reads without others") from None
        for message, category, file, line in warned:
            warnings.warn_explicit(message, category, file, line, registry=_WARNED)
        rows = iter(pixels)
        return [Decoded(path, errors.get(place) or next(rows)) for place, path in enumerate(paths)]

    def close(self) -> None:
        """End the process."""
        os.kill(self._pid, signal.SIGKILL)
        os.waitpid(self._pid, 0)
        for end in self.ends:
            with suppress(OSError):  # of what it was still to be asked
                end.close()


_WARNED: Final[dict[Any, Any]] = {}  # what readers have warned of, each thing once


def _be_reader(asked: int, answer: int, of_others: list[int]) -> NoReturn:
    """Answer until there are no more questions, and leave without a word."""
    try:
        for number in numbers():
            signal.signal(number, signal.SIG_IGN)  # its parent ends it
        for end in of_others:
            os.close(end)
        warned: list[tuple[Any, ...]] = []
        warnings.showwarning = lambda message, category, file, line, *_: warned.append((message, category, file, line))
        with os.fdopen(asked, "rb") as questions, os.fdopen(answer, "wb") as answers:
            while True:
                pickle.dump((*_read(*pickle.load(questions)), warned), answers)
                answers.flush()
                warned.clear()
    finally:
        os._exit(0)


def _read(paths: list[str], *wanted: Any) -> tuple[Any, dict[int, CnnspecError]]:
    """The pixels `(N, H, W, C)` of the files that can be read, and what is wrong with the others, by their places."""
    shape, intake, invert, max_pixels = wanted
    read: list[Any] = []
    errors: dict[int, CnnspecError] = {}
    for place, path in enumerate(paths):
        try:
            read.append(read_image(path, shape, intake=intake, invert=invert, max_pixels=max_pixels))
        except CnnspecError as error:
            errors[place] = error
    return np.stack(read) if read else (), errors
