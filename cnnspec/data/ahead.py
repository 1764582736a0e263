"""Batches made ready while the device learns from the one before."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Final, TypeVar

import torch
from torch import Tensor

__all__ = ["copied_ahead", "made_ahead"]

T = TypeVar("T")

_WAITING: Final = 2  # batches that are ready and not yet asked for
_SECONDS: Final = 0.1  # after which the thread looks whether anybody still listens


class _End:
    """What comes behind the last value: an error, or nothing."""

    def __init__(self, error: BaseException | None) -> None:
        self.error = error


def made_ahead(make: Callable[[], Iterable[T]]) -> Iterator[T]:
    """What `make()` gives, made by a thread, at most a few ahead. Its error comes in its turn.

    Where nobody asks any more, the thread ends after the value that it is at.
    """
    ready: queue.Queue[T | _End] = queue.Queue(_WAITING)
    left = threading.Event()

    def give(value: T | _End) -> bool:
        while not left.is_set():
            try:
                ready.put(value, timeout=_SECONDS)
                return True
            except queue.Full:
                pass
        return False

    def work() -> None:
        error: BaseException | None = None
        try:
            for value in make():
                if not give(value):
                    return
        except BaseException as found:  # whatever it is, it is for who asks
            error = found
        give(_End(error))

    thread = threading.Thread(target=work, name="batches ahead", daemon=True)
    thread.start()
    try:
        while not isinstance(value := ready.get(), _End):
            yield value
        if value.error is not None:
            raise value.error
    finally:
        left.set()
        thread.join()


Batch = tuple[Tensor, Tensor]  # images and labels


def copied_ahead(batches: Iterable[Batch], device: torch.device) -> Iterator[Batch]:
    """The batches on the device. To CUDA a thread copies them, from pinned memory and on a stream of its own."""
    if device.type != "cuda":
        for images, labels in batches:
            yield images.to(device), labels.to(device)
        return
    stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]

    def copy(tensor: Tensor) -> Tensor:
        pinned = tensor if tensor.is_pinned() else tensor.pin_memory()
        return pinned.to(device, non_blocking=True)

    def copies() -> Iterator[tuple[Batch, torch.cuda.Event]]:
        with torch.cuda.device(device), torch.cuda.stream(stream):
            for images, labels in batches:
                yield (copy(images), copy(labels)), stream.record_event()

    for batch, copied in made_ahead(copies):
        learning = torch.cuda.current_stream(device)
        learning.wait_event(copied)
        for tensor in batch:
            tensor.record_stream(learning)  # its memory is not to be filled anew before the learning is done
        yield batch
