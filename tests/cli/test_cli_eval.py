"""`cnnspec eval` and `cnnspec runs` as a person calls them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cli_calls import call

from cnnspec import api


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("work")
    for name, lr in (("one", 0.1), ("two", 0.2)):
        api.train(
            "mlp", runs=folder / "runs", name=name, batch_size=256, epochs=1, threads=1, channels_last=False, lr=lr
        )
    return folder


@pytest.fixture(autouse=True)
def elsewhere(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)


def test_eval_as_text_and_json(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("eval", "runs/one") == 0
    text = capsys.readouterr().out
    assert "on 359 test images of digits" in text
    assert (folder / "runs" / "one" / "mistakes.png").exists()
    assert call("eval", "runs/one", "--format", "json", "--split", "val") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["images"] == 143
    assert len(found["confusion"]) == 10


def test_runs_are_listed_and_compared(capsys: pytest.CaptureFixture[str]) -> None:
    assert call("runs") == 0
    head, one, two = capsys.readouterr().out.splitlines()
    assert head.split()[:4] == ["run", "network", "data", "epochs"]
    assert one.split()[:3] == ["one", "mlp", "digits"]
    assert call("runs", "one", "runs/two", "--format", "json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["differing"] == ["lr"]
    assert [each["options"]["lr"] for each in found["runs"]] == [0.1, 0.2]
    assert call("runs", "one", "two") == 0
    assert capsys.readouterr().out.splitlines()[0].split()[-1] == "lr"
    assert two.split()[0] == "two"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["eval", "runs/three"], "runs/three does not exist"),
        (["eval", "runs/one", "--split", "all"], "no split `all`"),
        (["eval", "runs/one", "--data", "cifar10"], "cifar10 has images of 3 channels"),
        (["runs", "three"], "there is no run three in runs"),
        (["runs", "--runs", "elsewhere"], "there is no folder elsewhere"),
    ],
)
def test_bad_usage(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(*arguments) == 2
    out, err = capsys.readouterr()
    assert message in err
    assert not out
