"""A training run is exported with its best weights, compared on its own images, and predicts what it learned."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from exporting_support import python

import cnnspec
from cnnspec import api
from cnnspec.data.open import OpenOptions, open_data
from cnnspec.data.sets import Images
from cnnspec.errors import CnnspecError, UsageError
from cnnspec.images import normalize
from cnnspec.runtime.predictor import Predictor


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    runs = tmp_path_factory.mktemp("runs")
    api.train("simple_cnn", data="digits", epochs=6, name="small", runs=runs, device="cpu")
    return runs / "small"


def test_it_is_compared_on_its_own_images_and_knows_where_it_comes_from(run: Path) -> None:
    result = cnnspec.export(run)
    assert result.path == "exports/small.onnx"
    found = {check.name: check for check in result.checks}
    assert set(found) == {"onnx.checker", "shapes", "numbers", "real images", "top-1 agreement"}
    assert found["top-1 agreement"].figure == 1.0
    about = Predictor(result.path).metadata
    assert about.weights == str(run / "best.safetensors")
    assert about.training["data"] == "digits"
    assert about.training["best_epoch"] >= 1
    assert api.verify(result.path, run).passed


def test_the_file_recognises_what_the_run_recognised(run: Path) -> None:
    trained = api.open_run(run)
    predictor = Predictor(cnnspec.export(trained, verify=False).path)
    test = open_data("digits", trained.graph, OpenOptions(folder=run)).test
    assert isinstance(test, Images)
    pixels = test.images.permute(0, 2, 3, 1).numpy()
    scores = predictor.run(normalize(np.ascontiguousarray(pixels), trained.graph.mean, trained.graph.std))
    accuracy = float((next(iter(scores.values())).argmax(1) == test.targets.numpy()).mean())
    assert trained.result is not None
    assert accuracy == pytest.approx(trained.result["test_accuracy"], abs=1e-6)
    assert accuracy > 0.8


def test_eight_bits_take_the_run_s_own_data(run: Path) -> None:
    result = cnnspec.export(run, precision="int8")
    (score,) = [check for check in result.checks if check.name == "accuracy"]
    assert score.figure is not None
    assert score.figure <= 0.01
    assert api.verify(result.path, run).passed


def test_without_a_comparison_torch_is_not_imported(run: Path, tmp_path: Path) -> None:
    code = (
        "import sys; from cnnspec.cli import main\n"
        "try: main(['export', sys.argv[1], '-o', 'n.onnx', '--no-verify'])\n"
        "except SystemExit as end: print(end.code, 'torch' in sys.modules)"
    )
    assert python(code, str(run), cache=tmp_path / "cache").stdout.splitlines()[-1] == "0 False"


def test_a_run_takes_no_other_weights_and_damaged_ones_are_refused(run: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="weights of its own"):
        cnnspec.export(run, weights="other.safetensors")
    copy = tmp_path / "copy"
    copy.mkdir()
    for path in run.iterdir():
        if path.is_file():
            (copy / path.name).write_bytes(path.read_bytes())
    weights = copy / "best.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x01")
    with pytest.raises(CnnspecError, match="digest"):
        cnnspec.export(copy)
    assert not Path("exports").exists()
