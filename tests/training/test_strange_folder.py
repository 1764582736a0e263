"""Run folders that somebody else made: nothing outside is read or touched, and one bad run hides no other."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
from PIL import Image

from cnnspec import api
from cnnspec.errors import CnnspecError
from cnnspec.training.plots import plot_confusion, plot_mistakes
from cnnspec.training.progress import Silent
from cnnspec.training.run_folder import open_run
from cnnspec.training.run_weights import best_weights


class Messages(Silent):
    """A listener that keeps what is said."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def message(self, text: str) -> None:
        self.said.append(text)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made")
    api.train("mlp", runs=folder, name="good", batch_size=256, epochs=1, threads=1, channels_last=False)
    return folder / "good"


@pytest.fixture
def run(made: Path, tmp_path: Path) -> Path:
    """A run beside a good one, to be spoilt; and `outside`, a folder that is none of its own."""
    for name in ("good", "bad"):
        shutil.copytree(made, tmp_path / "runs" / name)
    outside = tmp_path / "outside"
    shutil.copytree(made / "checkpoints", outside)
    (outside / "secret").write_text("the secret: 1\n")
    return tmp_path / "runs" / "bad"


def listed(run: Path) -> list[str]:
    """What is said of the runs that cannot be listed. The good one always is."""
    said: list[CnnspecError] = []
    assert [found.name for found in api.list_runs(run.parent, on_error=said.append)] == ["good"]
    return [error.message for error in said]


@pytest.mark.parametrize(
    "name", ["checkpoints", ".lock", "metrics.jsonl", "spec.yaml", "result.json", "config.yaml", "best.safetensors"]
)
def test_no_link_in_a_run_is_followed(run: Path, name: str) -> None:
    place, outside = run / name, run.parent.parent / "outside"
    before = sorted(outside.iterdir())
    shutil.rmtree(place) if place.is_dir() else place.unlink(missing_ok=True)
    target = outside if name == "checkpoints" else outside / ("made" if name == ".lock" else name)
    if name not in ("checkpoints", ".lock"):
        shutil.copy(run.parent / "good" / name, target)
        before = sorted(outside.iterdir())
    place.symlink_to(target)
    (message,) = listed(run)
    assert f"{name} is a link" in message
    for work in (
        lambda: api.resume(run, epochs=2),
        lambda: api.train("mlp", runs=run.parent, name="bad", existing="overwrite"),
    ):
        with pytest.raises(CnnspecError, match="is a link"):
            work()
    assert sorted(outside.iterdir()) == before


def test_a_checkpoint_that_is_a_link_is_refused(run: Path) -> None:
    (run / "checkpoints" / "x.pt").symlink_to("/dev/zero")
    assert "is a link" in listed(run)[0]


def test_a_pipe_does_not_hang_the_listing(run: Path) -> None:
    (run / "metrics.jsonl").unlink()
    os.mkfifo(run / "metrics.jsonl")
    assert "is no regular file" in listed(run)[0]


@pytest.mark.parametrize("file", ["../../outside/secret", "/etc/shadow", "..", "config.yaml"])
def test_the_spec_of_a_run_is_a_file_of_its_own(run: Path, file: str) -> None:
    (run / "config.yaml").write_text(json.dumps({"spec": {"file": file}, "train": {}}))
    (message,) = listed(run)
    assert "config.yaml is damaged: file: Input should be 'spec.yaml' or 'spec.json'" in message
    assert "secret:" not in message


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("result.json", "{}"),
        ("result.json", '{"test_accuracy": "high"}'),
        ("result.json", '{"test_accuracy": NaN}'),
        ("result.json", "[" * 100_000),
        ("metrics.jsonl", "[1]\n"),
        ("metrics.jsonl", "3\n"),
        ("metrics.jsonl", "[" * 100_000),
        ("classes.json", "{}"),
        ("classes.json", "[" * 100_000),
        ("config.yaml", "spec: {set: [1]}\ntrain: {}\n"),
        ("config.yaml", "spec: {input: 5}\ntrain: {}\n"),
        ("config.yaml", "spec: {input: [1, x, 3]}\ntrain: {}\n"),
        ("config.yaml", "spec: {variant: [1]}\ntrain: {}\n"),
        ("config.yaml", "spec: {set: {1: 2}}\ntrain: {}\n"),
        ("config.yaml", "[" * 5000),
    ],
)
def test_one_bad_run_is_named_and_the_others_are_listed(run: Path, name: str, text: str) -> None:
    (run / name).write_text(text)
    (message,) = listed(run)
    assert str(run) in message
    assert "\n" not in message


@pytest.mark.parametrize("content", [{"best.safetensors": 3}, {"best.safetensors": {"sha256": 3}}, [], {}])
def test_a_manifest_of_another_shape_is_told(run: Path, content: object) -> None:
    (run / "manifest.json").write_text(json.dumps(content))
    with pytest.raises(CnnspecError, match=r"manifest\.json"):
        best_weights(run)


def test_class_names_are_drawn_as_they_are(tmp_path: Path) -> None:
    names = [r"a$\frac$", "b\x1b[31m", "$"]
    plot_confusion([[1, 0, 0], [0, 1, 0], [0, 0, 1]], names, tmp_path / "confusion.png")
    plot_mistakes([Image.new("L", (8, 8))], [(names[0], names[1], 0.5, names[2])], tmp_path / "mistakes.png")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["confusion.png", "mistakes.png"]


@pytest.mark.parametrize("content", ["{", "[]", '{"best.safetensors": 1}', "\0" * 9, "[" * 100_000])
def test_a_damaged_manifest_is_told_and_made_anew(run: Path, content: str) -> None:
    manifest = run / "manifest.json"
    manifest.write_text(content, "utf-8")
    with pytest.raises(CnnspecError, match=r"manifest\.json (is damaged|cannot be read)") as caught:
        api.load(run)
    assert "\n" not in caught.value.message
    assert caught.value.hint == f"`cnnspec train --resume {run}` makes it anew"
    listener = Messages()
    api.resume(run, progress=listener)
    assert [said for said in listener.said if said.endswith("; it is made anew")] == [
        f"{caught.value.message}; it is made anew"
    ]
    assert api.load(run).graph
    assert open_run(run).weights.name == "best.safetensors"
