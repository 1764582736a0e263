"""Images of which not all pixels are worked out: crops for training, and what shows at a glance."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from math import ceil
from typing import TYPE_CHECKING, Final

import numpy as np
from PIL import Image

from cnnspec.errors import CnnspecError
from cnnspec.files import check_regular
from cnnspec.images import (
    FORMATS,
    MAX_PIXELS,
    ORIENTATION,
    ORIENTED,
    Box,
    check_shape,
    faults_named,
    opened,
    upright,
)
from cnnspec.jpegs import HEAD, START, JpegHead, read_head, read_start, upper_rows
from cnnspec.ops import Shape

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["check_image", "read_crop"]

_LARGEST: Final = 2**28  # bytes of a JPEG that is read as a whole before it is decoded
_SHRUNK: Final = (8, 4, 2)  # times that a JPEG can be decoded at a smaller size
_ENOUGH: Final = 0.75  # of the input's size that the crop has then
_BELOW: Final = 16  # rows of a JPEG that smooth into those above them


def read_crop(
    source: str | os.PathLike[str] | bytes, shape: Shape, choose: Callable[[tuple[int, int]], Box] | None = None, *,
    name: str | None = None, max_pixels: int = MAX_PIXELS,
) -> NDArray[np.uint8]:  # fmt: skip
    """A part of an image at the network's size, `(H, W, C)` bytes: what `choose` says of its width and height, or all.

    It is for training: a large JPEG is decoded at a half, a quarter or an eighth of its size where a crop is still
    about as large as the input then, and a whole image no smaller, which changes pixels by 2 of 255 or so where they
    are smooth; and no further down than the crop reaches.
    Raises as `read_image`.
    """
    enough = 1.0 if choose is None else _ENOUGH
    choose = choose or _whole
    channels, height, width = check_shape(shape)
    with faults_named(source, name, max_pixels):
        data, head = _upright_jpeg(source)
        box, shrunk = None, 1
        if head is not None and head.width * head.height <= max_pixels:
            box = choose((head.width, head.height))
            across, down = box[2] - box[0], box[3] - box[1]
            spare = min(across / width, down / height)
            shrunk = next((factor for factor in _SHRUNK if spare >= factor * enough), 1)
            data = upper_rows(data, head, box[3] + ceil(down / height) + _BELOW)
        with opened(source if box is None else data, max_pixels) as image:
            if shrunk > 1:
                image.draft(None, (image.width // shrunk, image.height // shrunk))
            image = upright(image, channels)
            left, top, right, bottom = (side / shrunk for side in box or choose(image.size))
            part = (left, top, min(right, image.width), min(bottom, image.height))
            pixels = np.asarray(image.resize((width, height), Image.Resampling.BILINEAR, part))
            return pixels.reshape(height, width, channels)


def _whole(size: tuple[int, int]) -> Box:
    return 0, 0, *size


def _upright_jpeg(source: str | os.PathLike[str] | bytes) -> tuple[bytes, JpegHead | None]:
    """The bytes of a JPEG and its head, where its pixels lie as they are to be seen; else None, and no bytes."""
    data = source if isinstance(source, bytes) else b""
    if not isinstance(source, bytes):
        check_regular(source)
        with open(source, "rb") as file:
            data = file.read(HEAD)
            if not data.startswith(START) or os.fstat(file.fileno()).st_size > _LARGEST:
                return b"", None
            data += file.read()
    head = read_head(data)
    if head is not None and head.described:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            if not ORIENTED.isdisjoint(image.info) and image.getexif().get(ORIENTATION, 1) != 1:
                head = None
    return data, head


def check_image(
    source: str | os.PathLike[str] | bytes, shape: Shape, *, name: str | None = None, max_pixels: int = MAX_PIXELS,
    whole: bool = True,
) -> bool:  # fmt: skip
    """Whether an image has more than one colour, as far as that shows. Raises as `read_image`, for the same files.

    The `whole` file is gone through, but of a JPEG only an eighth of the pixels are worked out, in a third of the time.
    Otherwise a JPEG whose head, end and length speak for it is taken at its word: a fault between them is not seen.
    """
    channels, _, _ = check_shape(shape)
    if not whole and _speaks_for_itself(source, max_pixels):
        return True

    with faults_named(source, name, max_pixels), opened(source, max_pixels) as image:
        image.draft("L", (1, 1))
        looked = upright(image, channels)
        return any(low != high for low, high in (band.getextrema() for band in looked.split()))


def _speaks_for_itself(source: str | os.PathLike[str] | bytes, max_pixels: int) -> bool:
    """Whether this is a JPEG of usual kind and size that seems to be whole and of several colours."""
    if isinstance(source, bytes):
        head, end, size = read_head(source[:HEAD]), source[-2:], len(source)
    else:
        try:
            check_regular(source)
            with open(source, "rb", buffering=0) as file:
                head = read_start(file)
                size = file.seek(0, os.SEEK_END)
                file.seek(max(0, size - 2))
                end = file.read()
        except (OSError, CnnspecError):  # it is told of by who reads it
            return False
    return head is not None and head.width * head.height <= max_pixels and head.is_whole(size, end)
