"""One decoder and one limit of pixels, in training, in scoring and in prediction."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from cli_calls import call
from PIL import Image

import cnnspec
from cnnspec import api
from cnnspec.data.sets import decode
from cnnspec.errors import CnnspecError
from cnnspec.images import MAX_PIXELS, read_image
from cnnspec.scoring.assess import assess_folder

SPEC = "cnnspec: 1\nname: a\ninput: [1, 4, 6]\nlayers:\n  - Flatten\n  - Linear(2)\n"


def test_a_photograph_of_48_megapixels_is_decoded_whole_in_training_and_prediction(tmp_path: Path) -> None:
    """Every pixel counts: none is left out by decoding at a reduced size."""
    ramp = np.linspace(0, 255, 8000).astype(np.uint8)
    picture = Image.fromarray(np.broadcast_to(ramp, (6000, 8000)))
    picture.save(tmp_path / "a.jpg", quality=90)
    trained = decode(tmp_path / "a.jpg", (1, 4, 6))
    with Image.open(tmp_path / "a.jpg") as opened:
        wanted = np.asarray(opened.resize((6, 4), Image.Resampling.BILINEAR))
    np.testing.assert_array_equal(trained[0], wanted)
    np.testing.assert_array_equal(read_image(tmp_path / "a.jpg", (1, 4, 6))[..., 0], wanted)


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_the_limit_is_one_and_can_be_raised_beyond_that_of_pillow(tmp_path: Path) -> None:
    file = io.BytesIO()
    Image.new("1", (10_000, 9_000)).save(file, "PNG")
    (tmp_path / "a.png").write_bytes(file.getvalue())
    said = set()
    for refused in (lambda: decode(tmp_path / "a.png", (1, 4, 6)), lambda: read_image(tmp_path / "a.png", (1, 4, 6))):
        with pytest.raises(CnnspecError, match="too many pixels: at most 89,000,000, unless `--max-pixels`") as caught:
            refused()
        said.add(caught.value.message)
    assert len(said) == 1
    assert MAX_PIXELS == 89_000_000
    limit = Image.MAX_IMAGE_PIXELS
    assert decode(tmp_path / "a.png", (1, 4, 6), max_pixels=10**8).shape == (1, 4, 6)
    assert limit == Image.MAX_IMAGE_PIXELS


def test_the_flag_is_one_of_train_eval_and_predict(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("cat", "dog"):
        (tmp_path / "pets" / name).mkdir(parents=True)
        for i in range(6):
            Image.new("L", (20, 10), 20 * i).save(tmp_path / "pets" / name / f"{i}.png")
    (tmp_path / "a.yaml").write_text(SPEC)
    train = ("train", "a.yaml", "--data", "pets", "--epochs", "1", "--threads", "1", "--max-pixels")
    assert call(*train, "200", "--name", "a") == 0
    api.export("runs/a", "a.onnx", verify=False)
    picture = "pets/cat/0.png"
    calls = [(*train, "{}", "--name", "b"), ("eval", "runs/a", "--max-pixels", "{}"),
             ("eval", "a.onnx", "--data", "pets", "--max-pixels", "{}"),
             ("predict", "a.onnx", picture, "--device", "cpu", "--max-pixels", "{}")]  # fmt: skip
    for arguments in calls:
        capsys.readouterr()
        assert call(*(word.format(199) for word in arguments)) == 1
        assert "too many pixels: at most 199" in capsys.readouterr().err
        assert call(*(word.format(200) for word in arguments)) == 0
    assert cnnspec.Predictor("a.onnx", device="cpu", max_pixels=200)([picture])[0].label in ("cat", "dog")


def test_what_cannot_be_read_is_left_out_of_scoring_where_the_message_says_how(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("cat", "dog"):
        (tmp_path / "pets/test" / name).mkdir(parents=True)
        (tmp_path / "pets/train" / name).mkdir(parents=True)
        for part in ("test", "train"):
            for i in range(6):
                Image.new("L", (20, 10), 20 * i).save(tmp_path / "pets" / part / name / f"{i}.png")
    (tmp_path / "a.yaml").write_text(SPEC)
    assert call("train", "a.yaml", "--data", "pets", "--epochs", "1", "--threads", "1", "--name", "a") == 0
    api.export("runs/a", "a.onnx", verify=False)
    (tmp_path / "pets/test/cat/0.png").write_bytes(b"no image")
    for target in (["runs/a"], ["a.onnx", "--data", "pets"]):
        capsys.readouterr()
        assert call("eval", *target) == 1
        assert "`--skip-bad` leaves them out" in capsys.readouterr().err
        assert call("eval", *target, "--skip-bad") == 0
        assert "on 11 test images of pets" in capsys.readouterr().out
    bad = ("export", "runs/a", "-o", "b.onnx", "--precision", "int8", "--max-drop", "100")
    for line in (bad, ("verify", "b.onnx", "--data", "pets")):
        assert call(*line) == 1
        assert "`--skip-bad` leaves them out" in capsys.readouterr().err
        assert call(*line, "--skip-bad") == 0
    with pytest.raises(CnnspecError, match=r"0\.png"):
        assess_folder("a.onnx", data="pets", device="cpu")
    folder = assess_folder("a.onnx", data="pets", skip_bad=True, device="cpu")  # as without torch
    assert (folder.images, folder.confusion) == (11, api.evaluate("runs/a", skip_bad=True).confusion)
