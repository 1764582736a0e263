"""Options: their precedence, and what is said about bad ones."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import cnnspec
from cnnspec import api
from cnnspec.errors import SpecError, UsageError
from cnnspec.training import TrainConfig, resolve_config
from cnnspec.training.run_folder import read_config


def test_a_later_layer_wins() -> None:
    config = resolve_config(
        ("train", {"epochs": 5, "lr": 0.1, "seed": 3}), ("file", {"lr": 0.2, "seed": None}), ("flags", {"epochs": 7})
    )
    assert (config.epochs, config.lr, config.seed) == (7, 0.2, 3)
    assert config.momentum == TrainConfig().momentum


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"epocs": 3}, "no training option `epocs`"),
        ({"epochs": 0}, "`epochs`: input should be greater than or equal to 1"),
        ({"epochs": "many"}, "`epochs`: input should be a valid integer"),
        ({"lr": float("nan")}, "`lr`"),
        ({"schedule": "linear"}, "`schedule`"),
        ({"val_fraction": 1.0}, "`val_fraction`"),
        ({"class_weights": [1.0, -1.0]}, "`class_weights`"),
    ],
)
def test_bad_options_name_their_layer(options: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        resolve_config(("net.yaml", {"lr": 0.1}), ("--config c.yaml", options))
    assert caught.value.message.startswith("--config c.yaml")


def test_a_misspelt_option_gets_a_hint() -> None:
    with pytest.raises(UsageError) as caught:
        resolve_config(("flags", {"batchsize": 3}))
    assert caught.value.hint is not None
    assert "batch_size" in caught.value.hint


WRONG = """cnnspec: 1
input: [1, 28, 28]
train: {epoch: 3, lr: fast, momentum: 0.9, class_weights: [1.0, -2.0]}
layers: [Flatten, Linear(10)]
"""


def test_everything_wrong_below_train_is_an_error_of_the_spec(tmp_path: Path) -> None:
    checked = cnnspec.check("net.yaml", text=WRONG)
    with pytest.raises(SpecError) as caught:
        cnnspec.train(cnnspec.loads(WRONG), runs=tmp_path, lr=0.1)
    assert caught.value.diagnostics == list(checked.diagnostics)
    lines = WRONG.splitlines()
    found = [
        (d.code, lines[d.place.line - 1][d.place.column - 1 :][:5], d.label) for d in checked.diagnostics if d.place
    ]
    assert found == [
        ("E107", "epoch", "did you mean `epochs`?"),
        ("E107", "fast,", None),
        ("E107", "[1.0,", None),
    ]
    assert "no training option `epoch`" in checked.diagnostics[0].message
    assert "`lr` of `train`: input should be a valid number" in checked.diagnostics[1].message
    assert not [*tmp_path.iterdir()]
    assert cnnspec.loads(WRONG).analyze().totals.layers == 2  # what it is for is no part of the network


@pytest.mark.parametrize(
    "section", ["train: {optimizer: SGDD, epochs: 3}\n", "search: {space: {train.optimizer: [adam, SGDD]}}\n"]
)
def test_a_misspelt_word_of_an_option_is_mended(section: str) -> None:
    text = f"cnnspec: 1\ninput: [3, 8, 8]\nlayers: [ReLU]\n{section}"
    (found,) = [each for each in cnnspec.check("net.yaml", text=text).diagnostics if each.severity == "error"]
    assert found.label == "did you mean `sgd`?"
    assert api.fix(text).text == text.replace("SGDD", "sgd")


def test_everything_wrong_with_a_layer_is_named_at_once() -> None:
    with pytest.raises(UsageError) as caught:
        resolve_config(("--config c.yaml", {"epoch": 3, "lr": "fast", "epochs": 2, "sede": 1}))
    assert caught.value.message.count(";") == 2
    assert "`lr`: input" in caught.value.message
    assert caught.value.hint == "did you mean `epochs`?, did you mean `seed`?"


def test_a_file_may_be_flat_or_have_sections(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text("epochs: 3\nlr: 1e-2\n")
    assert read_config(path) == ({}, {"epochs": 3, "lr": 0.01}, {})
    path.write_text("spec: {variant: big}\ntrain: {epochs: 3}\n")
    assert read_config(path) == ({"variant": "big"}, {"epochs": 3}, {})


@pytest.mark.parametrize("text", ["- a\n", "a: [1, 2}\n", "train: 3\n", "a: 1\na: 2\n", "\x00"])
def test_files_that_are_no_options(tmp_path: Path, text: str) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(text)
    with pytest.raises(UsageError):
        read_config(path)
    with pytest.raises(UsageError):
        read_config(tmp_path / "absent.yaml")


def test_reading_options_and_runs_needs_no_torch() -> None:
    code = "import sys, cnnspec.training, cnnspec.api; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
