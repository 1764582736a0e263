"""What starts without torch and onnx, and what a wrong call gets."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from cli.cli_calls import call_line

from cnnspec.cli import VERBS

HEAVY = {"torch", "torchvision", "onnx", "onnxruntime", "numpy", "matplotlib", "sklearn"}

PROBE = """
import atexit, sys
from cnnspec.cli import main
atexit.register(lambda: print("LOADED", *sorted(set(sys.modules) & set({heavy!r})), file=sys.stderr))
main({arguments!r})
"""


def loaded(*arguments: str) -> set[str]:
    """The heavy modules that a call has imported by its end."""
    code = PROBE.format(heavy=sorted(HEAVY), arguments=list(arguments))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return set(done.stderr.rpartition("LOADED")[2].split())


@pytest.mark.parametrize(
    "call",
    [
        "--help",
        "--version",
        "inspect lenet5",
        "inspect resnet18 --format json",
        "inspect lenet5 --explain C1",
        "inspect lenet5 --field C3",
        "check lenet5",
        "draw resnet18 -o /dev/null --format svg",
        "calc conv2d --input 32 --kernel-size 5",
        "diff resnet18 resnet34",
        "sizes lenet5",
        "explain E201",
        "explain Conv2d",
        "explain",
        "zoo lenet5",
        "schema",
        "train --help",
        "export --help",
        "predict --help",
    ],
)
def test_verbs_of_the_core_load_nothing_heavy(call: str) -> None:
    assert loaded(*call.split()) == set()


BESIDE_THE_POINT = ("pydantic", "rich", "importlib.metadata", "email", "socket", "asyncio", "hashlib", "csv", "json")
OF_OTHER_VERBS = ("data", "exporting", "images", "onnx_backend", "runtime", "scoring", "torch_backend", "training")


def test_inspect_imports_what_it_needs_and_no_more() -> None:
    code = """
import atexit, sys
from cnnspec.__main__ import main
atexit.register(lambda: print(*sys.modules, file=sys.stderr))
sys.argv = ["cnnspec", "inspect", "lenet5"]
main()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    imported = set(done.stderr.split())
    assert "cnnspec.analysis" in imported
    others = {f"cnnspec.{name}" for name in OF_OTHER_VERBS}
    assert imported & (others | set(BESIDE_THE_POINT)) == set()


def test_the_probe_sees_what_is_loaded() -> None:
    code = PROBE.format(heavy=sorted(HEAVY), arguments=["--version"])
    done = subprocess.run([sys.executable, "-c", "import numpy\n" + code], capture_output=True, text=True, check=False)
    assert "LOADED numpy" in done.stderr


@pytest.mark.parametrize(
    ("call", "code", "words"),
    [
        ("inspect no_such_file.yaml", 2, "there is no file no_such_file.yaml"),
        ("inspect nothing", 2, "no file and no bundled spec"),
        ("inspect lenet", 2, "did you mean `lenet5`?"),
        ("inspect .", 2, "is a directory"),
        ("inspect lenet5 --format tabel", 2, "did you mean `table`?"),
        ("inspect lenet5 --explain C9", 2, "has no layer `C9`"),
        ("inspect lenet5 --input 1x2y3", 2, "no input shape"),
        ("inspect lenet5 --input 1x4x4", 3, "E201"),
        ("inspect resnet50 --input 224x224x3", 2, "help: channels come first: `--input 3x224x224`"),
        ("inspect resnet50 --input 1x224x224", 2, "but the input has 1 channel\n"),
        (f"inspect lenet5 --input 1x{'9' * 5000}", 2, "no input shape"),
        (f"inspect lenet5 --field S4:{'9' * 5000},1", 2, "names no unit"),
        (f"inspect lenet5 --fits {'9' * 5000}GiB", 2, "no size of memory"),
        (f"sizes lenet5 --output {'9' * 5000}", 2, "is no size"),
        (f"calc conv2d --input {'9' * 5000} --kernel-size 3", 2, "whole numbers"),
        (f"export lenet5 --batch {'9' * 5000}", 2, "`dynamic` or a number"),
        (f"bench lenet5 --batches 1,{'9' * 5000}", 2, "numbers from 1 on"),
        ("inspect lenet5 --variant lenet6", 2, "no variant"),
        ("inspect lenet5 --set width=3", 2, "no parameter `width`"),
        ("inspect lenet5 --fits 8Gib --format json", 0, ""),
        ("inspect lenet5 --fits lots", 2, "no size of memory"),
        ("inspect lenet5 --field S4:9,9", 2, "its units are 0..4,0..4"),
        ("inspect mlp --field 1", 2, "no spatial axes"),
        ("inspect", 2, "missing argument 'SPEC'"),
        ("inspekt lenet5", 2, "did you mean `inspect`?"),
        ("--debug", 2, "missing command"),
        ("train --epochs many", 2, "`cnnspec train --help` lists what there is"),
        ("inspect lenet5 --frmat json", 2, "--frmat"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_wrong_call_gets_one_message_and_its_code(call: str, code: int, words: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "cnnspec", *call.split()]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stderr
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert code != 2 or re.fullmatch(r"error: .*\n(  help: .*\n)?", done.stderr)  # also what typer says
    assert not list(tmp_path.iterdir())


def test_a_reader_that_goes_away_is_no_error() -> None:
    read, write = os.pipe()
    os.close(read)
    command = [sys.executable, "-m", "cnnspec", "inspect", "resnet152"]
    with os.fdopen(write) as closed:
        done = subprocess.run(command, stdout=closed, stderr=subprocess.PIPE, text=True, check=False)
    assert "Traceback" not in done.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no device that is always full")
def test_a_full_device_is_said_in_one_line() -> None:
    with open("/dev/full", "w") as full:
        command = [sys.executable, "-m", "cnnspec", "inspect", "lenet5"]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == "error: cannot write the output: No space left on device\n"


ASCII = {  # stdouts that cannot hold every letter, each with how errors of encoding are met there
    "a C locale": {"PYTHONUTF8": "0", "LC_ALL": "C", "PYTHONCOERCECLOCALE": "0"},
    "ASCII asked for": {"PYTHONUTF8": "0", "LC_ALL": "C", "PYTHONIOENCODING": "ascii"},
}
LETTERS = """cnnspec: 1
name: net
description: "größer → kleiner"
input: [1, 8, 8]
classes: ["é", "ü", "→", "日"]
layers:
  conv: Conv2d(4, 3)
  pool: AdaptiveAvgPool2d(1)
  flatten: Flatten
  fc: Linear(4)
"""


@pytest.mark.parametrize("environment", ASCII.values(), ids=ASCII)
def test_a_stdout_that_cannot_hold_a_letter_gets_its_number(environment: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "größe.yaml").write_text(LETTERS, "utf-8")
    (tmp_path / "wrong.yaml").write_text(LETTERS.replace("fc: Linear(4)", "fc: Liñear(4)"), "utf-8")
    calls = {
        "diff resnet18 resnet34 --format markdown": "resnet18 \\u2192 resnet34",
        "check wrong.yaml": "Li\\xf1ear",
        "inspect größe.yaml": "net   input 1x8x8",
        "check größe.yaml --format json": "gr",
        "init größer.yaml": "cnnspec.schema.json",
        "explain W316": "# W316",
        "export --help": "Usage",
    }
    for line, words in calls.items():
        done = subprocess.run(
            [sys.executable, "-m", "cnnspec", *line.split()],
            cwd=tmp_path, env={**os.environ, **environment}, capture_output=True, check=False,
        )  # fmt: skip
        printed = done.stdout.decode("ascii")
        assert b"Traceback" not in done.stderr, (line, done.stderr)
        assert done.returncode in (0, 1, 3), (line, done.stderr)
        assert words in printed, (line, printed)


@pytest.mark.parametrize(
    ("call", "closed", "code"),
    [
        ("inspect lenet5", "1", 0),
        ("inspect nothing", "2", 2),
        ("fmt -", "1", 0),
        ("fmt -", "0", 3),
        ("check lenet5", "0 1 2", 0),
        ("runs", "0 1 2", 2),
        ("--help", "1", 0),
    ],
)
def test_streams_that_are_closed_are_empty_ones(call: str, closed: str, code: int, tmp_path: Path) -> None:
    line = f'"$0" -m cnnspec {call} ' + " ".join(f"{stream}>&-" for stream in closed.split())
    text = "cnnspec: 1\ninput: [3, 8, 8]\nlayers:\n  - ReLU\n"
    done = subprocess.run(
        ["sh", "-c", line, sys.executable], cwd=tmp_path, input=text, capture_output=True, text=True, check=False
    )
    assert (done.returncode, "Traceback" in done.stderr) == (code, False), done.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "call",
    [
        "inspect {}", "check {}", "fmt {}", "sizes {}", "diff {} mlp", "train mlp --data {}", "train mlp --config {}",
        "train mlp --weights {}", "train --resume {}", "runs --runs {}", "eval {}", "eval {} --data digits",
        "export {}", "export mlp --weights {}", "verify {}", "verify {} --against mlp", "predict m.onnx {}",
        "predict {} {}", "bench {}",
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_told_as_that(
    call: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert call_line(call.format("x" * 300, "x" * 300)) == 2
    assert re.search(r"^error: cannot read \S*x{50}\S*: File name too long$", capsys.readouterr().err, re.MULTILINE)


def test_a_process_with_torch_ends_at_once_and_in_order() -> None:
    code = """
import atexit, sys
class Last:
    def __del__(self): print("taken apart")
sys.modules["torch"] = last = Last()
atexit.register(print, "tidied up")
sys.argv = ["cnnspec", *{arguments!r}]
from cnnspec.cli import main
main()
"""
    for arguments, returncode in ((["inspect", "lenet5"], 0), (["inspect", "nothing.yaml"], 2)):
        command = [sys.executable, "-c", code.format(arguments=arguments)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == returncode, done.stderr
        assert done.stdout.endswith("tidied up\n"), done.stdout


def test_ctrl_c_while_loading_is_no_traceback() -> None:
    code = """
import sys
class Impatient:
    def find_spec(self, name, path=None, target=None):
        if name == "typer":
            raise KeyboardInterrupt
sys.meta_path.insert(0, Impatient())
from cnnspec.__main__ import main
main()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (130, "interrupted\n")


def test_debug_shows_the_traceback() -> None:
    command = [sys.executable, "-m", "cnnspec", "--debug", "inspect", "no_such_file.yaml"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "Traceback" in done.stderr


BLOCKED = """
import sys
for name in {heavy!r}:
    sys.modules[name] = None  # as if it were not installed
from cnnspec.cli import main
main({arguments!r})
"""


def without_extras(*arguments: str) -> subprocess.CompletedProcess[str]:
    heavy = sorted(HEAVY | {"PIL", "safetensors", "torchmetrics"})
    code = BLOCKED.format(heavy=heavy, arguments=list(arguments))
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


def test_the_light_install_helps_with_every_verb() -> None:
    assert without_extras("--help").returncode == 0
    for verb in VERBS:
        done = without_extras(verb, "--help")
        assert done.returncode == 0, (verb, done.stderr)


@pytest.mark.parametrize(
    ("call", "extra"), [("train lenet5", "train"), ("export lenet5", "onnx"), ("predict a.onnx a.png", "onnx")]
)
def test_an_absent_extra_is_one_clear_line(call: str, extra: str) -> None:
    done = without_extras(*call.split())
    assert done.returncode == 2
    assert done.stderr.startswith("error: this needs `")
    assert f"pip install 'cnnspec[{extra}]'" in done.stderr
    assert len(done.stderr.splitlines()) == 2
