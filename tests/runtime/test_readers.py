"""Files that other processes decode: what is printed is what one process prints, and none is left when it ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import cnnspec

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="readers are forked on Linux alone")

MODEL = "model.onnx"
# The program, on as many cores as are said, with what a test changes in it. Every process that reads is told of.
PROGRAM = """
import os, sys, time, signal, warnings
fork = os.fork
def told():
    pid = fork()
    if pid: print("forked", pid, file=sys.stderr, flush=True)
    return pid
os.fork = told
from cnnspec.__main__ import main
from cnnspec.runtime import readers
readers.usable_cores = lambda: {cores}
{change}
sys.argv = ["cnnspec", "predict", {model!r}, *{arguments!r}]
main()
"""


def program(*arguments: str, change: str = "", cores: int = 3) -> list[str]:
    code = PROGRAM.format(cores=cores, change=change, model=MODEL, arguments=[*arguments, "--device", "cpu"])
    return [sys.executable, "-c", code]


def said(*arguments: str, change: str = "", cores: int = 3) -> tuple[int, str, list[str], int]:
    """The exit code, what was printed, what was said on stderr, and how many processes read."""
    command = program(*arguments, change=change, cores=cores)
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    lines = done.stderr.splitlines()
    rest = [line for line in lines if not line.startswith("forked")]
    return done.returncode, done.stdout, rest, len(lines) - len(rest)


@pytest.fixture
def folder(tmp_path: Path) -> str:
    """700 small images of several kinds and sizes in folders, and a model that tells all its classes apart."""
    cnnspec.export("lenet5", MODEL, verify=False)
    rng = np.random.default_rng(0)
    for number in range(700):
        place = tmp_path / "images" / f"{number // 300}"
        place.mkdir(parents=True, exist_ok=True)
        size = (28, 28) if number % 5 else (31, 20, 3)
        Image.fromarray(rng.integers(0, 256, size, np.uint8)).save(place / f"{number:03}.{('png', 'bmp')[number % 2]}")
    return "images"


@pytest.mark.parametrize("form", ["table", "json", "csv"])
def test_the_answers_are_those_of_one_process_in_their_order(folder: str, form: str) -> None:
    given = (folder, "--format", form, "--invert")
    alone, together = said(*given, "--threads", "1"), said(*given)
    assert (alone[3], together[3]) == (0, 2)
    assert together[:3] == alone[:3]
    assert len(together[1].splitlines()) >= 700


def test_what_is_wrong_with_files_is_said_as_by_one_process(folder: str) -> None:
    first, second = Path(folder, "0"), Path(folder, "2")
    for path in (first / "010.png", second / "699.bmp"):
        path.write_bytes(b"no image")
    data = (first / "020.png").read_bytes()
    (first / "020.png").write_bytes(data[: len(data) // 2])
    (first / "021.bmp").unlink()
    (first / "021.bmp").mkdir()
    (first / "021.png").symlink_to("nowhere")
    for number in range(64):  # the whole of a block
        (first / f"1{number:02}a.png").write_bytes(b"")
    alone, together = said(folder, "--threads", "1"), said(folder)
    assert (alone[3], together[3]) == (0, 2)
    assert together[:3] == alone[:3]
    assert (together[0], len([line for line in together[2] if line.startswith("error: ")])) == (2, 68)


def test_what_is_no_image_file_has_its_place_among_them(folder: str) -> None:
    np.save("x.npy", np.zeros((3, 1, 28, 28), np.uint8))
    given = (folder, "x.npy", "images/2/600.png", "--format", "csv")
    alone, together = said(*given, "--threads", "1"), said(*given)
    assert together[:3] == alone[:3]
    assert together[3] == 2
    assert [line.partition(",")[0] for line in together[1].splitlines()[-4:]] == [
        "x.npy[0]", "x.npy[1]", "x.npy[2]", "images/2/600.png",
    ]  # fmt: skip


def test_names_too_long_for_a_question_are_read_by_who_asks(folder: str) -> None:
    change = "import fcntl; fcntl.fcntl = lambda *_: 600"  # bytes of a pipe
    alone, together = said(folder, "--threads", "1"), said(folder, change=change)
    assert together == (*alone[:3], 2)


def test_answers_larger_than_a_pipe_keep_nobody_waiting(folder: str) -> None:
    layers = '["Conv2d(4, 9, stride=9)", AdaptiveAvgPool2d(1), Flatten, Linear(9)]'
    spec = cnnspec.loads(f"{{cnnspec: 1, name: large, input: [3, 96, 96], layers: {layers}}}")
    cnnspec.export(spec, MODEL, verify=False)
    alone, together = said(folder, "--threads", "1", "--format", "csv"), said(folder, "--format", "csv")
    assert together == (*alone[:3], 2)
    assert alone[0] == 0


@pytest.mark.parametrize(
    ("arguments", "change", "cores"),
    [
        (["images/0"], "", 3),  # few files
        (["images", "--threads", "1"], "", 3),
        (["images"], "", 1),
        (["images"], "import threading; threading.Thread(target=time.sleep, args=(5,), daemon=True).start()", 3),
        (["images"], "readers.are_large = lambda sources: True", 3),
        (["images"], "sys.platform = 'darwin'", 3),
    ],
)
def test_where_others_are_no_gain_nobody_else_reads(folder: str, arguments: list[str], change: str, cores: int) -> None:
    code, printed, _, readers = said(*arguments, change=change, cores=cores)
    assert (code, readers) == (0, 0)
    assert len(printed.splitlines()) == (301 if arguments == ["images/0"] else 701)


def test_without_processes_to_be_had_one_reads(folder: str) -> None:
    change = "def none(): raise BlockingIOError(11, 'none')\nos.fork = none"
    assert said(folder, change=change)[:2] == said(folder, "--threads", "1")[:2]


SLOW = """
read = readers._read
def slowly(*wanted):
    time.sleep(0.4)
    return read(*wanted)
readers._read = slowly
"""


@pytest.mark.parametrize("when", ["ask", "answer"])
def test_a_reader_that_is_killed_is_one_clear_error(folder: str, when: str) -> None:
    change = f"""{SLOW}
real, seen = readers._Reader.{when}, []
def killed(self, block):
    seen.append(block)
    if len(seen) == 5:
        os.kill(self._pid, signal.SIGKILL)
        time.sleep(0.5)
    return real(self, block)
readers._Reader.{when} = killed
"""
    code, printed, rest, readers = said(folder, change=change)
    assert (code, readers) == (1, 2)
    assert [line for line in rest if line.startswith("error: ")] == [
        "error: a process that reads images has ended before it was done"
    ]
    assert not any("Traceback" in line for line in rest)
    assert 64 < len(printed.splitlines()) < 700  # those before it


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


@pytest.mark.parametrize(
    ("number", "everybody", "code"),
    [
        (signal.SIGINT, True, 130),  # as a terminal does it
        (signal.SIGTERM, False, 143),
        (signal.SIGTERM, True, 143),
        (signal.SIGKILL, False, -9),
    ],
)
def test_no_reader_outlives_the_program(folder: str, number: signal.Signals, everybody: bool, code: int) -> None:
    command = program(folder, change=SLOW)
    with subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as running:
        assert running.stderr is not None
        pids = [int(running.stderr.readline().split()[1]) for _ in range(2)]
        time.sleep(1)
        (os.killpg if everybody else os.kill)(running.pid, number)
        assert running.wait(timeout=60) == code
        end = time.monotonic() + 20
        while any(map(alive, pids)) and time.monotonic() < end:
            time.sleep(0.05)
        left = [pid for pid in pids if alive(pid)]
        for pid in left:
            os.kill(pid, signal.SIGKILL)
        rest = running.stderr.read()
    assert not left
    assert "Traceback" not in rest
    assert "error" not in rest


WARNER = """
import warnings
from cnnspec.images import read_image

def warned(*given, **options):
    warnings.warn("strange", stacklevel=1)
    return read_image(*given, **options)
"""


def test_a_warning_of_a_reader_is_said_once(folder: str) -> None:
    Path("warner.py").write_text(WARNER)
    _, _, rest, readers = said(folder, change="import warner; readers.read_image = warner.warned")
    assert readers == 2
    assert len([line for line in rest if "UserWarning: strange" in line]) == 1


def test_systems_without_fcntl_can_load_it() -> None:
    code = "import sys; sys.modules['fcntl'] = None; import cnnspec.runtime.readers"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
