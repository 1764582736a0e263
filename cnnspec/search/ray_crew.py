"""Workers on a cluster of Ray. Ray starts them and, where a node dies, starts them elsewhere.

All else is as without it: the study on the shared folder is the only truth, and a trial that is left behind goes on
from its run's checkpoint.
"""

from __future__ import annotations

import logging
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import ray

from cnnspec.errors import CnnspecError
from cnnspec.search.crew import Ended, worker_command
from cnnspec.search.folder import SearchFolder
from cnnspec.search.trials import Machine

__all__ = ["RayMember", "cluster"]

CONNECTING: Final = 10.0  # seconds until nobody is there
SAVING: Final = 60.0  # seconds that a worker has for saving when it is stopped


@contextmanager
def cluster(address: str) -> Iterator[None]:
    """While entered, this process drives the cluster at `address`. Raises CnnspecError where it cannot be reached."""
    logging.getLogger("ray").setLevel(logging.CRITICAL)  # what it says of nodes that die is in its own logs
    _check_listening(address)
    try:
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR, configure_logging=False)
    except (ConnectionError, RuntimeError, ValueError, OSError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise CnnspecError(f"no Ray cluster answers at {address}: {reason:.200}") from None
    try:
        yield
    finally:
        ray.shutdown()


def _check_listening(address: str) -> None:
    """Raise CnnspecError where nothing listens at a host and port: Ray would try for minutes."""
    host, _, port = address.rpartition(":")
    if "://" in address or not host or not port.isdecimal():
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), CONNECTING).close()
    except (OSError, OverflowError) as error:
        raise CnnspecError(
            f"no Ray cluster answers at {address}: {getattr(error, 'strerror', None) or error}"
        ) from None


class WorkerKilledError(RuntimeError):
    """A worker was killed: Ray is to start another one."""


def _work(folder: str, machine: Machine) -> tuple[int, str]:
    """On a node: run a worker, and give its exit code and what it said."""
    with subprocess.Popen(worker_command(folder, machine), stdout=subprocess.PIPE, text=True) as process:
        try:
            said, _ = process.communicate()
        except BaseException:  # the task is cancelled
            process.send_signal(signal.SIGTERM)
            with suppress(subprocess.TimeoutExpired):
                process.wait(SAVING)
            raise
    if process.returncode < 0:
        raise WorkerKilledError(process.returncode)
    return process.returncode, said


class RayMember:
    """A worker somewhere on the cluster."""

    def __init__(self, folder: SearchFolder, machine: Machine) -> None:
        here = Path(machine.data)
        there = replace(machine, data=str(here.resolve())) if here.exists() else machine
        work: Any = ray.remote(_work)
        remote = work.options(
            num_cpus=machine.threads or 1, max_retries=-1, retry_exceptions=[WorkerKilledError], name=folder.name
        )
        self._task: Any = remote.remote(str(folder.path.resolve()), there)

    def ended(self) -> Ended | None:
        """How it has ended; None while it is at work."""
        done, _ = ray.wait([self._task], timeout=0)
        if not done:
            return None
        try:
            code, said = ray.get(self._task)
        except ray.exceptions.TaskCancelledError:
            return Ended(143, "")
        except ray.exceptions.RayError as error:
            return Ended(1, str(error))
        return Ended(code, said)

    def ask_to_stop(self) -> None:
        """Let it save everything and end."""
        ray.cancel(self._task)

    def end(self, seconds: float) -> None:
        """Wait so long for it to end, and end it then."""
        until = time.monotonic() + seconds
        while self.ended() is None and time.monotonic() < until:
            time.sleep(0.1)
        if self.ended() is None:
            ray.cancel(self._task, force=True)
