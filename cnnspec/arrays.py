"""Samples as arrays: brought to what a network reads, whatever their layout and size. Needs no torch.

Bytes (uint8) are pixels, 0 to 255, and are normalised as those of a file are: `(byte/255 - mean) / std`. All other
numbers become float32 and are taken in the units of mean and std: `(x - mean) / std`.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import numpy as np
from PIL import Image

from cnnspec.errors import CnnspecError, UsageError
from cnnspec.files import check_regular
from cnnspec.images import (
    MAX_PIXELS,
    NHWC_TO_NCHW,
    check_shape,
    fit_image,
    prepare,
    read_image,
    scale_and_shift,
)
from cnnspec.intake import STRETCH, Intake
from cnnspec.ops import Shape, show_shape
from cnnspec.public import shown
from cnnspec.sounds import read_sound

__all__ = [
    "INPUTS", "NUMBERS", "Array", "as_array", "as_values", "channels_first", "check_bytes", "check_finite",
    "each_sample", "fit", "input_of", "is_array", "map_array", "normalised", "read_sample", "resize_planes",
]  # fmt: skip

if TYPE_CHECKING:
    from numpy.typing import NDArray

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]

NUMBERS: Final = "biuf"  # kinds of numpy that a network can read
# The columns that data sets keep what a network reads in, and what they teach.
INPUTS: Final = ("image", "img", "images", "x", "input", "inputs", "pixel_values", "signal", "audio")
_CHUNK: Final = 2**24  # values that are looked at together


def is_array(value: object) -> bool:
    """Whether a value is an array of numpy, torch or another library that numpy can read."""
    return hasattr(value, "__array__") and isinstance(getattr(value, "shape", None), tuple)


def as_array(value: object, name: str) -> Array:
    """An array of any library, or nested lists, as numpy's. Raises UsageError for what is none."""
    for step in ("detach", "cpu"):  # of torch: it may lie on a device or remember how it was made
        value = getattr(value, step, lambda value=value: value)()
    try:
        array = np.asanyarray(value)
    except (TypeError, ValueError, RuntimeError) as error:
        raise UsageError(f"{name} is no array: {str(error).splitlines()[0]:.200}") from None
    return array


def map_array(path: Path) -> Array:
    """The array in a `.npy` file, where it lies. Nothing that is written to it comes to the file.

    Raises UsageError for a file that cannot be opened, and CnnspecError for one that is no array.
    """
    try:
        check_regular(path)
        array: Any = np.load(path, mmap_mode="c", allow_pickle=False)
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError, PermissionError) as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from None
    except (OSError, ValueError, EOFError, SyntaxError, MemoryError, RecursionError, OverflowError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise CnnspecError(f"{path} cannot be read as .npy: {reason:.200}") from None
    if not isinstance(array, np.ndarray):  # an archive of several
        array.close()
        raise CnnspecError(f"{path} is a .npz by its content", hint="rename it: `FILE.npz`")
    return array


def as_values(array: Array, name: str) -> Array:
    """Bytes as they are, and other numbers as float32. Raises UsageError for what holds no real numbers."""
    if array.dtype == np.uint8:
        return array
    if array.dtype.kind not in NUMBERS:
        raise UsageError(f"{name} holds {array.dtype!s:.60}, and a network reads numbers")
    with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinite, which `check_finite` tells
        return array.astype(np.float32, copy=False)


def check_finite(values: Array, name: str) -> None:
    """Raise CnnspecError that names the first sample which holds a number that is none, or too large for float32."""
    if values.dtype.kind != "f" or not values.size:
        return
    many = max(1, _CHUNK // max(1, values[0].size))
    for first in range(0, len(values), many):
        part = values[first : first + many].reshape(min(many, len(values) - first), -1)
        wrong = ~np.isfinite(part).all(axis=1)
        if wrong.any():
            row = int(wrong.argmax())
            value = part[row][~np.isfinite(part[row])][0]
            raise CnnspecError(f"{name}: sample {first + row} holds {value}, which is no number to learn from")


def channels_first(array: Array, shape: Shape, name: str) -> Array:
    """Samples `(N, …)` for an input `(C, …)` with their channels on axis 1: a view, still of their own size.

    They come without an axis of channels where there is one, with it first, or with it last. Where both would do, the
    input's own sizes decide, and then the last. Raises UsageError for other numbers of axes.
    """
    wanted = len(shape) + 1
    if array.ndim == wanted - 1 and len(shape) > 1:
        return array[:, None]
    if array.ndim != wanted:
        raise UsageError(f"{name} is {_sizes(array)}, and the network reads (N, {', '.join(map(str, shape))})")
    if len(shape) == 1 or array.shape[1:] == shape:
        return array
    channels, *sizes = shape
    last = array.shape[-1] == channels or (array.shape[1] != channels and array.shape[-1] in (1, 3))
    if array.shape[1:] == (*sizes, channels) or last:
        return np.moveaxis(array, -1, 1)
    if array.shape[1] == channels or array.shape[1] in (1, 3):
        return array
    raise UsageError(f"{name} is {_sizes(array)}; one axis is the channels, {channels}")


def _sizes(array: Array) -> str:
    return f"({', '.join(map(str, array.shape))}{',' * (array.ndim == 1)})"


def fit(array: Array, shape: Shape, name: str, intake: Intake = STRETCH) -> Array:
    """Samples `(N, C, …)` as an input `(C, …)`: images are resized as files are, and all else has to fit.

    Raises UsageError where it does not.
    """
    if array.shape[1:] == shape:
        return array
    if len(shape) != 3 or array.shape[1] != shape[0] or 0 in array.shape[1:]:
        raise UsageError(
            f"{name} is {show_shape(array.shape[1:])} each, and the network reads {show_shape(shape)}",
            hint=f"`--input {show_shape(array.shape[1:])}`, or `input_shape=` of `cnnspec.load`, has it read that",
        )
    fitted = np.empty((len(array), *shape), array.dtype)
    for row, sample in enumerate(array):
        fitted[row] = resize_planes(sample, shape, intake)
    return fitted


def resize_planes(sample: Array, shape: Shape, intake: Intake = STRETCH) -> Array:
    """One image `(C, h, w)`, of any number of channels, as `(C, H, W)`: by the rule of files, channel by channel."""
    _, height, width = shape
    images = [Image.fromarray(np.ascontiguousarray(plane)) for plane in sample]
    return np.stack([np.asarray(fit_image(image, (width, height), intake)) for image in images])


def each_sample(given: object) -> Iterable[object]:
    """The samples in what was given, one by one: an array is of several, a path or a picture is one."""
    if isinstance(given, str | bytes | os.PathLike | Image.Image):
        return [given]
    if is_array(given):
        array = as_array(given, "what was given")
        if array.ndim == 0:
            raise UsageError(f"{shown(given)} is a single number, and no image", hint="`(N, …)`: an array of several")
        return iter(array)
    if isinstance(given, Mapping) and not hasattr(given, "column_names"):
        return [given]
    if hasattr(given, "__getitem__") and hasattr(given, "__len__"):
        rows: Any = given
        return (rows[row] for row in range(len(rows)))
    if isinstance(given, Iterable):
        return given
    raise UsageError(f"{shown(given)} is no image", hint="a path, the bytes of a file, Pillow's, or an array")


def input_of(sample: object) -> object:
    """What a network reads of a sample of a data set: the first of a pair, or the column of images."""
    if isinstance(sample, tuple) and len(sample) == 2:
        return sample[0]
    if isinstance(sample, Mapping) and not sample.keys() <= {"bytes", "path"}:
        column = next((name for name in INPUTS if name in sample), None)
        if column is None:
            raise UsageError(
                f"a sample has the columns {', '.join(map(str, sample))}, and none is known to be the image",
                hint="`data.rename_column(…)`: it is called `image`",
            )
        return sample[column]
    return sample


def check_bytes(values: Array, shown: str) -> None:
    """Raise UsageError for samples that are no bytes, where an exported file takes nothing else."""
    if values.dtype != np.uint8:
        raise UsageError(
            f"{shown} takes bytes, which it normalises itself, and the samples are {values.dtype}",
            hint="export the network again without `--preprocess`",
        )


def normalised(values: Array, mean: tuple[float, ...], std: tuple[float, ...]) -> NDArray[np.float32]:
    """Samples `(N, C, …)` as the network reads them: `(byte/255 - mean) / std`, or `(x - mean) / std`."""
    scale, shift = scale_and_shift(mean, std, values.shape[1], 255 if values.dtype == np.uint8 else 1)
    wide = (-1, *(1 for _ in values.shape[2:]))
    return values.astype(np.float32) * scale.reshape(wide) + shift.reshape(wide)


def read_sample(
    value: object, shape: Shape, name: str, *, intake: Intake = STRETCH, invert: bool = False,
    max_pixels: int = MAX_PIXELS,
) -> Array:  # fmt: skip
    """One sample as a network's input `(C, …)`, bytes or float32, before normalisation.

    It is an array, a Pillow image, the path or the bytes of an image file, or, as Hugging Face's `datasets` hand on
    files that are not decoded, `{"bytes": …, "path": …}`. Raises UsageError and CnnspecError.
    """
    if isinstance(value, Mapping) and value.keys() <= {"bytes", "path"}:
        value = value.get("bytes") or value.get("path")
    if isinstance(value, Image.Image):
        pixels = prepare(value, shape, intake=intake, invert=invert)
    elif isinstance(value, str | bytes | os.PathLike):
        if len(shape) == 2:
            return read_sound(value, shape, intake, name=name if isinstance(value, bytes) else None)
        check_shape(shape)
        shown_as = name if isinstance(value, bytes) else None
        pixels = read_image(value, shape, intake=intake, invert=invert, name=shown_as, max_pixels=max_pixels)
    elif is_array(value) or (isinstance(value, Sequence) and value):
        array = as_values(as_array(value, name), name)[None]
        values = np.ascontiguousarray(fit(channels_first(array, shape, name), shape, name, intake)[0])
        check_finite(values[None], name)
        return 255 - values if invert and values.dtype == np.uint8 else values
    else:
        raise UsageError(
            f"{name} is {shown(value)}, and no image", hint="an array, Pillow's, a path, or a file's bytes"
        )
    return np.ascontiguousarray(pixels[None].transpose(NHWC_TO_NCHW)[0])
