"""What people call in Python: whatever they give it, the error is one of ours."""

from __future__ import annotations

import inspect
import io
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from public_calls import FAST, SEARCHED, SPEC, BytesPath, Public, draws, make, public_calls

import cnnspec
from cnnspec import api
from cnnspec.errors import CnnspecError


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run, an exported file, a spec and an image."""
    place = tmp_path_factory.mktemp("public")
    (place / "spec.yaml").write_text(SPEC)
    (place / "searched.yaml").write_text(SEARCHED)
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(place / "a.png")
    (place / "net.py").write_text("from torch import nn\n\nnet = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU())\n")
    spec = cnnspec.load(place / "spec.yaml")
    cnnspec.train(spec, runs=place / "runs", name="r", **FAST)
    cnnspec.export(spec, place / "m.onnx", verify=False)
    return place


@pytest.fixture
def calls(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Public]:
    """Everything public, in a folder of its own."""
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CNNSPEC_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("CNNSPEC_DATA", str(tmp_path / "data"))
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"cnnspec: 2\n")))
    return public_calls(tmp_path / "runs" / "r", tmp_path / "m.onnx")


def methods(kind: type) -> set[str]:
    """The public methods of a class."""
    return {f"{kind.__name__}.{name}" for name, _ in inspect.getmembers(kind, callable) if not name.startswith("_")}


def test_everything_public_is_called(calls: dict[str, Public]) -> None:
    errors = {name for name in cnnspec.__all__ if name.endswith("Error")}
    named = {*cnnspec.__all__, *api.__all__} - errors - {"__version__", "PICTURES", "PRECISIONS", "Spec"}
    made = {"TrainConfig", "Predictor"}  # the other types are what calls are given and give
    values = {name for name in named if isinstance(getattr(api, name, None), type)} - made
    wanted = (named - values) | methods(cnnspec.Spec) | methods(cnnspec.Predictor) | {"Predictor.__call__"}
    assert set(calls) == wanted
    for call in calls.values():
        make(call, call.right)


def attack(calls: dict[str, Public], count: int, seed: int) -> None:
    refused = 0
    for name, arguments in draws(calls, count, seed):
        try:
            make(calls[name], arguments)
        except CnnspecError:
            refused += 1
        except Exception as error:
            given = {key: value for key, value in arguments.items() if calls[name].right.get(key) is not value}
            pytest.fail(f"{name}({', '.join(map(str, given))}): {type(error).__name__}: {error}", pytrace=True)
    assert refused > count / 2


def test_wrong_values_are_an_error_of_ours(calls: dict[str, Public]) -> None:
    attack(calls, 500, seed=1)


def test_values_that_cannot_be_shown_or_gone_through_are_an_error_of_ours(calls: dict[str, Public]) -> None:
    spec, predict = cnnspec.loads(SPEC), calls["Predictor.__call__"].function
    for function, given in (
        (cnnspec.load, {"spec": 10**5000}),
        (cnnspec.load, {"spec": BytesPath()}),
        (cnnspec.load, {"spec": "spec.yaml", "params": {"w": 10**5000}}),
        (cnnspec.sizes, {"spec": "spec.yaml", "output": memoryview(b"x")}),
        (spec.analyze, {"batch": 10**5000}),
        (spec.field, {"layer": "c", "channel": 10**5000}),
        (spec.lint, {"select": np.array("x")}),
        (predict, {"images": [10**5000]}),
    ):
        with pytest.raises(CnnspecError):
            make(Public(function, {}), given)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(10))
def test_many_wrong_values_are_an_error_of_ours(calls: dict[str, Public], seed: int) -> None:
    attack(calls, 500, seed=100 + seed)
