"""Every command of the page about tasks runs, in its order, on few small inputs for one epoch; so do its examples."""

from __future__ import annotations

import importlib.util
import json
import re
import shlex
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image

import cnnspec
from cnnspec.cli import main
from cnnspec.tasks import TASKS

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "tasks.md").read_text("utf-8")
COMMANDS = [
    line.removeprefix("cnnspec ")
    for block in re.findall(r"```sh\n(.*?)```", TEXT, re.DOTALL)
    for line in block.splitlines()
]
SMALLER = {"size=48": "size=16", "width=8": "width=2", "size=32": "size=32", "hidden=64": "hidden=8"}
# name: (its inputs for a short run, the figure that has to be reached by the whole)
EXAMPLES = {
    "shapes": (20, "miou", 0.95), "tones": (60, "accuracy", 0.98), "clips": (20, "accuracy", 0.95),
    "area": (60, "r2", 0.95), "pairs": (60, "map", 0.97),
}  # fmt: skip


def example(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ROOT / "examples" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def write_images(folder: str, images: np.ndarray) -> None:
    Path(folder).mkdir()
    for number, image in enumerate(images):
        Image.fromarray(image).save(f"{folder}/{number}.png")


@pytest.fixture
def furnished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The data of the page, few and small."""
    monkeypatch.chdir(tmp_path)
    images, masks = example("shapes").draw(24, 32)
    np.savez("shapes.npz", x=images[:, ::2, ::2], y=masks[:, ::2, ::2])
    write_images("drawings", images[:2])
    rng = np.random.default_rng(0)
    np.savez("pairs.npz", x=rng.integers(0, 256, (60, 8, 16), np.uint8), y=rng.integers(0, 2, (60, 10)))
    write_images("pairs", rng.integers(0, 256, (2, 8, 16), np.uint8))
    np.savez("area.npz", x=rng.integers(0, 256, (60, 8, 8), np.uint8), y=rng.random(60))
    write_images("digits", rng.integers(0, 256, (2, 8, 8), np.uint8))
    for name in ("pairs", "area"):
        Path(f"{name}.yaml").write_text(example(name).SPEC)
    signals, labels = example("tones").play(60)
    np.savez("tones.npz", x=signals, y=labels)
    clips, labels = example("clips").film(20)
    np.savez("clips.npz", x=clips, y=labels)


def test_every_command_runs_and_nothing_speaks_of_accuracy_where_there_is_none(
    furnished: None, capsys: pytest.CaptureFixture[str]
) -> None:
    for command in COMMANDS:
        parts = [SMALLER.get(part, part) for part in shlex.split(re.sub(r"--epochs \d+", "--epochs 1", command))]
        if parts[0] == "train":
            parts += ["--threads", "1", "--no-channels-last", "--device", "cpu"]
        if "int8" in parts:
            parts[parts.index("--max-drop") + 1] = "100"
        with pytest.raises(SystemExit) as end:
            main(parts)
        printed = capsys.readouterr()
        assert end.value.code == 0, (command, printed.err)
        if not any(name in command for name in ("tones", "clips")) and parts[0] != "runs":
            told = (printed.out + printed.err).replace("pixel accuracy", "")
            assert "accuracy" not in told, command
            assert "recognised" not in told, command
    for name in ("shapes", "pairs", "area"):
        files = [*Path("runs", name).glob("*.json*"), Path("runs", name, "results.csv")]
        told = "".join(path.read_text() for path in files).replace("pixel_accuracy", "")
        assert "accuracy" not in told
    assert json.loads(Path("runs/pairs/answers.json").read_text())["task"] == "multi-label"
    masks = [np.asarray(Image.open(f"masks/{number}.png")) for number in range(2)]
    found = cnnspec.Predictor("shapes.onnx", device="cpu")(["drawings/0.png", "drawings/1.png"])
    for mask, answer in zip(masks, found, strict=True):
        assert mask.shape == (32, 32)  # as the drawing is
        assert np.array_equal(mask[::2, ::2], answer.mask)
    (code,) = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
    exec(code, {})


def test_the_page_has_every_task_loss_and_figure() -> None:
    for task in TASKS.values():
        (row,) = (line for line in TEXT.splitlines() if line.startswith(f"| `{task.name}` |"))
        for word in (*(f"`{loss}`" for loss in task.losses), *(figure.title.split()[0] for figure in task.figures)):
            assert word in row, (task.name, word)


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_runs_for_one_epoch(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert len((ROOT / "examples" / f"{name}.py").read_text().splitlines()) <= 40
    count, figure, _ = EXAMPLES[name]
    result = example(name).main(epochs=1, count=count)
    assert next(iter(result.val)) == figure


@pytest.mark.long
@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_comes_to_its_figure(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    _, figure, least = EXAMPLES[name]
    assert (example(name).main().test[figure] or 0) >= least


@pytest.mark.long
@pytest.mark.parametrize("seed", [1, 2])
def test_clips_are_told_apart_whatever_the_seed(seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert example("clips").main(seed=seed).test["accuracy"] >= EXAMPLES["clips"][2]
