"""Sounds as a network reads them: `.wav` files by the standard library, at one rate and of one length. Needs no torch.

Samples are numbers from -1 to 1. Channels are averaged where the network has one. A sound of another rate than
`input.rate` of the spec is resampled (a sinc in a Hann window, as torchaudio's is by default). A longer one is cut at
its end, and a shorter one is followed by silence.
"""

from __future__ import annotations

import io
import os
import wave
from collections.abc import Iterator
from contextlib import contextmanager
from math import ceil, gcd
from typing import TYPE_CHECKING, Final

import numpy as np

from cnnspec.errors import CnnspecError, UsageError
from cnnspec.files import check_regular
from cnnspec.intake import Intake
from cnnspec.ops import Shape, show_shape

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["SOUND_SUFFIXES", "read_sound", "resample", "sound_rate"]

SOUND_SUFFIXES: Final = (".wav",)
_CROSSINGS: Final = 6  # zeros of the sinc on each side
_ROLLOFF: Final = 0.99  # of the highest frequency that is kept
_MOST_PHASES: Final = 100_000  # kernels of a resampling, times their length: rates that share no factor have very many


def read_sound(
    source: str | os.PathLike[str] | bytes, shape: Shape, intake: Intake, *, name: str | None = None
) -> NDArray[np.float32]:
    """A `.wav` file, by its path or its bytes, as an input `(C, L)`.

    Raises UsageError for a missing file and for channels that the network does not have, and CnnspecError for what is
    no sound that can be read.
    """
    shown = name or ("what was given" if isinstance(source, bytes) else os.fspath(source))
    if len(shape) != 2:
        raise UsageError(f"{shown} is a sound, and the network reads {show_shape(shape)}")
    channels, length = shape
    with _opened(source, shown) as file:
        rate, width, found = file.getframerate(), file.getsampwidth(), file.getnchannels()
        wanted = intake.rate or rate
        raw = file.readframes(min(file.getnframes(), ceil((length + 1) * rate / wanted) + _margin(rate, wanted)))
    samples = _numbers(raw, width, found, shown)
    if found != channels:
        if channels != 1:
            raise CnnspecError(f"{shown} has {found} channels, and the network reads {channels}")
        samples = samples.mean(0, keepdims=True)
    samples = resample(samples, rate, wanted)[:, :length]
    whole = np.zeros(shape, np.float32)
    whole[:, : samples.shape[1]] = samples
    return whole


def sound_rate(source: str | os.PathLike[str] | bytes, shown: str) -> int:
    """The samples per second of a `.wav` file. Raises as `read_sound`."""
    with _opened(source, shown) as file:
        return file.getframerate()


@contextmanager
def _opened(source: str | os.PathLike[str] | bytes, shown: str) -> Iterator[wave.Wave_read]:
    try:
        if not isinstance(source, bytes):
            check_regular(source)
        with wave.open(io.BytesIO(source) if isinstance(source, bytes) else os.fspath(source), "rb") as file:
            yield file
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError, PermissionError) as error:
        raise UsageError(f"cannot read {shown}: {error.strerror}") from None
    except (wave.Error, EOFError, OSError, ValueError, ZeroDivisionError, RuntimeError) as error:
        raise CnnspecError(
            f"{shown} is no sound that can be read: {str(error) or 'it is cut off'}",
            hint="`.wav` files hold whole numbers of 8, 16, 24 or 32 bits (PCM)",
        ) from None


def _margin(rate: int, wanted: int) -> int:
    """Samples behind the last one that its kernel still reads."""
    return 2 * ceil(_CROSSINGS * rate / min(rate, wanted)) + 1 if rate != wanted else 0


def _numbers(raw: bytes, width: int, channels: int, shown: str) -> NDArray[np.float32]:
    """Frames of a file as `(channels, samples)`, from -1 to 1."""
    count = len(raw) // (width * channels)
    if not count:
        raise CnnspecError(f"{shown} holds no sound")
    raw = raw[: count * width * channels]
    values: NDArray[np.float32]
    match width:
        case 1:  # the only kind without a sign
            values = (np.frombuffer(raw, np.uint8).astype(np.float32) - 128) / np.float32(128)
        case 2:
            values = np.frombuffer(raw, "<i2").astype(np.float32) / np.float32(2**15)
        case 3:
            wide = np.zeros((count * channels, 4), np.uint8)
            wide[:, 1:] = np.frombuffer(raw, np.uint8).reshape(-1, 3)
            values = wide.view("<i4")[:, 0].astype(np.float32) / np.float32(2**31)
        case 4:
            values = np.frombuffer(raw, "<i4").astype(np.float32) / np.float32(2**31)
        case _:
            raise CnnspecError(f"{shown} has samples of {width} bytes, and there are 1 to 4")
    return np.ascontiguousarray(values.reshape(count, channels).T)


def resample(samples: NDArray[np.float32], rate: int, wanted: int) -> NDArray[np.float32]:
    """Signals `(C, n)` of `rate` samples per second as `(C, ceil(n * wanted / rate))` of `wanted`.

    Frequencies that the new rate does not have are taken out. Raises CnnspecError for rates that have next to no factor
    in common, which would want a kernel for each sample.
    """
    if rate == wanted:
        return samples
    factor = gcd(rate, wanted)
    old, new = rate // factor, wanted // factor
    highest = min(old, new) * _ROLLOFF
    width = ceil(_CROSSINGS * old / highest)
    if new * (2 * width + old) > _MOST_PHASES * 100:
        raise CnnspecError(f"{rate} samples per second are not brought to {wanted}: these rates share no large factor")
    taps = np.arange(-width, width + old) / old
    time = (taps[None, :] - np.arange(new)[:, None] / new) * highest
    window = np.cos(np.clip(time, -_CROSSINGS, _CROSSINGS) * np.pi / _CROSSINGS / 2) ** 2
    kernels = (np.sinc(time) * window * (highest / old)).astype(np.float32)  # (new, taps)
    padded = np.pad(samples, ((0, 0), (width, width + old)))
    parts = np.lib.stride_tricks.sliding_window_view(padded, len(taps), axis=1)[:, ::old]  # (C, n / old, taps)
    whole: NDArray[np.float32] = (parts @ kernels.T).reshape(len(samples), -1)
    return whole[:, : ceil(new * samples.shape[1] / old)]
