"""Writing a run's files while it goes on: what came before is on the disk before the next is begun."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType

__all__ = ["WriteBehind"]


class WriteBehind:
    """A thread that writes; at its end, as a context, nothing is left to be written.

    What it is given must be its own: tensors that training goes on with are copied before.
    """

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="cnnspec-writer")
        self._running: Future[None] | None = None

    def __enter__(self) -> WriteBehind:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._thread.shutdown()
        if error is None:  # otherwise that is told, which went wrong first
            self.wait()

    def give(self, *writes: Callable[[], object]) -> None:
        """Have this done, in this order; where one fails, the rest is left. Waits and raises as `wait`."""
        self.wait()
        self._running = self._thread.submit(_all, writes)

    def wait(self) -> None:
        """Return when all that was given is done. Raises what it raised, once."""
        running, self._running = self._running, None
        if running is not None:
            running.result()


def _all(writes: tuple[Callable[[], object], ...]) -> None:
    for write in writes:
        write()
