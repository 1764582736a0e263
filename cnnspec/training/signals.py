"""SIGINT, SIGTERM and SIGHUP end a run after the step that is running, with everything saved."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from types import FrameType, TracebackType

from cnnspec import interrupts
from cnnspec.errors import CnnspecError

__all__ = ["Interrupted", "Signals"]


class Interrupted(CnnspecError):
    """A signal ended the run. The exit code is the shell's: 130 for SIGINT, 143 for SIGTERM, 129 for SIGHUP."""

    def __init__(self, number: int, message: str, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.exit_code = 128 + number


class Signals:
    """While entered, signals that end a command are noted in `received` instead of acting.

    A second one does what it did before: it ends a process that is one command, and interrupts any other program.
    One that came before, and was swallowed, is noted too.
    """

    def __init__(self) -> None:
        self.received = interrupts.handler.received
        self._patience = interrupts.Patience()
        self._before: dict[int, Callable[[int, FrameType | None], object] | int | None] = {}

    def __enter__(self) -> Signals:
        if threading.current_thread() is threading.main_thread():  # Python allows it nowhere else
            for number in interrupts.numbers():
                self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            if self.received is not None and handler is interrupts.handler:
                interrupts.handler.hurry_on(self._patience)
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        again = self._patience.is_over()
        if self.received is None:
            self.received = number
        before = self._before[number]
        if again and before is interrupts.handler:
            interrupts.leave_at_once(128 + number)
        elif again and callable(before):
            before(number, frame)
