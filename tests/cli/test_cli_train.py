"""`cnnspec train` as a person calls it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from cli_calls import call

from cnnspec.training.run_folder import open_run

FAST = ["--batch-size", "256", "--threads", "1", "--no-flip", "--epochs", "1"]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_data_on_stdout_progress_on_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    assert call("train", "simple_cnn", *FAST, "--name", "a", "--format", "json") == 0
    out, err = capsys.readouterr()
    found = json.loads(out)
    assert found["epochs"] == 1
    assert found["run"] == "runs/a"
    assert "epoch   1" in err
    assert "digits: 1,295 images to train" in err
    assert "\x1b" not in err


def test_flags_win_over_the_file_and_that_over_the_spec(tmp_path: Path) -> None:
    spec = tmp_path / "net.yaml"
    spec.write_text(
        "cnnspec: 1\nname: net\ninput: [1, 8, 8]\ntrain: {lr: 0.3, momentum: 0.1, epochs: 9, batch_size: 512}\n"
        "layers:\n  - Flatten\n  - Linear(10)\n"
    )
    (tmp_path / "c.yaml").write_text("momentum: 0.2\nepochs: 8\n")
    assert (
        call("train", "net.yaml", "--config", "c.yaml", "--epochs", "1", "--class-weights", "balanced", "--flip") == 0
    )
    config = open_run(tmp_path / "runs" / "net").config
    assert (config.lr, config.momentum, config.epochs, config.batch_size) == (0.3, 0.2, 1, 512)
    assert config.class_weights == "balanced"
    assert config.flip


def test_a_run_is_repeated_from_its_own_files(tmp_path: Path) -> None:
    (tmp_path / "net.yaml").write_text(
        "cnnspec: 1\nname: net\ninput: [1, 8, 8]\nparams: {width: 5}\nvariants: {wide: {width: 9}}\n"
        "layers:\n  conv: Conv2d(width, 3)\n  flat: Flatten\n  fc: Linear(10)\n"
    )
    assert (
        call("train", "net.yaml", *FAST, "--name", "a", "--set", "width=7", "--input", "1x9x9", "--freeze", "conv") == 0
    )
    assert call("train", "runs/a/spec.yaml", "--config", "runs/a/config.yaml", "--name", "b") == 0
    assert (tmp_path / "runs/a/last.safetensors").read_bytes() == (tmp_path / "runs/b/last.safetensors").read_bytes()
    found = open_run("runs/b")
    assert found.graph.input_shape == (1, 9, 9)
    assert found.network.params == {"width": "7"}
    assert found.config.freeze == ("conv",)
    assert call("train", "net.yaml", *FAST, "--name", "c", "--variant", "wide") == 0
    assert open_run("runs/c").graph.state_shapes()["conv.weight"][0] == 9


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ([], 2, "which network?"),
        (["nothing"], 2, "no bundled spec `nothing`"),
        (["lenet5", "--data", "mnits"], 2, "no data set and no folder `mnits`"),
        (["lenet5", "--epochs", "0"], 2, "`epochs`"),
        (["lenet5", "--device", "cuda:99"], 2, "CUDA"),
        (["lenet5", "--schedule", "linear"], 2, "`schedule`"),
        (["lenet5", "--resume", "runs/a"], 2, "--resume takes the network"),
        (["--resume", "runs/a"], 2, "the run folder runs/a does not exist"),
        (["lenet5", "--config", "absent.yaml"], 2, "absent.yaml"),
        (["lenet5", "--name", "a/b"], 2, "no name for a run"),
        (["lenet5", "--format", "xml"], 2, "xml"),
        (["lenet5", "--nesterov", "--momentum", "0"], 2, "--nesterov is for SGD with momentum"),
        (["lenet5", "--nesterov", "--optimizer", "adam"], 2, "--nesterov is for SGD with momentum"),
        (
            ["lenet5", "--loss", "squared-error", "--label-smoothing", "0.1"],
            2,
            "--label-smoothing is for cross-entropy",
        ),
    ],
)
def test_bad_usage(arguments: list[str], code: int, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("train", *arguments) == code
    out, err = capsys.readouterr()
    assert message in err
    assert "Traceback" not in err
    assert not out
    assert not Path("runs").exists()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_signal_stops_the_process_with_everything_saved(tmp_path: Path, number: signal.Signals, code: int) -> None:
    command = [sys.executable, "-m", "cnnspec", "train", "simple_cnn", "--name", "a", "--threads", "1"]
    before = signal.signal(number, signal.SIG_DFL)  # what is ignored here, as under nohup, is ignored by a child too
    process = subprocess.Popen([*command, "--epochs", "10000"], stderr=subprocess.PIPE, text=True, cwd=tmp_path)
    signal.signal(number, before)
    with process:
        assert process.stderr is not None
        for line in process.stderr:
            if line.startswith("epoch"):
                break
        else:
            pytest.fail("it ended before the first epoch")
        for _ in range(2):
            os.kill(process.pid, number)
            time.sleep(0.05)
        rest = process.stderr.read()
    assert process.returncode == code
    assert "nothing is lost" in rest
    assert "Traceback" not in rest
    assert "--resume runs/a" in rest
    assert open_run(tmp_path / "runs" / "a").result is None


def test_a_layer_has_one_number(capsys: pytest.CaptureFixture[str]) -> None:
    assert call("train", "lenet5", "--data", "digits", "--lr-scale", "fc1=1,fc1=2") == 2
    assert "`--lr-scale` gives `fc1` two numbers" in capsys.readouterr().err
