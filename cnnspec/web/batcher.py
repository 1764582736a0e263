"""What many requests ask, worked out together."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Generic, TypeVar

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
    """Hands whatever waits to `work` in a thread of its own, while more gathers: nobody waits for others to come.

    `work` is given questions of `together` samples at most, or a single one, and replies to each. At most `limit`
    samples wait. The thread takes what is next itself: to have the event loop hand it on costs a small network more
    than it computes. It works while `running` is entered, in the event loop that `ask` is called in.
    """

    def __init__(self, work: Callable[[Sequence[Question]], Sequence[Reply]], *, together: int, limit: int) -> None:
        self.work, self.together, self.limit = work, together, limit
        self._waiting: deque[_Waiting[Question, Reply]] = deque()
        self._count = 0
        self._changed = threading.Condition()

    async def ask(self, question: Question, count: int) -> Reply:
        """The reply to a question about `count` samples. Raises Crowded, and what `work` raises."""
        if self._count + count > self.limit:
            raise Crowded
        reply: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self._count += count
        with self._changed:
            self._waiting.append(_Waiting(question, count, reply))
            self._changed.notify()
        try:
            return await reply
        finally:
            self._count -= count

    @contextmanager
    def running(self) -> Iterator[None]:
        loop, over = asyncio.get_running_loop(), threading.Event()
        threading.Thread(target=self._run, args=(loop, over), name="cnnspec-network", daemon=True).start()
        try:
            yield
        finally:
            over.set()
            with self._changed:
                self._changed.notify_all()

    def _run(self, loop: asyncio.AbstractEventLoop, over: threading.Event) -> None:
        while batch := self._next(over):
            replies: Sequence[Reply | Exception]
            try:
                replies = self.work([one.question for one in batch])
            except Exception as error:  # whoever asks is told, and the thread goes on
                replies = [error] * len(batch)
            with suppress(RuntimeError):  # the loop has ended meanwhile
                loop.call_soon_threadsafe(_deliver, batch, replies)

    def _next(self, over: threading.Event) -> list[_Waiting[Question, Reply]]:
        """The requests that are next: those that fit together, in their order, and one at least; none at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or over.is_set())
            if over.is_set():
                return []
            batch = [self._waiting.popleft()]
            count = batch[0].count
            while self._waiting and count + self._waiting[0].count <= self.together:
                batch.append(self._waiting.popleft())
                count += batch[-1].count
            return batch


def _deliver(batch: Sequence[_Waiting[Question, Reply]], replies: Sequence[Reply | Exception]) -> None:
    for one, reply in zip(batch, replies, strict=True):
        if one.reply.done():  # its client may have gone
            continue
        if isinstance(reply, Exception):
            one.reply.set_exception(reply)
        else:
            one.reply.set_result(reply)
