"""What is read of a JPEG's head is what Pillow reads, and its upper rows are those of the whole."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cnnspec.errors import CnnspecError
from cnnspec.jpegs import read_head, read_start, upper_rows
from cnnspec.partial_images import check_image, read_crop

SHAPE = (3, 16, 16)
UPRIGHT = Image.Exif()
UPRIGHT[0x0112] = 1
CHOICES: list[dict[str, object]] = [
    {}, {"subsampling": 0}, {"subsampling": 1}, {"quality": 40, "optimize": True}, {"restart_marker_blocks": 3},
    {"exif": UPRIGHT.tobytes()}, {"comment": b"\xff\xda\xff\xc0"},
]  # fmt: skip


def picture(width: int = 150, height: int = 117, mode: str = "RGB") -> Image.Image:
    rng = np.random.default_rng(width)
    coarse = Image.fromarray(rng.integers(0, 256, (9, 9, 3), np.uint8)).resize((width, height))
    return Image.blend(coarse, Image.effect_noise((width, height), 60).convert("RGB"), 0.3).convert(mode)


def coded(image: Image.Image, **choices: object) -> bytes:
    file = io.BytesIO()
    image.save(file, "JPEG", **{"quality": 90} | choices)
    return file.getvalue()


@pytest.mark.parametrize("choices", CHOICES)
@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_the_head_and_the_upper_rows_are_those_of_pillow(choices: dict[str, object], mode: str) -> None:
    data = coded(picture(mode=mode), **choices)
    head = read_head(data)
    assert head is not None
    assert (head.width, head.height, head.downwards) == (150, 117, True)
    assert head.described == ("exif" in choices)
    assert head.is_whole(len(data), data[-2:])
    assert not head.is_whole(len(data) - 2, data[-4:-2])
    whole = np.asarray(Image.open(io.BytesIO(data)))
    for rows in (1, 50, 64, 116):
        upper = np.asarray(Image.open(io.BytesIO(upper_rows(data, head, rows))))
        assert upper.shape[0] == rows
        sure = max(0, rows - 16)
        assert np.array_equal(upper[:sure], whole[:sure])
    assert upper_rows(data, head, 117) is data


def test_a_progressive_file_is_decoded_as_a_whole() -> None:
    data = coded(picture(), progressive=True)
    head = read_head(data)
    assert head is not None
    assert not head.downwards
    assert upper_rows(data, head, 5) is data


def test_what_is_cut_off_or_no_jpeg_has_no_head() -> None:
    data = coded(picture())
    head = read_head(data)
    assert head is not None
    assert all(read_head(data[:size]) is None for size in range(head.scan_at))
    assert read_head(b"\x89PNG" + data) is None


@pytest.mark.parametrize("filled", [0, 3400, 3500, 20_000, 64_000])
def test_a_head_is_found_behind_whatever_a_file_says_first(filled: int) -> None:
    data = coded(picture(), comment=b"\xff" * filled)
    file = io.BytesIO(data)
    assert read_start(file) == read_head(data)
    assert read_start(io.BytesIO(b"\x89PNG" + data)) is None


@pytest.mark.parametrize("quality", [10, 60, 95])
def test_a_glance_sees_what_a_whole_look_sees(tmp_path: Path, quality: int) -> None:
    """One colour, a file that is cut off, one that is too large: all as where everything is gone through."""
    path = tmp_path / "a.jpg"
    for image in (picture(), Image.new("RGB", (300, 200), (9, 120, 33)), Image.new("L", (40, 900), 128)):
        path.write_bytes(coded(image, quality=quality))
        assert check_image(path, SHAPE, whole=False) == check_image(path, SHAPE)
    path.write_bytes(coded(picture())[:-900])
    with pytest.raises(CnnspecError, match="broken"):
        check_image(path, SHAPE, whole=False)
    path.write_bytes(coded(picture()))
    with pytest.raises(CnnspecError, match="too many pixels"):
        check_image(path, SHAPE, whole=False, max_pixels=1000)


@pytest.mark.parametrize("choices", CHOICES)
@pytest.mark.parametrize("box", [(0, 0, 150, 60), (20, 3, 60, 40), (70, 50, 90, 117), (3, 0, 9, 2)])
def test_a_crop_is_that_of_all_rows(choices: dict[str, object], box: tuple[int, int, int, int]) -> None:
    """To the bit, but for what is decoded at a smaller size."""
    data = coded(picture(), **choices)
    small = (3, 2 * (box[3] - box[1]), 2 * (box[2] - box[0]))
    found = read_crop(data, small, lambda size: box)
    whole = Image.open(io.BytesIO(data)).convert("RGB")
    wanted = whole.resize((small[2], small[1]), Image.Resampling.BILINEAR, box)
    assert np.array_equal(found, np.asarray(wanted))


def test_a_turned_jpeg_is_cut_as_it_is_seen() -> None:
    image = picture()
    exif = image.getexif()
    exif[0x0112] = 6
    data = coded(image, exif=exif.tobytes(), quality=98)
    seen: list[tuple[int, int]] = []

    def choose(size: tuple[int, int]) -> tuple[int, int, int, int]:
        seen.append(size)
        return 0, 0, *size

    found = read_crop(data, (3, 150, 117), choose)
    assert seen == [(117, 150)]
    assert np.abs(found.astype(int) - np.asarray(image.transpose(Image.Transpose.ROTATE_270))).mean() < 10
