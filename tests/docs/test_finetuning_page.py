"""Every command of the page about fine-tuning, on small pictures and with a file of weights that is made here."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from published_files import publish

import cnnspec
from cnnspec import api
from cnnspec.cli import main

PAGE = (Path(__file__).parents[2] / "docs" / "finetuning.md").read_text("utf-8")
COMMANDS = re.findall(r"^\$ cnnspec (.*)$", PAGE, re.MULTILINE)
TOLD = dict(re.findall(r"```console\n\$ cnnspec (.*?)\n(.+?)```", PAGE, re.DOTALL))
QUICKLY = ["--threads", "1", "--no-channels-last", "--input", "3x32x32"]  # beside what the page says
COLOURS = {"red": (200, 40, 40), "green": (40, 200, 40), "blue": (40, 40, 200)}


def furnish(folder: Path) -> None:
    """The folder `photos` of the page: three colours, with noise."""
    noise = np.random.default_rng(0)
    for split, count in (("train", 10), ("val", 1), ("test", 3)):
        for colour, mean in COLOURS.items():
            place = folder / "photos" / split / colour
            place.mkdir(parents=True)
            for number in range(count):
                pixels = np.clip(noise.normal(mean, 30, (60, 80, 3)), 0, 255).astype("uint8")
                Image.fromarray(pixels).save(place / f"{number}.png")


def masked(text: str) -> list[str]:
    """The lines without figures, and without what is said of the machine."""
    return [re.sub(r"[\d.,]+", "#", " ".join(line.split())) for line in text.strip().splitlines()]


def test_the_commands_of_the_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    furnish(tmp_path)
    publish(tmp_path / "home", "shufflenet_v2_x0_5", monkeypatch)
    assert len(COMMANDS) == 6
    for command in COMMANDS:
        arguments = shlex.split(command)
        with pytest.raises(SystemExit) as end:
            main([*arguments, *(QUICKLY if arguments[0] == "train" else [])])
        printed = capsys.readouterr()
        assert end.value.code == 0, printed.err
        said = printed.err + printed.out
        if command in TOLD and not TOLD[command].startswith("$ "):
            assert masked(said) == masked(TOLD[command])
        if "slowly" in command:
            assert "trained from epoch 2 on: conv5" in said
            assert "trained from epoch 3 on: *" in said
    slowly, top = api.open_run("slowly"), api.open_run("top")
    assert slowly.params == slowly.trainable_params
    assert top.config.lr_scale == {"conv5": 0.1}
    assert {name for name in ("conv1", "stage4.0.branch1.0") if name in top.config.freezing.at(top.graph)}
    assert "conv5.0" not in top.config.freezing.at(top.graph)


def test_the_sections_of_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The options in YAML and those in Python are options, and say what they say by flag."""
    (line,) = re.findall(r"```yaml\n(train: .*)\n```", PAGE)
    text = api.bundled_text("shufflenet_v2_x0_5")
    spec = cnnspec.loads(f"{text}{line}\n")
    trained = spec.analyze(purpose="train").totals.trainable_params
    by_flag = spec.analyze(purpose="train", frozen=("conv1", "stage2", "stage3")).totals.trainable_params
    assert trained == by_flag
    (call,) = re.findall(r"```python\n(cnnspec\.train.*?)```", PAGE, re.DOTALL)
    given: dict[str, object] = {}
    monkeypatch.setattr(cnnspec, "train", lambda spec, **options: given.update(options))
    exec(call, {"cnnspec": cnnspec})
    taken = api.TrainConfig.model_validate({key: value for key, value in given.items() if key != "name"})
    assert taken.freezing.at(spec.graph)
    assert taken.lr_scale == {"conv5": 0.1}
