"""Images of many requests, run through the network together."""

from __future__ import annotations

import asyncio
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from cnnspec.errors import CnnspecError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cnnspec.api import Predictor

__all__ = ["Batcher", "Crowded"]


class Crowded(Exception):
    """More images wait than may."""


@dataclass(frozen=True)
class _Waiting:
    """The images of one request, `(N, H, W, C)` bytes, and who waits for what the network says of them."""

    pixels: NDArray[np.uint8]
    answer: asyncio.Future[NDArray[np.float32]]


class Batcher:
    """Runs whatever waits as one batch, while the next one gathers: nobody waits for others to come.

    At most `limit` images wait. All methods are for one event loop.
    """

    def __init__(self, predictor: Predictor, limit: int) -> None:
        self.predictor, self.limit = predictor, limit
        self._waiting: deque[_Waiting] = deque()
        self._count = 0
        self._come = asyncio.Event()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="cnnspec-network")

    async def classify(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """`(N, classes)` for bytes `(N, H, W, C)`. Raises Crowded, and CnnspecError where the network does not run."""
        if self._count + len(pixels) > self.limit:
            raise Crowded
        answer: asyncio.Future[NDArray[np.float32]] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Waiting(pixels, answer))
        self._count += len(pixels)
        self._come.set()
        try:
            return await answer
        finally:
            self._count -= len(pixels)

    async def run(self) -> None:
        """Work until cancelled."""
        loop = asyncio.get_running_loop()
        try:
            while True:
                await self._come.wait()
                batch = self._next()
                try:
                    rows = await loop.run_in_executor(self._thread, self._probabilities, [one.pixels for one in batch])
                except CnnspecError as error:
                    for one in batch:
                        if not one.answer.done():
                            one.answer.set_exception(CnnspecError(error.message, hint=error.hint))
                    continue
                start = 0
                for one in batch:
                    if not one.answer.done():  # its client may have gone
                        one.answer.set_result(rows[start : start + len(one.pixels)])
                    start += len(one.pixels)
        finally:
            self._thread.shutdown(wait=False)

    def _next(self) -> list[_Waiting]:
        """The requests that run next: those that fit into a batch, in their order, and one at least."""
        batch = [self._waiting.popleft()]
        count = len(batch[0].pixels)
        while self._waiting and count + len(self._waiting[0].pixels) <= self.predictor.batch_size:
            batch.append(self._waiting.popleft())
            count += len(batch[-1].pixels)
        if not self._waiting:
            self._come.clear()
        return batch

    def _probabilities(self, parts: list[NDArray[np.uint8]]) -> NDArray[np.float32]:
        whole, size = np.concatenate(parts), self.predictor.batch_size
        return np.concatenate(
            [self.predictor.probabilities(whole[start : start + size]) for start in range(0, len(whole), size)]
        )
