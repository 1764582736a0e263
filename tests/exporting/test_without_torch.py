"""What can be done with a network and with an exported file on a machine that has no torch."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

import cnnspec
from cnnspec import api

TEXT = """cnnspec: 1
name: small
input: {shape: [1, 8, 8], mean: [0.5], std: [0.25]}
layers:
  conv: Conv2d(4, 3)
  bn: BatchNorm2d
  relu: ReLU
  flatten: Flatten
  fc: Linear(10)
"""
BLOCKED = """
import sys
for name in ("torch", "torchvision", "torchmetrics", "sklearn", "matplotlib"):
    sys.modules[name] = None  # as if it were not installed
from cnnspec.cli import main
main({arguments!r})
"""


def call(place: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """A command where there is no torch."""
    code = BLOCKED.format(arguments=list(arguments))
    return subprocess.run([sys.executable, "-c", code], cwd=place, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run, its export, and digits as a folder that says which are to test and to validate."""
    folder = tmp_path_factory.mktemp("place")
    (folder / "net.yaml").write_text(TEXT)
    result = api.train(cnnspec.loads(TEXT), name="a", runs=folder / "runs", epochs=2, lr=0.1, threads=1, progress=None)
    api.export(result.run, folder / "a.onnx")
    api.export(result.run, folder / "folded.onnx", fold=True)
    digits = load_digits()
    for part, rows in (("train", range(40)), ("val", range(300, 360)), ("test", range(400, 600))):
        for row in rows:
            path = folder / "images" / part / str(digits.target[row])
            path.mkdir(parents=True, exist_ok=True)
            Image.fromarray((digits.images[row] * 15.9375).astype(np.uint8)).save(path / f"{row}.png")
    return folder


def test_export_names_the_way_without_the_comparison(place: Path) -> None:
    done = call(place, "export", "net.yaml", "-o", "b.onnx")
    assert done.returncode == 2
    assert "this needs `torch`" in done.stderr
    assert "`--no-verify` writes the file without the comparison" in done.stderr
    assert not (place / "b.onnx").exists()
    assert call(place, "export", "net.yaml", "-o", "b.onnx", "--no-verify").returncode == 0
    assert (place / "b.onnx").exists()


@pytest.mark.parametrize("file", ["a.onnx", "folded.onnx"])
@pytest.mark.parametrize("against", [[], ["--against", "runs/a"]], ids=["alone", "against a run"])
def test_verify_checks_what_needs_no_torch(place: Path, file: str, against: list[str]) -> None:
    done = call(place, "verify", file, *against, "--format", "json")
    assert done.returncode == 0, done.stderr
    checks = {check["name"]: check for check in json.loads(done.stdout)["checks"]}
    assert {"digest", "onnx.checker", "metadata", "shapes", "batches"} <= set(checks)
    assert (checks["numbers"]["checked"], checks["numbers"]["passed"]) == (False, True)
    assert "not compared with torch" in checks["numbers"]["detail"]
    if against or file == "a.onnx":
        assert checks["nodes"]["passed"]
        assert checks["weights"]["passed"]


def test_verify_finds_other_weights_without_torch(place: Path) -> None:
    api.export(cnnspec.loads(TEXT), place / "random.onnx", verify=False)
    done = call(place, "verify", "random.onnx", "--against", "runs/a")
    assert done.returncode == 4
    assert "FAILED   weights" in done.stdout


@pytest.mark.parametrize("split", ["test", "val"])
def test_eval_scores_a_folder_as_with_torch(place: Path, split: str) -> None:
    done = call(place, "eval", "a.onnx", "--data", str(place / "images"), "--split", split, "--format", "json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    wanted = json.loads(json.dumps(api.evaluate(place / "a.onnx", data=str(place / "images"), split=split).to_dict()))
    assert found.pop("target") == "a.onnx"
    del wanted["target"]
    assert found["images"] == (200 if split == "test" else 60)
    assert found.keys() == wanted.keys()
    for key, value in wanted.items():
        assert found[key] == (pytest.approx(value, rel=1e-5) if isinstance(value, float) else value), key


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["eval", "a.onnx", "--data", "digits"], "this needs `torch`"),
        (["eval", "a.onnx", "--data", "images/train"], "a folder with test/CLASS/ in it"),
        (["eval", "runs/a"], "pip install 'cnnspec[train]'"),
    ],
)
def test_what_cannot_be_scored_says_why(place: Path, arguments: list[str], words: str) -> None:
    done = call(place, *arguments)
    assert done.returncode == 2
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_some_of_the_classes_are_scored_without_torch_too(place: Path, tmp_path: Path) -> None:
    (first, second, *_) = sorted((place / "images" / "test").iterdir())
    for name in (first.name, second.name):
        shutil.copytree(place / "images" / "test" / name, tmp_path / "test" / name)
    done = call(place, "eval", "a.onnx", "--data", str(tmp_path), "--format", "json")
    assert done.returncode == 0, done.stderr
    images = len([*first.iterdir()]) + len([*second.iterdir()])
    assert json.loads(done.stdout)["images"] == images
    (tmp_path / "test" / first.name).rename(tmp_path / "test" / "zebra")
    done = call(place, "eval", "a.onnx", "--data", str(tmp_path))
    assert done.returncode == 2
    assert "has images of zebra, and the network was not trained on that" in done.stderr


def test_images_of_which_none_can_be_read(place: Path, tmp_path: Path) -> None:
    name = next((place / "images" / "test").iterdir()).name
    (tmp_path / "test" / name).mkdir(parents=True)
    (tmp_path / "test" / name / "0.png").write_bytes(b"no image")
    done = call(place, "eval", "a.onnx", "--data", str(tmp_path), "--skip-bad")
    assert (done.returncode, "Traceback" in done.stderr) == (1, False)
    assert "holds no image that can be read" in done.stderr
