"""Several processes at work on a search, and what they have done as it becomes known."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from typing import Final, NamedTuple, Protocol

from cnnspec.errors import CnnspecError, UsageError
from cnnspec.search.folder import SearchFolder, SearchPlan
from cnnspec.search.journal import open_study
from cnnspec.search.progress import SearchProgress
from cnnspec.search.records import Standing
from cnnspec.search.standing import standing_of
from cnnspec.search.trials import Machine
from cnnspec.search.work import time_left
from cnnspec.training.signals import Interrupted, Signals

__all__ = ["Crew", "Ended", "Member", "ProcessMember", "worker_command"]

POLL: Final = 0.5  # seconds between two looks at what the workers have done
STOPPED: Final = (130, 143)  # the exit codes of those that a signal has ended
PATIENCE: Final = 60.0  # seconds that workers have for saving when they are stopped


class Ended(NamedTuple):
    """How a worker has ended: its exit code, and what it said on stdout."""

    code: int
    said: str


class Member(Protocol):
    """One worker, wherever it runs."""

    def ended(self) -> Ended | None:
        """How it has ended; None while it is at work."""

    def ask_to_stop(self) -> None:
        """Let it save everything and end."""

    def end(self, seconds: float) -> None:
        """Wait so long for it to end, and end it then."""


def worker_command(folder: str, machine: Machine) -> list[str]:
    """The command of a worker that this process starts, and that is not to outlive it."""
    return [sys.executable, "-m", "cnnspec.search.worker", folder, json.dumps(asdict(machine)), str(os.getpid())]


class ProcessMember:
    """A worker that is a process of this machine."""

    def __init__(self, folder: SearchFolder, machine: Machine) -> None:
        self._process = subprocess.Popen(worker_command(str(folder.path), machine), stdout=subprocess.PIPE, text=True)

    def ended(self) -> Ended | None:
        """How it has ended; None while it is at work."""
        code = self._process.poll()
        if code is None:
            return None
        said = "" if self._process.stdout is None or self._process.stdout.closed else self._process.stdout.read()
        return Ended(code, said)

    def ask_to_stop(self) -> None:
        """Let it save everything and end."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)

    def end(self, seconds: float) -> None:
        """Wait so long for it to end, and end it then."""
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()


class Crew:
    """Watches over workers until they have ended."""

    def __init__(
        self, folder: SearchFolder, plan: SearchPlan, members: Sequence[Member], progress: SearchProgress
    ) -> None:
        self.folder, self.plan, self.members, self.progress = folder, plan, [*members], progress
        self.study = open_study(folder, plan)
        self.told = {record.number for record in self._standing().records if record.status != "running"}
        self.finished = False  # whether all trials have ended; then nothing is left to do for anybody
        self.spent = False  # whether a worker has found nothing to do, for lack of new networks
        self.before, self.began = len(self.told), time.monotonic()

    def _standing(self) -> Standing:
        return standing_of(self.study, self.folder, self.plan)

    def work(self) -> None:
        """Say what the workers have done, until all have ended.

        Raises the error of a worker that has failed, CnnspecError where all were killed, and Interrupted.
        """
        with Signals() as signals:
            try:
                while self._at_work() and signals.received is None and not self.finished:
                    time.sleep(POLL)
                    self._tell()
                    self.finished = self._standing().done >= self.plan.section.trials
            finally:
                self._stop()
        self._tell()
        if signals.received is not None and not self.finished:
            message = f"stopped after {len(self.told)} of {self.plan.section.trials} trials; nothing is lost"
            raise Interrupted(signals.received, message, "the same command continues")
        if not self.finished and not self.spent:
            raise CnnspecError("every worker has ended before the search was done", hint="the same command continues")

    def _at_work(self) -> bool:
        """Whether a worker is at work. One that was killed is told of; the error of one that failed is raised."""
        for member in list(self.members):
            ended = member.ended()
            if ended is None:
                continue
            self.members.remove(member)
            member.end(0)
            if ended.code == 0:
                self.spent = True
            elif ended.said:
                raise _error(ended.said)
            elif ended.code not in STOPPED:  # as all are by the terminal's Ctrl-C
                self.progress.message(f"a worker has ended with {ended.code}; what it left, others take up")
        return bool(self.members)

    def _tell(self) -> None:
        """Say which trials have ended since."""
        standing = self._standing()
        for record in standing.records:
            if record.status != "running" and record.number not in self.told:
                self.told.add(record.number)
                self.progress.trial(record, standing, time_left(standing, self.before, self.began))

    def _stop(self) -> None:
        """End the workers, with everything saved; those that take too long, without."""
        for member in self.members:
            member.ask_to_stop()
        until = time.monotonic() + PATIENCE
        for member in self.members:
            member.end(max(0.1, until - time.monotonic()))


def _error(said: str) -> CnnspecError:
    """The error that a worker has told of."""
    try:
        told = json.loads(said)
        kind = UsageError if told["exit_code"] == UsageError.exit_code else CnnspecError
        return kind(str(told["message"]), hint=told["hint"])
    except (ValueError, KeyError, TypeError):
        return CnnspecError(f"a worker has failed: {said.strip():.200}")
