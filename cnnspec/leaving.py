"""How a process leaves at once, when it has been told a second time."""

from __future__ import annotations

import os
import sys
import time
from typing import Final, NoReturn

__all__ = ["Patience", "leave_at_once"]

ONE_PRESS: Final = 3.0  # seconds in which several signals are one: a launcher sends its own after the terminal's


class Patience:
    """Tells the signal that asks to stop from a second one, of somebody who does not want to wait any longer."""

    def __init__(self) -> None:
        self._asked: float | None = None

    def is_over(self) -> bool:
        """Note a signal that has come. Whether it is a second one."""
        now = time.monotonic()
        if self._asked is None:
            self._asked = now
        return now - self._asked >= ONE_PRESS


def leave_at_once(code: int) -> NoReturn:
    """End the process and the workers that it started, whatever they are waiting for. Nothing is tidied up.

    A worker that is stopped or hangs in the system takes no other signal than this, and a process that ends as usual
    waits for it.
    """
    processes = sys.modules.get("multiprocessing.process")  # where it is not, there are no workers
    for worker in processes.active_children() if processes is not None else ():
        worker.kill()
    os._exit(code)
