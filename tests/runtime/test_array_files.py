"""`predict` of files of arrays: the samples of `.npy` and `.npz` files, of signals, images and volumes alike."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

import cnnspec
from cnnspec.cli import main

onnxruntime.set_default_logger_severity(4)

NETWORK = """
cnnspec: 1
name: small
input: {input}
{more}
layers:
  - Conv{rank}d(3, 3, padding=1)
  - {end}
"""
VECTOR = "AdaptiveAvgPool{rank}d(1)\n  - Flatten\n  - Linear(3)"


def exported(shape: tuple[int, ...], more: str = "", *, maps: bool = False) -> str:
    rank = len(shape) - 1
    end = "ReLU" if maps else VECTOR.format(rank=rank)
    spec = cnnspec.loads(NETWORK.format(input=list(shape), more=more, rank=rank, end=end))
    return cnnspec.export(spec, "small.onnx", verify=False).path


def predicted(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> tuple[list[list[str]], str]:
    with pytest.raises(SystemExit) as end:
        main(["predict", *arguments, "--format", "csv", "--device", "cpu"])
    printed = capsys.readouterr()
    assert end.value.code == code, printed.err
    return list(csv.reader(io.StringIO(printed.out))), printed.err


@pytest.mark.parametrize(
    ("shape", "word"), [((2, 40), "signal"), ((2, 6, 5), "image"), ((1, 4, 5, 6), "volume")], ids=str
)
def test_every_sample_of_a_file_is_answered_as_its_array_is(
    shape: tuple[int, ...],
    word: str,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    model, x = exported(shape), np.random.default_rng(0).normal(size=(5, *shape))
    wanted = [each.probabilities for each in cnnspec.Predictor(model, device="cpu").read(x.astype(np.float32))]
    Path("arrays").mkdir()
    np.save("arrays/x.npy", x)
    np.savez_compressed("packed.npz", x=x, y=np.zeros(5))
    np.save("one.npy", x[2])
    found, _ = predicted(capsys, model, "arrays", "packed.npz", "one.npy")
    assert found[0][:2] == [word, "class_1"]
    names = [f"{file}[{place}]" for file in ("arrays/x.npy", "packed.npz") for place in range(5)]
    assert [row[0] for row in found[1:]] == [*names, "one.npy"]
    for row, probabilities in zip(found[1:], [*wanted, *wanted, wanted[2]], strict=True):
        assert float(row[2]) == pytest.approx(probabilities.max(), abs=2e-6)
    python = cnnspec.Predictor(model, device="cpu")("arrays/x.npy")
    assert [each.source for each in python] == names[:5]


def test_bytes_are_pixels_as_in_training(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    model, x = exported((1, 30)), np.random.default_rng(0).integers(0, 256, (2, 1, 30), np.uint8)
    np.save("bytes.npy", x)
    np.save("numbers.npy", x / 255)
    found, _ = predicted(capsys, model, "bytes.npy", "numbers.npy")
    assert [row[1:] for row in found[1:3]] == [row[1:] for row in found[3:5]]


def test_what_is_wrong_with_a_file_is_told_and_the_others_are_answered(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    model = exported((1, 30))
    np.save("good.npy", np.zeros((1, 1, 30)))
    np.save("other.npy", np.zeros((1, 1, 31)))
    np.save("words.npy", np.array(["a", "b"]))
    np.save("objects.npy", np.array([{}], object), allow_pickle=True)
    np.save("single.npy", np.float32(1))
    np.savez("none.npz", a=np.zeros(3), b=np.zeros(3))
    Path("text.npy").write_text("no array")
    Path("text.npz").write_text("no array")
    bad = ["other.npy", "words.npy", "objects.npy", "single.npy", "none.npz", "text.npy", "text.npz"]
    found, told = predicted(capsys, model, *bad, "good.npy", code=2)
    assert [row[0] for row in found[1:]] == ["good.npy[0]"]
    for name, message in zip(
        bad, ("is 1x31 each", "holds <U1", "cannot be read as .npy", "a single number", "no array `x`; it has: a, b",
              "cannot be read as .npy", "cannot be read as .npz"), strict=True,
    ):  # fmt: skip
        assert any(name in line and message in line for line in told.splitlines()), (name, told)


@pytest.mark.parametrize(
    ("more", "maps", "head"),
    [
        ("task: multi-label\nclasses: [red, round, big]", False, ["labels", "red", "round", "big"]),
        ("task: {type: regression, numbers: [a, b, c]}", False, ["a", "b", "c"]),
        ("classes: [sky, sea, land]", True, ["sky", "sea", "land"]),
    ],
)
def test_columns_are_those_of_the_task_where_no_file_can_be_read(
    more: str, maps: bool, head: list[str], capsys: pytest.CaptureFixture[str], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    model = exported((3, 8, 8), more, maps=maps)
    Path("bad.png").write_text("no image")
    np.save("good.npy", np.zeros((1, 3, 8, 8)))
    alone, _ = predicted(capsys, model, "bad.png", code=1)
    beside, _ = predicted(capsys, model, "bad.png", "good.npy", code=1)
    assert alone == [["image", *head]]
    assert beside[0] == ["image", *head]
    assert len(beside[1]) == len(beside[0])


def test_masks_of_volumes_are_arrays(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    model, x = (
        exported((1, 4, 5, 6), "task: segmentation", maps=True),
        np.random.default_rng(0).normal(size=(2, 1, 4, 5, 6)),
    )
    np.save("x.npy", x)
    predicted(capsys, model, "x.npy", "--masks", "masks")
    for place, answer in enumerate(cnnspec.Predictor(model, device="cpu").read(x.astype(np.float32))):
        assert np.array_equal(np.load(f"masks/x-{place}.npy"), answer.mask)
    _, told = predicted(capsys, model, "x.npy", "--overlays", "over", code=2)
    assert "reads volumes" in told
