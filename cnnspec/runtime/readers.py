"""Processes that decode small image files beside the one that runs the network.

Of what a digit takes, Python has the most, and threads take turns at that. A reader is forked while its parent has
loaded numpy and Pillow and not onnxruntime yet, whose session has threads: it is there in some milliseconds, and what
is imported is shared. It is for a process that is one command: a fork copies whatever locks others hold.
"""

from __future__ import annotations

import os
import pickle
import select
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
_EACH: Final = 2  # blocks that a reader has: one that it reads, and the next


class Readers:
    """Decodes what of `sources` are small image files, in processes where these are a gain. Use it in `with`.

    They are where the system has forks that are safe, no other thread runs, more than one core may be used, as
    `threads` says, and there are many small files.
    """

    def __init__(self, sources: Iterator[str | bytes], threads: int | None) -> None:
        first = list(islice(sources, FEW))
        self._sources = chain(first, sources)
        self._readers: list[_Reader] = []
        cores = usable_cores()
        count = min(threads or cores, cores, MOST_READERS + 1) - 1  # one core is for who runs the network
        if sys.platform != "linux" or count < 1 or threading.active_count() > 1 or len(first) < FEW:
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

        Each reader has two blocks of files at a time, and a block is read here where the first of those is not there
        yet. So no more is held than some blocks. Raises CnnspecError where a reader has ended.
        """
        about = predictor.metadata
        if not self or len(about.input_shape) != 3:
            self.close()
            yield from self._sources
            return
        wanted = (about.input_shape, about.intake, predictor.invert, predictor.max_pixels)
        size = max(1, min(_BLOCK, _BLOCK_BYTES // prod(about.input_shape)))
        most = _EACH * len(self._readers)
        begun: deque[tuple[list[Any], _Reader | None]] = deque()

        def begin(reader: _Reader | None) -> bool:
            """Have the next block read, if there is one: by a reader, or here."""
            block: list[Any] = list(islice(self._sources, size))
            if not block:
                return False
            if not _are_images(block):
                reader = None
            elif reader is None or not reader.ask((block, *wanted)):
                block, reader = _decoded(block, *_read(block, *wanted)), None
            begun.append((block, reader))
            return True

        def fill() -> None:
            for reader in self._readers:
                while reader.asked < _EACH and len(begun) < most and begin(reader):
                    pass

        fill()
        while begun:
            block, reader = begun[0]
            if reader is not None:
                if not reader.is_ready() and len(begun) < most + _EACH and begin(None):
                    continue
                block = reader.answer(block)
            begun.popleft()
            fill()
            yield from block


def _are_images(sources: list[str | bytes]) -> bool:
    return all(isinstance(source, str) and source.lower().endswith(SUFFIXES) for source in sources)


class _Reader:
    """One process. It ends when its parent does: then there is nothing more to read from it."""

    def __init__(self, others: list[_Reader]) -> None:
        import fcntl  # which Windows has not, where there are no readers either

        asked, ask = os.pipe()
        answered, answer = os.pipe()
        self.ends: tuple[BinaryIO, ...] = ()
        self._pid = os.fork()
        if self._pid == 0:
            _be_reader(asked, answer, [ask, answered, *(end.fileno() for other in others for end in other.ends)])
        os.close(asked)
        os.close(answer)
        self._questions: BinaryIO = os.fdopen(ask, "wb")
        self._answers: BinaryIO = os.fdopen(answered, "rb")
        self.ends = (self._questions, self._answers)
        self.asked = 0  # questions that have no answer yet
        self._room = fcntl.fcntl(ask, fcntl.F_GETPIPE_SZ) // _EACH
        self._poll = select.poll()
        self._poll.register(answered)

    def ask(self, question: tuple[Any, ...]) -> bool:
        """Have a block of files read. False for names so long that who asks would wait for who answers, and he for him.

        Raises CnnspecError where the process has ended.
        """
        data = pickle.dumps(question)
        if len(data) > self._room:
            return False
        try:
            self._questions.write(data)
            self._questions.flush()
        except OSError:
            raise _gone() from None
        self.asked += 1
        return True

    def is_ready(self) -> bool:
        """Whether an answer has begun to come, or none will come any more."""
        return bool(self._poll.poll(0))

    def answer(self, paths: list[str]) -> list[Decoded]:
        """What came of the files of the block that was asked for."""
        try:
            pixels, errors, warned = pickle.load(self._answers)
        except (OSError, EOFError, pickle.UnpicklingError):
            raise _gone() from None
        self.asked -= 1
        for message, category, file, line in warned:
            warnings.warn_explicit(message, category, file, line, registry=_warned_of(file))
        return _decoded(paths, pixels, errors)

    def close(self) -> None:
        """End the process."""
        os.kill(self._pid, signal.SIGKILL)
        os.waitpid(self._pid, 0)
        for end in self.ends:
            with suppress(OSError):  # of what it was still to be asked
                end.close()


def _gone() -> CnnspecError:
    message = "a process that reads images has ended before it was done"
    return CnnspecError(message, hint="`--threads 1` reads without others")


def _decoded(paths: list[str], pixels: Any, errors: dict[int, CnnspecError]) -> list[Decoded]:
    rows = iter(pixels)
    return [Decoded(path, errors.get(place) or next(rows)) for place, path in enumerate(paths)]


def _warned_of(file: str) -> dict[Any, Any]:
    """What the module of a file has warned of here already, for it is said once."""
    modules = [module for module in list(sys.modules.values()) if getattr(module, "__file__", None) == file]
    return vars(modules[0]).setdefault("__warningregistry__", {}) if modules else {}


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
