"""SIGINT and SIGTERM end a run after the step that is running, with everything saved."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from types import FrameType, TracebackType

from cnnspec.errors import CnnspecError
from cnnspec.leaving import Patience, leave_at_once

__all__ = ["Interrupted", "Signals", "exit_on_signals"]


class Interrupted(CnnspecError):
    """A signal ended the run. The exit code is the shell's: 130 for SIGINT, 143 for SIGTERM."""

    def __init__(self, number: int, message: str, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.exit_code = 128 + number


def exit_on_signals() -> None:
    """For a process that is one command: outside of a run SIGINT and SIGTERM end it with the exit codes 130 and 143.

    Once a run is being stopped by one, the next one ends the process at once, with its workers.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _leave)


def _leave(number: int, frame: FrameType | None) -> None:
    patience = Patience()
    patience.is_over()
    _hurry_on(patience)
    raise Interrupted(number, "interrupted")


def _hurry_on(patience: Patience) -> None:
    """From now on a further signal does not interrupt what the first one is ending, but ends the process."""

    def note(number: int, frame: FrameType | None) -> None:
        if patience.is_over():
            leave_at_once(128 + number)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, note)


class Signals:
    """While entered, SIGINT and SIGTERM are noted in `received` instead of acting.

    A second one does what it did before: it ends a process that is one command, and interrupts any other program.
    """

    def __init__(self) -> None:
        self.received: int | None = None
        self._patience = Patience()
        self._before: dict[int, Callable[[int, FrameType | None], object] | int | None] = {}

    def __enter__(self) -> Signals:
        if threading.current_thread() is threading.main_thread():  # Python allows it nowhere else
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        if self.received is not None and self._before.get(self.received) is _leave:
            _hurry_on(self._patience)

    def _note(self, number: int, frame: FrameType | None) -> None:
        again = self._patience.is_over()
        if self.received is None:
            self.received = number
        before = self._before[number]
        if again and before is _leave:
            leave_at_once(128 + number)
        elif again and callable(before):
            before(number, frame)
