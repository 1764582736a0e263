"""What is opened is the ONNX graph of a file."""

from __future__ import annotations

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
