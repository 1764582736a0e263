"""SIGINT, SIGTERM and SIGHUP end a command with 130, 143 and 129 from its first moment on, and without a traceback."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

NUMBERS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP) if os.name == "posix" else (signal.SIGINT, signal.SIGTERM)

# Says on stdout when the process has taken signals on: the next that it imports is the command line.
STARTED = """
import os, sys
class Watch:
    def find_spec(self, name, path=None, target=None):
        if name == "cnnspec.cli":
            os.write(1, b"started")
sys.meta_path.insert(0, Watch())
from cnnspec.__main__ import main
main()
"""


def end_early(arguments: list[str], seconds: float, number: int, folder: Path) -> tuple[int, str]:
    """The exit code and the messages of a command that gets a signal so many seconds after it has begun."""
    command = [sys.executable, "-c", STARTED, *arguments]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, cwd=folder, text=True, **pipes) as process:  # type: ignore[call-overload]
        assert process.stdout.read(7) == "started"
        time.sleep(seconds)
        process.send_signal(number)
        messages = process.communicate()[1]
    return process.returncode, messages


def check_early(arguments: list[str], times: list[float], folder: Path) -> None:
    """Signals of all kinds in turn, one for each of these times."""
    for index, seconds in enumerate(times):
        number = NUMBERS[index % len(NUMBERS)]
        code, messages = end_early(arguments, seconds, number, folder)
        assert code == 128 + number, (seconds, number, code, messages)
        assert "Traceback" not in messages, (seconds, number, messages)


TRAIN = ["train", "lenet5", "--data", "digits", "--epochs", "1000", "--overwrite"]


def test_a_training_run_can_be_ended_while_it_loads(tmp_path: Path) -> None:
    check_early(TRAIN, [0.0, 0.5, 1.0], tmp_path)


@pytest.mark.long
@pytest.mark.parametrize("verb", ["train", "eval"])
def test_a_signal_at_any_moment_of_the_first_seconds_ends_a_command(verb: str, tmp_path: Path) -> None:
    arguments = TRAIN
    if verb == "eval":
        main = [sys.executable, "-m", "cnnspec", *TRAIN[:-3], "--epochs", "1", "--name", "run"]
        subprocess.run(main, cwd=tmp_path, check=True, capture_output=True)
        arguments = ["eval", "runs/run"]
    check_early(arguments, [1.5 * index / 60 for index in range(60)], tmp_path)


DEAF = """
import os, signal, sys, time
class Deaf:
    def find_spec(self, name, path=None, target=None):
        if name == "cnnspec.cli.inspect":
            try:
                os.kill(os.getpid(), {number})
                time.sleep(0.05)
            except BaseException:
                pass
sys.meta_path.insert(0, Deaf())
sys.argv = ["cnnspec", "inspect", "resnet152"]
from cnnspec.__main__ import main
main()
"""


def run_python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)


@pytest.mark.parametrize("number", NUMBERS)
def test_an_import_that_swallows_everything_does_not_swallow_a_signal(number: int) -> None:
    done = run_python(DEAF.format(number=int(number)))
    assert done.returncode == 128 + number
    assert done.stderr.strip() == "interrupted"


HANDLED = "import os, signal, time; from cnnspec.interrupts import handler; handler.install()\n"


def test_one_signal_ends_a_command_and_further_ones_change_nothing() -> None:
    code = """
try:
    signal.raise_signal(signal.SIGTERM)
except KeyboardInterrupt as stopped:
    signal.raise_signal(signal.SIGTERM)
    signal.raise_signal(signal.SIGINT)
    print(stopped.exit_code)
"""
    assert run_python(HANDLED + code).stdout == "143\n"


def test_a_signal_in_a_finalizer_is_raised_outside_of_it() -> None:
    code = """
class Last:
    def __del__(self):
        signal.raise_signal(signal.SIGTERM)
try:
    Last()
    time.sleep(60)
except KeyboardInterrupt as stopped:
    print(stopped.exit_code)
"""
    done = run_python(HANDLED + code)
    assert (done.stdout, done.stderr) == ("143\n", "")


@pytest.mark.parametrize("end", ["pass", "raise ValueError from None", "return 0"])
def test_what_swallows_a_signal_changes_neither_the_exit_code_nor_a_run(end: str) -> None:
    code = f"""
from cnnspec import cli
def app(**options):
    try:
        signal.raise_signal(signal.SIGTERM)
    except BaseException:
        {end}
    from cnnspec.training.signals import Signals
    with Signals() as signals:
        print(signals.received)
cli.app = app
cli.main()
"""
    done = run_python(HANDLED + code)
    assert (done.returncode, done.stderr) == (143, "interrupted\n")
    assert done.stdout == ("15\n" if end == "pass" else "")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_a_process_that_is_forked_off_is_ended_as_usual() -> None:
    code = """
child = os.fork()
if not child:
    time.sleep(60)
    os._exit(0)
os.kill(child, signal.SIGTERM)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    done = run_python(HANDLED + code)
    assert (done.stdout, done.stderr) == ("-15\n", "")


@pytest.mark.skipif(os.name != "posix", reason="SIGHUP is POSIX")
@pytest.mark.parametrize("taken", ["from cnnspec.interrupts import handler; handler.install()", "pass"])
def test_a_hangup_that_is_ignored_stays_so(taken: str) -> None:
    """As `nohup` starts a command: also in a run, and in a program that calls `train`."""
    code = f"""
import os, signal
signal.signal(signal.SIGHUP, signal.SIG_IGN)
{taken}
from cnnspec.training.signals import Signals
os.kill(os.getpid(), signal.SIGHUP)
with Signals() as signals:
    os.kill(os.getpid(), signal.SIGHUP)
    print(signals.received, signal.getsignal(signal.SIGHUP) is signal.SIG_IGN)
"""
    assert run_python(code).stdout == "None True\n"
