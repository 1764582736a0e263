"""The one preprocessing rule, shared by training and inference, so that a network sees the same pixels in both.

EXIF orientation, then grey or RGB as the network has channels, alpha over white, 16 bits scaled to 8, Pillow's bilinear
resize to the exact size, or one that keeps the aspect and then the middle of it where the spec says `fit: crop`, and
normalisation with the spec's mean and standard deviation. Every file goes through
`read_image`. It decodes all the pixels: `Image.draft` would read a large JPEG three times as fast, but then the same
picture would be another one as a PNG, or where it is given already opened. What is varied at random in training anyway
may be read so, in `partial_images.py`.

Images are untrusted: only well-known formats are decoded, and the size is checked before the pixels are read.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from threading import Lock
from typing import TYPE_CHECKING, Final, TypeAlias, TypeVar

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from cnnspec.errors import CnnspecError, UsageError
from cnnspec.files import check_inflation, check_regular
from cnnspec.intake import STRETCH, Intake
from cnnspec.ops import Shape, show_shape

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = [
    "FORMATS",
    "MAX_PIXELS",
    "NCHW_TO_NHWC",
    "NHWC_TO_NCHW",
    "ORIENTATION",
    "ORIENTED",
    "SUFFIXES",
    "Box",
    "channels_last",
    "check_inflated",
    "check_shape",
    "faults_named",
    "fit_image",
    "normalize",
    "opened",
    "prepare",
    "read_image",
    "read_whole",
    "scale_and_shift",
    "size_of",
    "upright",
]

FORMATS: Final = ("PNG", "JPEG", "BMP", "GIF", "WEBP", "TIFF", "PPM")
SUFFIXES: Final = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm", ".pbm")
MAX_PIXELS: Final = 89_000_000  # a larger image is refused before it is decoded, unless `max_pixels` says otherwise
# Networks read images as (N, C, H, W), files and bytes have (N, H, W, C). The axes of one in the order of the other:
NCHW_TO_NHWC: Final = (0, 2, 3, 1)
NHWC_TO_NCHW: Final = (0, 3, 1, 2)

_SMALL_FILE: Final = 2**16  # bytes: a file that is read whole before it is decoded
STRIP: Final = 2**22  # pixels that are converted at a time
_PIXEL_BYTES: Final = {"1": 1, "L": 1, "P": 1, "I;16": 2, "I;16B": 2}  # in memory; of the others 4
# Where Pillow finds an orientation:
ORIENTED: Final = frozenset({"exif", "xmp", "XML:com.adobe.xmp", "Raw profile type exif"})
ORIENTATION: Final = 0x0112  # of the tags of EXIF
_ON_ITS_SIDE: Final = (5, 6, 7, 8)  # its values that change width and height

Box: TypeAlias = tuple[int, int, int, int]  # left, top, right and bottom, in pixels

Size = TypeVar("Size")


def channels_last(shape: tuple[Size, ...]) -> tuple[Size, ...]:
    """The sizes of one image in the order of bytes: `(H, W, C)` for `(C, H, W)`."""
    channels, *axes = shape
    return (*axes, channels)


def check_shape(shape: Shape) -> tuple[int, int, int]:
    """`shape` as channels, height and width. Raises UsageError where images do not fit such an input."""
    if len(shape) != 3 or shape[0] not in (1, 3):
        raise UsageError(
            f"the network's input is {show_shape(shape)}, and an image is 1xHxW or 3xHxW",
            hint="give arrays to `Predictor.run` in Python",
        )
    channels, height, width = shape
    return channels, height, width


def read_image(
    source: str | os.PathLike[str] | bytes,
    shape: Shape,
    *,
    intake: Intake = STRETCH,
    invert: bool = False,
    name: str | None = None,
    max_pixels: int = MAX_PIXELS,
) -> NDArray[np.uint8]:
    """Decode an image, given by its path or its bytes, and fit it to the network's input `(C, H, W)`.

    Returns `(H, W, C)` bytes. Raises UsageError for a missing file, and CnnspecError for what is not a readable image.
    """
    try:  # not `faults_named`, whose own work would be a part of that of a small image
        with opened(source, max_pixels) as image:
            return prepare(image, shape, intake=intake, invert=invert)
    except Exception as error:
        raise _named(error, source, name, max_pixels) from None


def read_whole(source: str | os.PathLike[str], *, max_pixels: int = MAX_PIXELS) -> NDArray[np.uint8]:
    """An image at its own size, as it is meant to be seen, `(H, W, 3)` bytes. Raises as `read_image`."""
    with faults_named(source, None, max_pixels), opened(source, max_pixels) as image:
        return np.asarray(upright(image, 3))


def size_of(source: str | os.PathLike[str], *, max_pixels: int = MAX_PIXELS) -> tuple[int, int]:
    """The width and height of an image as it is meant to be seen, mostly without its pixels. Raises as `read_image`."""
    with faults_named(source, None, max_pixels), opened(source, max_pixels) as image:
        if image.format == "TIFF":  # which versions of Pillow turn at different times
            return upright(image, 3).size
        turned = image.getexif().get(ORIENTATION, 1) in _ON_ITS_SIDE
        return (image.height, image.width) if turned else image.size


def opened(source: str | os.PathLike[str] | bytes, max_pixels: int) -> Image.Image:
    """An image, opened and of a size that may be decoded, to be used in `with`. Raises whatever Pillow does."""
    size = len(source) if isinstance(source, bytes) else check_regular(source)
    data = source if isinstance(source, bytes) else _read_small(source, size)
    file = source if data is None else io.BytesIO(data)
    if max_pixels <= MAX_PIXELS:
        image: Image.Image = Image.open(file, formats=FORMATS)
    else:
        with _pillow_takes(max_pixels):
            image = Image.open(file, formats=FORMATS)
    try:
        width, height = image.size
        if width * height > max_pixels:
            raise Image.DecompressionBombError
        check_inflated(image, size)
    except BaseException:
        image.close()
        raise
    return image


def _read_small(path: str | os.PathLike[str], size: int) -> bytes | None:
    """A small file, whose parts Pillow would ask the system for one by one; None for one of another size."""
    if not 0 < size <= _SMALL_FILE:
        return None
    handle = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
    try:
        data = os.read(handle, size)
    finally:
        os.close(handle)
    return data if len(data) == size else None


@contextmanager
def faults_named(source: str | os.PathLike[str] | bytes, name: str | None, max_pixels: int) -> Iterator[None]:
    """While entered, what is wrong with an image is raised as `read_image` does."""
    try:
        yield
    except Exception as error:
        raise _named(error, source, name, max_pixels) from None


def _named(error: Exception, source: str | os.PathLike[str] | bytes, name: str | None, max_pixels: int) -> CnnspecError:
    """What is wrong with an image, with its name, for whatever was raised while it was read."""
    if isinstance(error, UsageError):
        return error
    shown = name or ("what was given" if isinstance(source, bytes) else os.fspath(source))
    if isinstance(error, CnnspecError):
        return CnnspecError(f"{shown}: {error.message}", hint=error.hint)
    if isinstance(error, (FileNotFoundError, NotADirectoryError, IsADirectoryError, PermissionError)):
        return UsageError(f"cannot read {shown}: {error.strerror}")
    if isinstance(error, (Image.DecompressionBombError, Image.DecompressionBombWarning)):
        return CnnspecError(f"{shown} has too many pixels: at most {max_pixels:,}, unless `--max-pixels` is more")
    if isinstance(error, UnidentifiedImageError):
        return CnnspecError(f"{shown} is not an image that can be read", hint=f"the formats are {', '.join(FORMATS)}")
    # decoders raise OSError, ValueError, SyntaxError, struct.error, … on broken files
    known = error.strerror if isinstance(error, OSError) else None
    return CnnspecError(f"{shown} is broken: {known or ' '.join(str(error).split()):.200}")


_LIMIT_LOCK: Final = Lock()


@contextmanager
def _pillow_takes(pixels: int) -> Iterator[None]:
    """While entered, Pillow's own limit, which is one for the whole process, is lifted so far."""
    with _LIMIT_LOCK:
        before = Image.MAX_IMAGE_PIXELS
        Image.MAX_IMAGE_PIXELS = None if before is None else max(before, pixels)
        try:
            yield
        finally:
            Image.MAX_IMAGE_PIXELS = before


def prepare(image: Image.Image, shape: Shape, *, intake: Intake = STRETCH, invert: bool = False) -> NDArray[np.uint8]:
    """Fit an opened image to the network's input `(C, H, W)`; `invert` is for dark digits on white paper.

    Returns `(H, W, C)` bytes. Raises CnnspecError for a kind of pixel that has no rule.
    """
    channels, height, width = check_shape(shape)
    image = fit_image(upright(image, channels), (width, height), intake)
    pixels = np.frombuffer(image.tobytes(), np.uint8).reshape(height, width, channels)
    return 255 - pixels if invert else pixels


def upright(image: Image.Image, channels: int) -> Image.Image:
    """An image as it is meant to be seen, in grey or RGB. Raises CnnspecError for a kind of pixel that has no rule."""
    image.load()
    if image.format == "TIFF" or not ORIENTED.isdisjoint(image.info):
        image = ImageOps.exif_transpose(image)
    mode = "L" if channels == 1 else "RGB"
    return _convert(image, mode) if image.mode != mode or "transparency" in image.info else image


def fit_image(
    image: Image.Image, target: tuple[int, int], intake: Intake, how: Image.Resampling = Image.Resampling.BILINEAR
) -> Image.Image:
    """An image at the size `target`, width and height, as a network's intake says."""
    size, box = intake.place(image.size, target)
    if image.size != size:
        image = image.resize(size, how)
    return image if box == (0, 0, *size) else image.crop(box)


def _convert(image: Image.Image, mode: str) -> Image.Image:
    """The image in `mode`, "L" or "RGB", with transparency over white and 16 bits scaled to 8.

    What has steps between is converted strip by strip: they are several times as large as the image.
    """
    if image.mode == "F":
        raise CnnspecError("images of floating-point pixels have no known range", hint="convert it to 8 or 16 bits")
    try:
        if not (image.mode.startswith("I") or image.has_transparency_data):
            return image.convert(mode)
        whole = Image.new(mode, image.size)
        rows = max(1, STRIP // image.width)
        for top in range(0, image.height, rows):
            strip = image.crop((0, top, image.width, min(top + rows, image.height)))
            whole.paste(_flattened(strip).convert(mode), (0, top))
        return whole
    except ValueError as error:  # Pillow knows no way from LAB to grey
        raise CnnspecError(f"its pixels have no rule: {error}") from None


def _flattened(image: Image.Image) -> Image.Image:
    """Transparency over white, and 16 bits as 8."""
    if image.mode.startswith("I"):
        wide = np.clip(np.asarray(image).astype(np.int64), 0, 65535)
        clear = image.info.get("transparency")
        if isinstance(clear, int):
            wide[wide == clear] = 65535
        return Image.fromarray(((wide * 255 + 32767) // 65535).astype(np.uint8))
    layers = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", layers.size, "white"), layers)


def check_inflated(image: Image.Image, size: int) -> None:
    """Raise CnnspecError where an image whose file has `size` bytes is a bomb: far more pixels than that comes to."""
    check_inflation("it", size, image.width * image.height * _PIXEL_BYTES.get(image.mode, 4))


@cache  # networks are few, and batches of one image many
def scale_and_shift(
    mean: tuple[float, ...], std: tuple[float, ...], channels: int, top: int = 255
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Per channel `a` and `b` with `a*value + b = (value/top - mean) / std`; no mean is 0, no std is 1.

    `top` is 255 for bytes, and 1 for numbers that are in the units of mean and std.
    """
    centre = np.asarray(mean or (0.0,), np.float64)
    spread = np.asarray(std or (1.0,), np.float64)
    scale = np.broadcast_to(1 / (top * spread), (channels,)).astype(np.float32)
    shift = np.broadcast_to(-centre / spread, (channels,)).astype(np.float32)
    return scale, shift


def normalize(pixels: NDArray[np.uint8], mean: tuple[float, ...], std: tuple[float, ...]) -> NDArray[np.float32]:
    """`(N, *axes, C)` bytes as the network's input: `(N, C, *axes)` float32, `(byte/255 - mean) / std`."""
    scale, shift = scale_and_shift(mean, std, pixels.shape[-1], 255 if pixels.dtype == np.uint8 else 1)
    planes = np.ascontiguousarray(np.moveaxis(pixels, -1, 1)).astype(np.float32)
    wide = (-1, *(1 for _ in planes.shape[2:]))
    planes *= scale.reshape(wide)
    planes += shift.reshape(wide)
    return planes
