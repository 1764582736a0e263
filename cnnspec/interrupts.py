"""SIGINT and SIGTERM for a process that is one command: it ends with 130 or 143, wherever it is.

What a signal raises while a module is imported may be swallowed there, or leaves half a module behind, on which
something else fails later: it is raised when the import is over. The process takes signals on before it imports
anything else, and this module imports nothing that takes time.
"""

from __future__ import annotations

import _thread
import os
import signal
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import FrameType

__all__ = ["Stopped", "handler"]

_NUMBERS = (signal.SIGINT, signal.SIGTERM)
_LOOK_AGAIN = 0.01  # seconds between two looks whether the import is over
_IMPORTING = "<frozen importlib._bootstrap>"  # the file of Python's own code below whatever is imported


class Stopped(KeyboardInterrupt):
    """A signal ends the process."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.exit_code = 128 + number  # the shell's


class Handler:
    """Raises Stopped at the first signal. `received` tells of it also where that has been swallowed."""

    def __init__(self) -> None:
        self.received: int | None = None
        self._waiting = False  # for an import to be over
        self._main = 0  # the thread that runs handlers

    def install(self) -> None:
        """Take on the signals of this process."""
        self._main = _thread.get_ident()
        for number in _NUMBERS:
            signal.signal(number, self)
        sys.unraisablehook = self._once_more
        if sys.platform != "win32":
            # Blocked until it is released: what comes before that would be lost in the new process.
            os.register_at_fork(before=_block, after_in_parent=_unblock, after_in_child=self._release)

    def ignore(self) -> None:
        """Let signals change nothing any more: at the very end, when nothing is left to be stopped."""
        for number in _NUMBERS:
            if signal.getsignal(number) is self:
                signal.signal(number, signal.SIG_IGN)

    def __call__(self, number: int, frame: FrameType | None) -> None:
        if self.received is not None or self._waiting:
            return  # one is enough: the next would end what this one is ending
        if _importing(frame):
            self._send_later(number)
            return
        self.received = number
        raise Stopped(number)

    def _send_later(self, number: int) -> None:
        self._waiting = True
        _thread.start_new_thread(self._send, (number,))

    def _send(self, number: int) -> None:
        time.sleep(_LOOK_AGAIN)
        self._waiting = False
        if sys.platform == "win32":
            signal.raise_signal(number)
        else:
            signal.pthread_kill(self._main, number)  # also wakes it, where it waits for something

    def _once_more(self, unraisable: sys.UnraisableHookArgs) -> None:
        """What is raised in a finalizer goes nowhere: raise it again, outside."""
        if isinstance(unraisable.exc_value, Stopped) and self.received is not None:
            number, self.received = self.received, None
            self._send_later(number)
        else:
            sys.__unraisablehook__(unraisable)

    def _release(self) -> None:
        """A process that is forked off is no command: what ends it is up to who started it."""
        if signal.getsignal(signal.SIGINT) is self:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        if signal.getsignal(signal.SIGTERM) is self:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
        _unblock()


def _block() -> None:
    if sys.platform != "win32":
        signal.pthread_sigmask(signal.SIG_BLOCK, _NUMBERS)


def _unblock() -> None:
    if sys.platform != "win32":
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _NUMBERS)


def _importing(frame: FrameType | None) -> bool:
    """Whether what runs in this frame runs because something is imported."""
    while frame is not None:
        if frame.f_code.co_filename == _IMPORTING:
            return True
        frame = frame.f_back
    return False


handler = Handler()
