"""What is opened is the ONNX graph of a file, with an onnxruntime that keeps quiet."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
from polyglot import polyglot

from cnnspec.runtime.session import open_session
from cnnspec.runtime.trial import Trial


def test_a_file_that_is_also_a_model_in_ort_s_format_runs_as_the_graph_that_was_checked() -> None:
    data = polyglot("Abs", "Neg")
    onnx.checker.check_model(onnx.load_model_from_string(data))
    with Trial() as trial:
        trial.run(data, "it")
    inputs = np.array([[1, -2, 3, -4]], np.float32)
    (result,) = open_session(data, "it", device="cpu", threads=1).run(None, {"x": inputs})
    np.testing.assert_array_equal(result, np.abs(inputs))


IMPORTED = "from cnnspec.runtime.session import onnxruntime; onnxruntime(); print('done')"


def run_python(code: str, *, home: Path | str, path: Path | None = None, **variables: str) -> tuple[str, str]:
    """What a process of its own prints on stdout and stderr."""
    environment = {name: value for name, value in os.environ.items() if name != "ORT_DISABLE_TELEMETRY"}
    search = os.pathsep.join([*([str(path)] if path else []), *sys.path])
    environment |= {"HOME": str(home), "PYTHONPATH": search, **variables}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    return done.stdout, done.stderr


def test_onnxruntime_writes_nothing_below_home(tmp_path: Path) -> None:
    assert run_python(IMPORTED, home=tmp_path) == ("done\n", "")
    assert not [*tmp_path.iterdir()]


def test_onnxruntime_does_not_warn_where_home_cannot_be_written() -> None:
    assert run_python(IMPORTED, home="/dev/null/home") == ("done\n", "")


def test_who_has_set_the_variable_of_telemetry_keeps_it(tmp_path: Path) -> None:
    code = IMPORTED + "; import os; print(os.environ['ORT_DISABLE_TELEMETRY'])"
    assert run_python(code, home=tmp_path, ORT_DISABLE_TELEMETRY="0")[0] == "done\n0\n"
    assert run_python(code, home=tmp_path)[0] == "done\n1\n"


LOUD = """
import ctypes, os, sys
print("printed by Python")
os.write(1, b"written to the system\\n")
if sys.platform != "win32":
    ctypes.CDLL(None).puts(b"left in the buffer of C")
def set_default_logger_severity(severity): pass
"""


def test_what_onnxruntime_prints_while_it_is_imported_goes_to_stderr(tmp_path: Path) -> None:
    (tmp_path / "onnxruntime.py").write_text(LOUD)
    code = "print('before'); from cnnspec.runtime.session import onnxruntime; onnxruntime(); print('after')"
    out, err = run_python(code, home=tmp_path, path=tmp_path)
    assert out == "before\nafter\n"
    assert "printed by Python" in err
    assert "written to the system" in err
    assert "left in the buffer of C" in err or sys.platform == "win32"


def test_an_onnxruntime_that_cannot_be_imported_is_not_called_absent(tmp_path: Path) -> None:
    (tmp_path / "onnxruntime.py").write_text("raise ImportError('libcudart.so.13: no such file')")
    code = """
from cnnspec.errors import CnnspecError
from cnnspec.runtime.session import onnxruntime
try: onnxruntime()
except CnnspecError as error: print(type(error).__name__, error.message)
"""
    out, _ = run_python(code, home=tmp_path, path=tmp_path)
    assert out == "CnnspecError onnxruntime cannot be imported: libcudart.so.13: no such file\n"
