"""The doctor sees what is there, and names the command that mends what is broken."""

from __future__ import annotations

import json

import numpy as np
import onnx
import onnxruntime
import pytest

from cnnspec.cli import main
from cnnspec.runtime import doctor


def test_this_installation_is_explained(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["doctor", "--format", "json"])
    found = json.loads(capsys.readouterr().out)
    subjects = {finding["subject"]: finding for finding in found["findings"]}
    assert subjects["CPUExecutionProvider"]["level"] == "ok"
    assert onnxruntime.__version__ in subjects["onnxruntime"]["message"]
    assert subjects["torch"]["level"] in ("ok", "problem")
    assert found["healthy"] == all(finding["level"] != "problem" for finding in found["findings"])


def test_the_small_network_is_valid() -> None:
    model = doctor._one_node()
    onnx.checker.check_model(onnx.load_model_from_string(model), full_check=True)
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    given = np.array([[-1, 2]], np.float32)
    assert session.run(None, {"x": given})[0].tolist() == [[0, 2]]


def answers(monkeypatch: pytest.MonkeyPatch, wheels: dict[str, str], told: dict[str, str | None]) -> None:
    """An installation with these wheels, whose child processes answer so; the key is a part of their code."""
    monkeypatch.setattr(doctor, "_version", wheels.get)

    def child(code: str, *arguments: str) -> tuple[str | None, str]:
        key = next(key for key in told if key in code or key in arguments)
        return (told[key], "") if told[key] is not None else (None, "it broke")

    monkeypatch.setattr(doctor, "_child", child)


def test_two_wheels_at_once_are_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    told: dict[str, str | None] = {
        "get_available": "1.30.0 - CPUExecutionProvider",
        "CPUExecutionProvider": "CPUExecutionProvider",
    }
    answers(monkeypatch, {"onnxruntime": "1.30.0", "onnxruntime-gpu": "1.31.0"}, told)
    first, *_ = doctor._onnxruntime(has_driver=False).facts
    assert first.level == "problem"
    assert first.command == "pip uninstall -y onnxruntime onnxruntime-gpu && pip install onnxruntime-gpu"


def test_a_silent_fall_back_is_a_problem_where_there_is_a_device(monkeypatch: pytest.MonkeyPatch) -> None:
    told: dict[str, str | None] = {
        "get_available": "1.31.0 13.0 CUDAExecutionProvider CPUExecutionProvider",
        "CUDAExecutionProvider": "CPUExecutionProvider",
        "CPUExecutionProvider": "CPUExecutionProvider",
    }
    answers(monkeypatch, {"onnxruntime-gpu": "1.31.0"}, told)
    cuda = doctor._onnxruntime(has_driver=True).facts[1]
    assert cuda.level == "problem"
    assert "silently uses CPUExecutionProvider" in cuda.message
    assert cuda.command == "pip install 'onnxruntime-gpu[cuda,cudnn]'"
    assert doctor._onnxruntime(has_driver=False).facts[1].level == "note"


def test_a_provider_that_runs_nothing_here_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    told: dict[str, str | None] = {
        "get_available": "1.31.0 - AzureExecutionProvider CPUExecutionProvider",
        "AzureExecutionProvider": "AzureExecutionProvider",
        "CPUExecutionProvider": "CPUExecutionProvider",
    }
    answers(monkeypatch, {"onnxruntime": "1.31.0"}, told)
    subjects = [fact.subject for fact in doctor._onnxruntime(has_driver=False).facts]
    assert subjects == ["onnxruntime", "CPUExecutionProvider"]


def test_a_build_without_the_gpu_is_a_problem_where_there_is_a_device(monkeypatch: pytest.MonkeyPatch) -> None:
    told: dict[str, str | None] = {
        "get_available": "1.31.0 - CPUExecutionProvider",
        "CPUExecutionProvider": "CPUExecutionProvider",
    }
    answers(monkeypatch, {"onnxruntime": "1.31.0"}, told)
    last = doctor._onnxruntime(has_driver=True).facts[-1]
    assert last.command == "pip uninstall -y onnxruntime && pip install onnxruntime-gpu"


def test_torch_that_does_not_load_or_cannot_use_the_gpu_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    answers(monkeypatch, {}, {"torch": None})
    (broken,) = doctor._torch(has_driver=False).facts
    assert (broken.level, broken.message) == ("problem", "it cannot be imported: it broke")
    answers(monkeypatch, {}, {"torch": "2.14.0+cpu - False -"})
    assert doctor._torch(has_driver=True).facts[0].level == "problem"
    assert doctor._torch(has_driver=False).facts[0].level == "ok"


@pytest.mark.parametrize(
    ("convolution", "level", "said"),
    [
        ("done", "ok", "a convolution runs on the GPU"),
        (
            "cuda:0, card: CUDA error: no kernel image is available",
            "problem",
            "no convolution runs on cuda:0, card: CUDA",
        ),
        (None, "problem", "no convolution runs on the GPU: it broke"),
    ],
)
def test_a_gpu_is_praised_only_where_a_convolution_runs(
    monkeypatch: pytest.MonkeyPatch, convolution: str | None, level: str, said: str
) -> None:
    answers(monkeypatch, {}, {"conv2d": convolution, "torch": "2.14.0 13.0 True 9"})
    (fact,) = doctor._torch(has_driver=True).facts
    assert fact.level == level
    assert said in fact.message


@pytest.mark.parametrize(
    ("torch", "onnxruntime", "noted"),
    [("12.8", "13.0", True), ("13.1", "13.0", False), ("-", "13.0", False), ("12.8", "-", False)],
)
def test_different_cuda_versions_are_noted(
    monkeypatch: pytest.MonkeyPatch, torch: str, onnxruntime: str, noted: bool
) -> None:
    told: dict[str, str | None] = {
        "conv2d": "done",
        "import torch": f"2.14.0 {torch} True 9",
        "get_available": f"1.31.0 {onnxruntime} CPUExecutionProvider",
        "CPUExecutionProvider": "CPUExecutionProvider",
    }
    answers(monkeypatch, {"onnxruntime-gpu": "1.31.0"}, told)
    notes = [fact.message for fact in doctor.examine_installation().facts if fact.subject == "CUDA"]
    assert len(notes) == noted
    if noted:
        assert "torch is built for CUDA 12 and onnxruntime for CUDA 13," in notes[0]


def test_nothing_installed_is_told_with_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "_version", lambda name: None)
    monkeypatch.setattr(doctor.importlib.util, "find_spec", lambda name: None)
    assert doctor._onnxruntime(has_driver=False).facts[0].command == "pip install 'cnnspec[onnx]'"
    assert doctor._torch(has_driver=False).facts[0].command == "pip install 'cnnspec[train]'"
    assert doctor._packages().command == "pip install 'cnnspec[all]'"


def test_a_child_that_fails_or_hangs_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    assert doctor._child("print(1); print(2)") == ("2", "")
    assert doctor._child("raise SystemExit('no')") == (None, "no")
    assert doctor._child("import os; os.kill(os.getpid(), 9)")[1] == "the process ended with -9"
    monkeypatch.setattr(doctor, "SECONDS", 0.05)
    assert "no answer" in doctor._child("import time; time.sleep(9)")[1]
