"""SIGINT, SIGTERM and SIGHUP for a process that is one command: it ends with 130, 143 or 129, wherever it is, and at
once when told a second time.

SIGHUP comes when the terminal goes. Where it is ignored, as `nohup` has it, it stays so.

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
    from typing import NoReturn

__all__ = ["Patience", "Stopped", "handler", "leave_at_once", "numbers"]

_LOOK_AGAIN = 0.01  # seconds between two looks whether the import is over
_ONE_PRESS = 3.0  # seconds in which several signals are one: a launcher sends its own after the terminal's
_IMPORTING = "<frozen importlib._bootstrap>"  # the file of Python's own code below whatever is imported


def numbers() -> list[int]:
    """The signals that end a command."""
    ending: list[int] = [signal.SIGINT, signal.SIGTERM]
    if sys.platform != "win32" and signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        ending.append(signal.SIGHUP)
    return ending


class Stopped(KeyboardInterrupt):
    """A signal ends the process."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.exit_code = 128 + number  # the shell's


class Patience:
    """Tells the signal that asks to stop from a second one, of somebody who does not want to wait any longer."""

    def __init__(self) -> None:
        self._asked: float | None = None

    def is_over(self) -> bool:
        """Note a signal that has come. Whether it is a second one."""
        now = time.monotonic()
        if self._asked is None:
            self._asked = now
        return now - self._asked >= _ONE_PRESS


def leave_at_once(code: int) -> NoReturn:
    """End the process and the workers that it started, whatever they are waiting for. Nothing is tidied up.

    A worker that is stopped or hangs in the system takes no other signal than this, and a process that ends as usual
    waits for it.
    """
    processes = sys.modules.get("multiprocessing.process")  # where it is not, there are no workers
    for worker in processes.active_children() if processes is not None else ():
        worker.kill()
    os._exit(code)


class Handler:
    """Raises Stopped at the first signal. `received` tells of it also where that has been swallowed.

    A second one does not wait for what the first one is ending.
    """

    def __init__(self) -> None:
        self.received: int | None = None
        self._patience = Patience()
        self._ending = False  # by somebody else
        self._waiting = False  # for an import to be over
        self._own = False  # what comes is what was put off
        self._main = 0  # the thread that runs handlers
        self._numbers: list[int] = []  # the signals that are ours

    def install(self) -> None:
        """Take on the signals of this process."""
        self._main = _thread.get_ident()
        self._numbers = numbers()
        for number in self._numbers:
            signal.signal(number, self)
        sys.unraisablehook = self._once_more
        if sys.platform != "win32":
            # Blocked until it is released: what comes before that would be lost in the new process.
            os.register_at_fork(before=self._block, after_in_parent=self._unblock, after_in_child=self._release)

    def ignore(self) -> None:
        """Let signals change nothing any more: at the very end, when nothing is left to be stopped."""
        for number in self._numbers:
            if signal.getsignal(number) is self:
                signal.signal(number, signal.SIG_IGN)

    def hurry_on(self, patience: Patience) -> None:
        """Somebody else is ending the process because of a signal: a further one is a second one."""
        self._ending, self._patience = True, patience

    def __call__(self, number: int, frame: FrameType | None) -> None:
        own, self._own = self._own, False
        if not own and self._patience.is_over():
            leave_at_once(128 + number)
        if self.received is not None or self._ending or self._waiting:
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
        self._waiting, self._own = False, True
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
        for number in self._numbers:
            if signal.getsignal(number) is self:
                signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
        self._unblock()

    def _block(self) -> None:
        if sys.platform != "win32":
            signal.pthread_sigmask(signal.SIG_BLOCK, self._numbers)

    def _unblock(self) -> None:
        if sys.platform != "win32":
            signal.pthread_sigmask(signal.SIG_UNBLOCK, self._numbers)


def _importing(frame: FrameType | None) -> bool:
    """Whether what runs in this frame runs because something is imported."""
    while frame is not None:
        if frame.f_code.co_filename == _IMPORTING:
            return True
        frame = frame.f_back
    return False


handler = Handler()
