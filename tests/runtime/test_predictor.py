"""What `predict` says is what the network says, and bad input gets one message."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from PIL import Image

import cnnspec
from cnnspec.cli import main
from cnnspec.errors import CnnspecError, UsageError
from cnnspec.images import normalize, read_image
from cnnspec.runtime.files import is_known
from cnnspec.runtime.predictor import Predictor
from cnnspec.runtime.sources import expand
from cnnspec.torch_backend import save_weights

onnxruntime.set_default_logger_severity(4)
torch.set_num_threads(1)


@pytest.fixture
def model(tmp_path: Path) -> str:
    return cnnspec.export("lenet5", tmp_path / "l.onnx", verify=False).path


@pytest.fixture
def images(tmp_path: Path) -> list[str]:
    random = np.random.default_rng(0)
    folder = tmp_path / "images"
    (folder / "more").mkdir(parents=True)
    paths = []
    for i in range(11):
        path = folder / ("more" if i > 8 else ".") / f"{i:02}.png"
        size = (28, 28) if i % 2 else (40, 31)
        Image.fromarray(random.integers(0, 256, (*size, 3), np.uint8)).save(path)
        paths.append(str(folder / path.relative_to(folder)))
    return [str(Path(path)) for path in paths]


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as end:
        main(list(arguments))
    code = end.value.code
    assert isinstance(code, int)
    return code


def test_probabilities_are_torch_s(tmp_path: Path, images: list[str]) -> None:
    module = cnnspec.build("lenet5").eval()
    save_weights(module, tmp_path / "w.safetensors")
    predictor = Predictor(cnnspec.export("lenet5", weights=tmp_path / "w.safetensors", verify=False).path)
    pixels = np.stack([read_image(path, (1, 28, 28)) for path in images])
    inputs = torch.from_numpy(normalize(pixels, (0.1307,), (0.3081,)))
    wanted = module(inputs).softmax(1).detach().numpy()
    got = predictor(images)
    assert [prediction.source for prediction in got] == images
    np.testing.assert_allclose(np.stack([prediction.probabilities for prediction in got]), wanted, atol=1e-6)
    best = got[0].top(2)
    assert best[0].index == int(wanted[0].argmax())
    assert best[0].label == got[0].label == str(best[0].index)
    assert best[0].probability >= best[1].probability


@pytest.mark.parametrize("options", [{"preprocess": True}, {"softmax": True}, {"batch": 4}, {"precision": "fp16"}])
def test_every_kind_of_export_predicts_the_same(model: str, images: list[str], options: dict[str, object]) -> None:
    other = cnnspec.export("lenet5", "other.onnx", verify=False, **options).path  # type: ignore[arg-type]
    for one, two in zip(Predictor(model)(images), Predictor(other)(images), strict=True):
        np.testing.assert_allclose(one.probabilities, two.probabilities, atol=1e-3)


def test_batches_have_one_size_and_the_last_is_padded(
    model: str, images: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    predictor = Predictor(model, batch_size=4)
    sizes = []
    right = predictor._run
    monkeypatch.setattr(predictor, "_run", lambda inputs: (sizes.append(len(inputs)), right(inputs))[1])
    whole = list(predictor.stream(iter(images)))
    assert sizes == [4, 4, 4]
    assert len(whole) == 11
    for one, two in zip(whole, Predictor(model)(images), strict=True):
        np.testing.assert_allclose(one.probabilities, two.probabilities, atol=1e-6)


def test_images_come_as_paths_bytes_or_pillow(model: str, images: list[str]) -> None:
    predictor = Predictor(model)
    data = Path(images[0]).read_bytes()
    one, two, three = predictor([Path(images[0]), data, Image.open(images[0])])
    (single,) = predictor(images[0])
    for other in (two, three, single):
        np.testing.assert_allclose(one.probabilities, other.probabilities, atol=1e-6)
    inverted = Predictor(model, invert=True)(images[0])[0]
    assert not np.allclose(one.probabilities, inverted.probabilities)


def test_raw_outputs_are_for_any_number_of_inputs() -> None:
    path = cnnspec.export("lenet5", verify=False, batch=4, outputs=("S4", "OUTPUT")).path
    found = Predictor(path).run(np.zeros((9, 1, 28, 28), np.float32))
    assert {name: value.shape for name, value in found.items()} == {"S4": (9, 16, 5, 5), "OUTPUT": (9, 10)}
    with pytest.raises(UsageError, match="gives no class scores"):
        Predictor(path)([])
    with pytest.raises(CnnspecError, match="does not run"):
        Predictor(path).run(np.zeros((4, 1, 27, 28), np.float32))


def test_raw_outputs_have_the_names_of_layers_in_every_kind_of_export() -> None:
    path = cnnspec.export("lenet5", "half.onnx", precision="fp16", softmax=True, verify=False).path
    assert list(Predictor(path).run(np.zeros((1, 1, 28, 28), np.float32))) == ["OUTPUT"]


def test_an_empty_batch_is_wrong_usage(model: str) -> None:
    with pytest.raises(UsageError, match="`batch_size` of `Predictor` is to be greater than or equal to 1, and not 0"):
        Predictor(model, batch_size=0)


def test_folders_patterns_and_stdin_name_images(images: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    folder = str(Path(images[0]).parent)
    assert list(expand([folder])) == images
    assert list(expand([f"{folder}/0[01].png", images[5]])) == [*images[:2], images[5]]
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"abc")))
    assert list(expand(["-"])) == [b"abc"]
    Path("empty").mkdir()
    for wrong in ("empty", "absent.png", "absent*.png"):
        with pytest.raises(UsageError):
            expand([images[0], wrong])


def test_a_table_json_lines_or_csv(model: str, images: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    folder = str(Path(images[0]).parent)
    assert run("predict", model, folder, "--top", "2") == 0
    table = capsys.readouterr()
    assert table.out.splitlines()[0].split() == ["image", "1st", "2nd"]
    assert len(table.out.splitlines()) == 12
    assert table.err == "running on cpu\n"
    assert run("predict", model, folder, "--format", "json", "--device", "cpu") == 0
    printed = capsys.readouterr()
    found = [json.loads(line) for line in printed.out.splitlines()]
    assert [line["image"] for line in found] == images
    assert sum(guess["probability"] for guess in found[0]["top"]) <= 1
    assert run("predict", model, folder, "--format", "csv", "--top", "99") == 0
    rows = list(csv.reader(io.StringIO(capsys.readouterr().out)))
    assert rows[0][:3] == ["image", "class_1", "probability_1"]
    assert {len(row) for row in rows} == {21}
    assert sum(map(float, rows[1][2::2])) == pytest.approx(1, abs=1e-5)


def test_names_that_the_output_cannot_show_are_escaped(model: str, images: list[str]) -> None:
    Path(images[0]).rename("ü.png")
    done = subprocess.run(
        [sys.executable, "-m", "cnnspec", "predict", model, "ü.png", "--format", "json"],
        capture_output=True,
        env={**os.environ, "PYTHONIOENCODING": "ascii:strict"},
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, b"running on cpu\n")
    assert rb'{"image": "\u00fc.png"' in done.stdout


def test_bad_images_are_told_and_the_others_still_answered(
    model: str, images: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    Path("bad.png").write_text("no image")
    assert run("predict", model, "bad.png", images[0], "--format", "csv") == 1
    printed = capsys.readouterr()
    assert "error: bad.png is not an image" in printed.err
    assert len(printed.out.splitlines()) == 2
    assert run("predict", model, "absent.png") == 2
    assert "there is no file absent.png" in capsys.readouterr().err


def test_files_that_are_not_ours_are_refused(model: str, images: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    data = Path(model).read_bytes()
    Path("text.onnx").write_text("hello")
    Path("cut.onnx").write_bytes(data[:-1])
    Path("flipped.onnx").write_bytes(data[:5000] + bytes([data[5000] ^ 1]) + data[5001:])
    torch.onnx.export(
        torch.nn.Linear(3, 2).eval(),
        (torch.zeros(1, 3),),
        "foreign.onnx",
        dynamo=True,
        verbose=False,
        external_data=False,
    )
    for name, code, says in [
        ("absent.onnx", 2, "there is no file absent.onnx"),
        (".", 2, "is a directory"),
        ("text.onnx", 1, "not exported by cnnspec"),
        ("foreign.onnx", 1, "not exported by cnnspec"),
        ("cut.onnx", 1, "damaged"),
        ("flipped.onnx", 1, "damaged"),
    ]:
        capsys.readouterr()
        assert run("predict", name, images[0]) == code, name
        printed = capsys.readouterr()
        assert says in printed.err, name
        assert printed.out == ""


def test_what_is_asked_for_is_what_runs(model: str, images: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cnnspec.runtime.session.cuda_devices", lambda: 0)
    with pytest.raises(UsageError, match="no device `gpu`"):
        Predictor(model, device="gpu")
    for device in ("cuda", "tensorrt"):
        with pytest.raises(CnnspecError, match=device):
            Predictor(model, device=device)
        assert Predictor(model, device=device, allow_fallback=True).provider == "cpu"
    assert Predictor(model, device="auto").provider == "cpu"


def test_a_device_that_is_missing_is_no_matter_for_stdout(
    model: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("cnnspec.runtime.session.cuda_devices", lambda: 1)  # whether there is one or not
    Predictor(model, device="tensorrt", allow_fallback=True)
    assert capfd.readouterr().out == ""


def test_the_table_is_as_wide_as_the_names_of_the_first_batch(
    model: str, images: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    Path("deep/folder/of").mkdir(parents=True)
    for name in ("deep/a.png", "deep/folder/of/images.png"):
        Path(name).write_bytes(Path(images[0]).read_bytes())
    assert run("predict", model, "deep", "--top", "1") == 0
    assert {line.find("1st") for line in capsys.readouterr().out.splitlines()[:1]} == {
        len("deep/folder/of/images.png  ")
    }


def test_what_names_no_image_is_told_before_the_model_is_loaded(model: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("predict", model, "absent.png") == 2
    assert capsys.readouterr().err.splitlines() == ["error: there is no file absent.png"]


def test_an_export_is_known_here_and_one_from_elsewhere_is_tried_first(
    model: str, images: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[str] = []
    monkeypatch.setattr("cnnspec.runtime.trial.Trial.run", lambda self, data, shown, *_: tried.append(shown))
    Predictor(model)
    assert tried == []
    monkeypatch.setenv("CNNSPEC_CACHE", str(tmp_path / "elsewhere"))
    Predictor(model)
    Predictor(model)
    assert tried == [model]
    monkeypatch.setenv("CNNSPEC_CACHE", "/dev/null/nowhere")
    assert not is_known("0" * 64)
    Predictor(model)
    assert tried == [model, model]


def test_predicting_imports_no_torch(model: str, images: list[str]) -> None:
    code = (
        "import sys; from cnnspec.cli import main\n"
        "try: main(['predict', *sys.argv[1:]])\n"
        "except SystemExit as end: print(end.code, *(name for name in ('torch', 'onnx') if name in sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, model, images[0]],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.splitlines()[-1] == "0"
    assert done.stderr == "running on cpu\n"


def test_without_the_extra_there_is_one_line_that_says_what_to_install(model: str, images: list[str]) -> None:
    code = (
        "import sys; sys.modules['onnxruntime'] = None; from cnnspec.cli import main; main(['predict', *sys.argv[1:]])"
    )
    done = subprocess.run([sys.executable, "-c", code, model, images[0]], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "pip install 'cnnspec[onnx]'" in done.stderr
    assert "Traceback" not in done.stderr
