"""What is opened is the ONNX graph of a file, with an onnxruntime that keeps quiet."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from polyglot import polyglot

from cnnspec.errors import CnnspecError, UsageError
from cnnspec.runtime import session
from cnnspec.runtime.doctor import _one_node
from cnnspec.runtime.session import check_device, engine_folder, nodes_by_provider, open_session
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


def test_what_ran_each_node_is_known() -> None:
    made = open_session(_one_node(), "it", device="cpu")
    assert nodes_by_provider(made) in ({"cpu": 1}, None)  # None of an onnxruntime from before 1.24
    assert nodes_by_provider(SimpleNamespace()) is None


@pytest.mark.parametrize(("device", "found"), [("cuda", ("cuda", 0)), ("tensorrt:2", ("tensorrt", 2))])
def test_a_card_is_named_by_its_number(device: str, found: tuple[str, int]) -> None:
    assert check_device(device) == found


@pytest.mark.parametrize("device", ["gpu", "cpu:0", "cuda:", "cuda:-1", "cuda:x", "auto:1", ""])
def test_a_device_that_there_is_not(device: str) -> None:
    with pytest.raises(UsageError, match=f"there is no device `{device}`"):
        open_session(_one_node(), "it", device=device)


def test_tensorrt_builds_once_for_a_model_and_a_card(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it is told: the card, and a folder beside the file, by the model's digest."""
    asked: list[Any] = []

    class Fake:
        def __init__(self, model: bytes, options: Any, providers: Any, enable_fallback: int) -> None:
            asked.extend(providers)

        def disable_fallback(self) -> None:
            pass

        def get_providers(self) -> list[str]:
            return [name for name, _ in asked]

    monkeypatch.setattr(onnxruntime, "InferenceSession", Fake)
    monkeypatch.setattr(onnxruntime, "preload_dlls", lambda: None)
    monkeypatch.setattr(session, "cuda_devices", lambda: 2)
    wanted = ["TensorrtExecutionProvider", "CUDAExecutionProvider"]
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: wanted)
    folder = engine_folder(str(tmp_path / "a.onnx"), b"model")
    assert folder is not None
    assert folder.parent == tmp_path / "a.onnx.engines"
    assert folder != engine_folder(str(tmp_path / "a.onnx"), b"another model")
    open_session(_one_node(), "it", device="tensorrt:1", engines=folder)
    (first, options), second = asked
    assert (first, second) == (wanted[0], (wanted[1], {"device_id": "1"}))
    assert options["device_id"] == "1"
    assert (options["trt_engine_cache_enable"], options["trt_engine_cache_path"]) == ("1", str(folder))
    with pytest.raises(CnnspecError, match="there is no CUDA device 2"):
        open_session(_one_node(), "it", device="cuda:2")
