"""A run is taken by its folder or by its name, wherever one is taken; and what is no file of ours is named."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from cli_calls import call

import cnnspec
from cnnspec import api

Capture = pytest.CaptureFixture[str]
TEXT = """cnnspec: 1
name: net
params: {width: 4}
input: [1, 8, 8]
layers:
  conv: Conv2d(width, 3)
  pool: AdaptiveAvgPool2d(1)
  flatten: Flatten
  fc: Linear(10)
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the runs `net-3`, of a parameter of its own, and `mlp`, a bundled network's name."""
    folder = tmp_path_factory.mktemp("place")
    options = {"data": "digits", "epochs": 1, "batch_size": 512, "threads": 1, "runs": folder / "runs"}
    api.train(cnnspec.loads(TEXT, params={"width": 6}), name="net-3", **options)
    api.train("mlp", name="mlp", **options)
    return folder


@pytest.fixture(autouse=True)
def there(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place)
    monkeypatch.setenv("CNNSPEC_CACHE", str(place / "cache"))


def told(capsys: Capture) -> dict[str, object]:
    document = json.loads(capsys.readouterr().out)
    assert isinstance(document, dict)
    return document


def test_every_verb_takes_the_name(capsys: Capture) -> None:
    assert call("eval", "net-3", "--format", "json") == 0
    assert told(capsys)["target"] == "runs/net-3"
    assert call("export", "net-3", "-o", "net.onnx", "--no-verify", "--format", "json") == 0
    assert told(capsys)["weights"] == "runs/net-3/best.safetensors"
    assert call("verify", "net.onnx", "--against", "net-3", "--format", "json") == 0
    assert told(capsys)["against"] == "runs/net-3/best.safetensors"
    assert (
        call(
            "bench", "net-3", "--batches", "1", "--threads", "1", "--seconds", "0.01", "--no-torch", "--format", "json"
        )
        == 0
    )
    assert told(capsys)["name"] == "net"
    assert call("runs", "net-3", "--format", "json") == 0
    assert [run["name"] for run in told(capsys)["runs"]] == ["net-3"]  # type: ignore[attr-defined]
    assert call("train", "--resume", "net-3", "--format", "json") == 0
    assert told(capsys)["run"] == "runs/net-3"


@pytest.mark.parametrize("name", ["net-3", "runs/net-3"])
def test_inspect_takes_a_run_with_the_parameters_that_it_was_trained_with(name: str, capsys: Capture) -> None:
    assert call("inspect", name, "--format", "json") == 0
    assert told(capsys)["layers"][0]["output_shape"] == [6, 6, 6]  # type: ignore[index]
    assert call("inspect", name, "--set", "width=5", "--input", "1x9x9", "--format", "json") == 0
    assert told(capsys)["layers"][0]["output_shape"] == [5, 7, 7]  # type: ignore[index]
    assert cnnspec.load(name).params == {"width": "6"}


def test_train_says_how_a_run_continues(capsys: Capture) -> None:
    for name in ("net-3", "runs/net-3"):
        assert call("train", name) == 2
        assert "`--resume runs/net-3` continues it" in capsys.readouterr().err


def test_predict_names_the_export_of_the_run(capsys: Capture) -> None:
    assert call("predict", "net-3", "runs/net-3/curves.png") == 2
    assert "`cnnspec export runs/net-3` writes that of the run" in capsys.readouterr().err


def test_a_bundled_name_beats_that_of_a_run_where_either_is_taken(capsys: Capture) -> None:
    assert call("export", "mlp", "-o", "mlp.onnx", "--no-verify", "--format", "json") == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["weights"] == "random, seed 0"
    assert "mlp is the bundled network; the run of this name is runs/mlp" in err
    assert call("eval", "mlp", "--format", "json") == 0  # which takes runs alone
    assert told(capsys)["target"] == "runs/mlp"


def test_a_path_beats_a_name(place: Path, capsys: Capture) -> None:
    (place / "net-3").mkdir()
    assert call("eval", "net-3") == 2
    assert "the run folder net-3 is no run" in capsys.readouterr().err
    (place / "net-3").rmdir()


def test_a_file_of_weights_is_named_with_a_way_out(place: Path, capsys: Capture) -> None:
    torch.save({"a": torch.zeros(1)}, place / "model.pt")
    assert call("inspect", "model.pt") == 2
    out = capsys.readouterr().err
    assert out.startswith("error: model.pt is a PyTorch file, which holds weights, and no spec\n")
    assert "`--weights model.pt`" in out


@pytest.mark.parametrize("line", ["eval missing.onnx", "eval missing.onnx --data digits", "verify missing.onnx",
                                  "bench missing.onnx", "predict missing.onnx runs/mlp/curves.png"])  # fmt: skip
def test_a_missing_file_is_said_to_be_missing(line: str, capsys: Capture) -> None:
    assert call(*line.split()) == 2
    assert capsys.readouterr().err.startswith("error: there is no file missing.onnx\n")
