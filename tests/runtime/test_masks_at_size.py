"""Masks are spread over their images at their own size, by the rule that had the images fitted."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import cnnspec
from cnnspec.cli import main
from cnnspec.images import read_whole, size_of
from cnnspec.intake import STRETCH, Intake
from cnnspec.runtime.pictures import spread

RNG = np.random.default_rng(0)


def mask(height: int, width: int) -> np.ndarray:
    return RNG.integers(0, 5, (height, width), np.uint8)


@pytest.mark.parametrize("size", [(32, 16), (8, 12), (40, 24), (80, 6)])
def test_a_stretched_mask_is_what_pillow_takes_by_the_nearest_place(size: tuple[int, int]) -> None:
    small = mask(12, 8)
    wanted = np.asarray(Image.fromarray(small).resize(size, Image.Resampling.NEAREST))
    assert np.array_equal(spread(small, (3, 12, 8), STRETCH, size, 255), wanted)


def test_what_a_crop_leaves_out_is_no_class() -> None:
    whole = spread(mask(10, 10), (3, 10, 10), Intake("crop"), (40, 20), 255)
    assert (whole[:, :10] == 255).all()
    assert (whole[:, 30:] == 255).all()
    assert (whole[:, 10:30] < 5).all()


def test_a_mask_that_is_smaller_than_the_input_lies_in_its_middle() -> None:
    small = mask(4, 4)
    whole = spread(small, (1, 8, 8), STRETCH, (16, 16), 9)
    assert np.array_equal(whole[4:12, 4:12], small.repeat(2, 0).repeat(2, 1))
    assert (whole == 9).sum() == 256 - 64


@pytest.mark.parametrize("orientation", range(1, 9))
def test_sizes_are_those_of_images_as_they_are_seen(orientation: int, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    for suffix in ("jpg", "png", "tif"):
        path = tmp_path / f"turned.{suffix}"
        Image.fromarray(RNG.integers(0, 256, (7, 11, 3), np.uint8)).save(path, exif=exif)
        width, height = size_of(path)
        assert read_whole(path).shape == (height, width, 3), suffix


def test_masks_and_overlays_have_the_size_of_the_photograph(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    spec = cnnspec.loads(
        "cnnspec: 1\nname: small\ninput: [3, 8, 8]\ntask: segmentation\nlayers:\n  - Conv2d(4, 3, padding=1)\n"
    )
    model = cnnspec.export(spec, "small.onnx", verify=False).path
    Image.fromarray(RNG.integers(0, 256, (30, 50, 3), np.uint8)).save("photo.jpg")
    for option, size in (("photo", (50, 30)), ("network", (8, 8))):
        with pytest.raises(SystemExit) as end:
            main(
                [
                    "predict",
                    model,
                    "photo.jpg",
                    "--masks",
                    option,
                    "--overlays",
                    f"{option}-over",
                    "--mask-size",
                    option,
                ]
            )
        assert end.value.code == 0, capsys.readouterr().err
        assert Image.open(f"{option}/photo.png").size == size
        assert Image.open(f"{option}-over/photo.png").size == size
    (answer,) = cnnspec.Predictor(model)("photo.jpg")
    assert np.array_equal(np.asarray(Image.open("network/photo.png")), answer.mask)
