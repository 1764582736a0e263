"""Sources in the verbs that use a network, from the file of another maker to what comes of it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file
from torch import nn

import cnnspec
from cnnspec.cli import main
from cnnspec.errors import CnnspecError

NET = """
import torch
from torch import nn


def digits(classes=10, width=4):
    torch.manual_seed(3)
    head = nn.Linear(width * 6 * 6, classes)
    return nn.Sequential(nn.Conv2d(1, width, 3), nn.BatchNorm2d(width), nn.ReLU(), nn.Flatten(), head)
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "net.py").write_text(NET)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def module() -> nn.Module:
    made: dict[str, nn.Module] = {}
    exec(NET + "\nmodule = digits()", made)
    return made["module"].eval()


def call(*arguments: str) -> int:
    with pytest.raises(SystemExit) as caught:
        main([*arguments])
    assert isinstance(caught.value.code, int)
    return caught.value.code


@pytest.mark.parametrize("batch", [2, "any"])
def test_an_exported_program_is_a_source(folder: Path, batch: object) -> None:
    sizes = ({0: torch.export.Dim("batch")},) if batch == "any" else None
    program = torch.export.export(module(), (torch.zeros(2, 1, 8, 8),), dynamic_shapes=sizes)
    torch.export.save(program, folder / "model.pt2")
    result = cnnspec.import_network("pt2:model.pt2", "net.yaml", weights="net.safetensors")
    assert all(check.passed and check.checked for check in result.checks)
    assert {name: array.shape for name, array in load_file("net.safetensors").items()} == {
        name: tuple(tensor.shape) for name, tensor in module().state_dict().items()
    }


@pytest.mark.parametrize("data", [b"", b"PK\x03\x04" + b"x" * 90, b"no archive"])
def test_a_damaged_program_is_one_error(folder: Path, data: bytes) -> None:
    (folder / "model.pt2").write_bytes(data)
    with pytest.raises(CnnspecError, match=r"model\.pt2"):
        cnnspec.import_network("pt2:model.pt2")


def test_export_takes_a_source_with_its_weights(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("export", "net.py:digits", "--input", "1x8x8", "-o", "net.onnx") == 0
    assert "runs the code in net.py" in capsys.readouterr().err
    import onnxruntime

    batch = np.random.default_rng(0).standard_normal((2, 1, 8, 8), np.float32)
    session = onnxruntime.InferenceSession("net.onnx", providers=["CPUExecutionProvider"])
    (given,) = session.run(None, {session.get_inputs()[0].name: batch})
    with torch.no_grad():
        wanted = module()(torch.from_numpy(batch)).numpy()
    np.testing.assert_allclose(given, wanted, rtol=1e-4, atol=1e-5)


def test_training_starts_from_the_weights_of_a_source(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("import", "net.py:digits", "--input", "1x8x8", "-o", "net.yaml") == 0
    options = ["--data", "digits", "--epochs", "1", "--threads", "1", "--device", "cpu", "--lr", "1e-12"]
    assert call("train", "net.yaml", "--weights", "net.py:digits", "--name", "a", *options) == 0
    assert "runs the code in net.py" in capsys.readouterr().err
    (kept,) = folder.glob("runs/a/last.safetensors")
    trained = load_file(kept)
    for name, tensor in module().named_parameters():
        np.testing.assert_allclose(trained[name], tensor.detach().numpy(), atol=1e-6)


def test_a_source_whose_tensors_do_not_fit_is_told(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("import", "net.py:digits", "--input", "1x8x8", "-o", "net.yaml") == 0
    assert call("train", "net.yaml", "--weights", "net.py:digits(width=9)", "--data", "digits") == 1
    said = capsys.readouterr().err
    assert ".weight" in said
    assert not (folder / "runs").exists()


def test_two_sources_are_compared(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["net.py:digits", "net.py:digits(classes=3)", "--input", "1x8x8"]
    assert call("diff", *arguments, "--format", "json", "--exit-code") == 1
    told = json.loads(capsys.readouterr().out)
    assert "4" in json.dumps(told)


def test_every_verb_tells_all_gaps(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "odd.py").write_text(
        "import torch\n\nclass Odd(torch.nn.Module):\n    def forward(self, x):\n"
        "        return torch.cumsum(x, 2) + torch.cumprod(x, 2)\n"
    )
    for verb in ("inspect", "code", "import"):
        assert call(verb, "odd.py:Odd", "--input", "3x8x8") == 1
        said = capsys.readouterr()
        table = said.out if verb == "import" else said.err
        assert table.count("aten.cumsum") == table.count("aten.cumprod") == 1
        assert said.err.count("error:") == 1
