"""What many requests ask, worked out together."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Generic, TypeVar

from cnnspec.errors import CnnspecError

__all__ = ["Batcher", "Crowded"]

Question = TypeVar("Question")
Reply = TypeVar("Reply")


class Crowded(Exception):
    """More samples wait than may."""


@dataclass(frozen=True)
class _Waiting(Generic[Question, Reply]):
    """What one request asks, of how many samples, and who waits for the reply."""

    question: Question
    count: int
    reply: asyncio.Future[Reply]


class Batcher(Generic[Question, Reply]):
    """Hands whatever waits to `work` in one thread, while more gathers: nobody waits for others to come.

    `work` is given questions of `together` samples at most, or a single one, and replies to each. At most `limit`
    samples wait. All methods are for one event loop.
    """

    def __init__(self, work: Callable[[Sequence[Question]], Sequence[Reply]], *, together: int, limit: int) -> None:
        self.work, self.together, self.limit = work, together, limit
        self._waiting: deque[_Waiting[Question, Reply]] = deque()
        self._count = 0
        self._come = asyncio.Event()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="cnnspec-network")

    async def ask(self, question: Question, count: int) -> Reply:
        """The reply to a question about `count` samples. Raises Crowded, and CnnspecError where `work` does."""
        if self._count + count > self.limit:
            raise Crowded
        reply: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Waiting(question, count, reply))
        self._count += count
        self._come.set()
        try:
            return await reply
        finally:
            self._count -= count

    async def run(self) -> None:
        """Work until cancelled."""
        loop = asyncio.get_running_loop()
        try:
            while True:
                await self._come.wait()
                batch = self._next()
                try:
                    replies = await loop.run_in_executor(self._thread, self.work, [one.question for one in batch])
                except CnnspecError as error:
                    for one in batch:
                        if not one.reply.done():
                            one.reply.set_exception(CnnspecError(error.message, hint=error.hint))
                    continue
                for one, reply in zip(batch, replies, strict=True):
                    if not one.reply.done():  # its client may have gone
                        one.reply.set_result(reply)
        finally:
            self._thread.shutdown(wait=False)

    def _next(self) -> list[_Waiting[Question, Reply]]:
        """The requests that are next: those that fit together, in their order, and one at least."""
        batch = [self._waiting.popleft()]
        count = batch[0].count
        while self._waiting and count + self._waiting[0].count <= self.together:
            batch.append(self._waiting.popleft())
            count += batch[-1].count
        if not self._waiting:
            self._come.clear()
        return batch
