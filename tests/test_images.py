"""The preprocessing rule, case by case."""

from __future__ import annotations

import io
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cnnspec.errors import CnnspecError, UsageError
from cnnspec.images import check_shape, normalize, prepare, read_image, scale_and_shift

GREY = (1, 4, 6)
COLOUR = (3, 4, 6)


def ramp(mode: str = "L") -> Image.Image:
    values = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3) * 3
    return Image.fromarray(values).convert(mode)


def encoded(image: Image.Image, form: str = "PNG", **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "CMYK", "YCbCr", "HSV"])
def test_any_mode_becomes_what_the_network_reads(mode: str) -> None:
    image = ramp().convert("RGB").convert(mode)
    assert prepare(image, GREY).shape == (4, 6, 1)
    np.testing.assert_array_equal(prepare(image, COLOUR), np.asarray(image.convert("RGB")))


def test_an_opened_image_of_a_mode_without_a_rule_is_refused() -> None:
    with pytest.raises(CnnspecError, match="LAB"):
        prepare(Image.new("LAB", (6, 4)), GREY)


def test_the_size_is_pillows_bilinear() -> None:
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (37, 23), np.uint8))
    wanted = np.asarray(image.resize((6, 4), Image.Resampling.BILINEAR))
    np.testing.assert_array_equal(prepare(image, GREY)[..., 0], wanted)


def test_alpha_lies_over_white() -> None:
    clear = Image.new("RGBA", (6, 4), (10, 20, 30, 0))
    assert (prepare(clear, COLOUR) == 255).all()
    half = Image.new("LA", (6, 4), (0, 128))
    assert (prepare(half, GREY) == 127).all()
    palette = Image.new("P", (6, 4), 1)
    palette.putpalette([0, 0, 0, 9, 9, 9])
    assert (read_image(encoded(palette, transparency=1), GREY) == 255).all()


def test_sixteen_bits_are_scaled_to_eight() -> None:
    wide = np.linspace(0, 65535, 24).reshape(4, 6).astype(np.uint16)
    got = read_image(encoded(Image.fromarray(wide)), GREY)[..., 0]
    np.testing.assert_array_equal(got, np.round(wide / 257).astype(np.uint8))


def test_the_orientation_is_applied_before_anything_else() -> None:
    upright = np.zeros((6, 4), np.uint8)
    upright[0] = 255
    tags = Image.Exif()
    tags[0x0112] = 6  # to be turned right to be seen upright
    turned = encoded(Image.fromarray(np.rot90(upright)), exif=tags)
    np.testing.assert_array_equal(read_image(turned, (1, 6, 4))[..., 0], upright)


def test_inversion_is_for_dark_digits_on_white_paper() -> None:
    np.testing.assert_array_equal(prepare(ramp(), GREY, invert=True), 255 - prepare(ramp(), GREY))


def test_normalisation_is_the_formula_in_both_forms() -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (2, 4, 6, 3), np.uint8)
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    wanted = ((pixels / 255 - np.array(mean)) / np.array(std)).transpose(0, 3, 1, 2)
    got = normalize(pixels, mean, std)
    assert got.dtype == np.float32
    assert got.flags.c_contiguous
    np.testing.assert_allclose(got, wanted, rtol=0, atol=1e-6)
    np.testing.assert_allclose(normalize(pixels, (), ()), (pixels / 255).transpose(0, 3, 1, 2), atol=1e-6)
    scale, shift = scale_and_shift((0.5,), (0.25,), 3)
    np.testing.assert_allclose([scale, shift], [[4 / 255] * 3, [-2] * 3], rtol=1e-6)


@pytest.mark.parametrize("shape", [(5,), (3, 8), (2, 8, 8), (3, 4, 4, 4)])
def test_a_network_that_reads_no_images_is_told_so(shape: tuple[int, ...]) -> None:
    with pytest.raises(UsageError, match="an image is"):
        check_shape(shape)


def test_a_missing_file_and_a_folder_are_wrong_usage(tmp_path: Path) -> None:
    for path in (tmp_path / "absent.png", tmp_path):
        with pytest.raises(UsageError, match="cannot read"):
            read_image(path, GREY)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "not an image"),
        (b"hello", "not an image"),
        (encoded(ramp())[:45], "broken|not an image"),
        (encoded(ramp(), "ICO"), "not an image"),  # a format that is not on the list
        (encoded(Image.fromarray(np.zeros((4, 6), np.float32)), "TIFF"), "^this.png: .*floating-point"),
        (encoded(Image.new("LAB", (6, 4)), "TIFF"), "^this.png: .*LAB"),
    ],
)
def test_what_is_no_image_gets_one_clear_message(data: bytes, says: str) -> None:
    with pytest.raises(CnnspecError, match=says) as caught:
        read_image(data, GREY, name="this.png")
    assert caught.value.exit_code == 1


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("size", [(10_000, 9_000), (14_000, 14_000)])
def test_an_image_is_refused_by_its_size_before_it_is_decoded(size: tuple[int, int]) -> None:
    data = encoded(Image.new("1", size))
    with pytest.raises(CnnspecError, match="too many pixels"):
        read_image(data, GREY)


def test_every_damaged_byte_gives_pixels_or_a_clean_error() -> None:
    data = encoded(ramp("RGB"))
    for place in range(len(data)):
        broken = data[:place] + bytes([data[place] ^ 0xFF]) + data[place + 1 :]
        with suppress(CnnspecError):  # any other error fails
            assert read_image(broken, COLOUR).shape == (4, 6, 3)
