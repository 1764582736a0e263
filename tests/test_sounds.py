"""Sounds: what the standard library reads of them, at the rate and length that a network wants."""

from __future__ import annotations

import random
import wave
from pathlib import Path

import numpy as np
import pytest

import cnnspec
from cnnspec.data.open import OpenOptions, open_data
from cnnspec.errors import CnnspecError
from cnnspec.intake import Intake
from cnnspec.sounds import read_sound, resample

SPEC = "cnnspec: 1\nname: s\ninput: {{shape: [1, 800]{rate}}}\nlayers:\n  - Conv1d(2, 9)\n  - Flatten\n  - Linear(2)\n"


def tone(rate: int, count: int, pitch: float = 440.0) -> np.ndarray:
    return np.sin(2 * np.pi * pitch * np.arange(count) / rate).astype(np.float32)


def write(path: Path, values: np.ndarray, rate: int = 8000, width: int = 2) -> Path:
    """`(channels, samples)` as a file of numbers of so many bytes."""
    whole = np.round(np.atleast_2d(values).T.astype(np.float64) * (2 ** (8 * width - 1) - 1)).astype(np.int64)
    raw = (whole + 128 if width == 1 else whole).astype("<i8").reshape(-1, 1).view(np.uint8)[:, :width].tobytes()
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(whole.shape[1])
        file.setsampwidth(width)
        file.setframerate(rate)
        file.writeframes(raw)
    return path


@pytest.mark.parametrize(("width", "near"), [(1, 2e-2), (2, 1e-4), (3, 1e-6), (4, 1e-6)])
def test_every_width_of_numbers_is_read(width: int, near: float, tmp_path: Path) -> None:
    found = read_sound(write(tmp_path / "a.wav", tone(8000, 800), width=width), (1, 800), Intake())
    assert np.abs(found[0] - tone(8000, 800)).max() < near


@pytest.mark.parametrize(("old", "new"), [(44100, 8000), (16000, 8000), (8000, 16000), (48000, 44100)])
def test_a_tone_stays_the_tone_that_it_is(old: int, new: int) -> None:
    found = resample(tone(old, old)[None], old, new)[0]
    assert len(found) == new
    assert np.abs(found - tone(new, new))[200:-200].max() < 1e-3


def test_what_the_new_rate_does_not_have_is_taken_out() -> None:
    assert np.abs(resample(tone(44100, 44100, 6000)[None], 44100, 8000))[0, 200:-200].max() < 0.01


def test_the_beginning_of_a_long_sound_is_that_of_the_whole(tmp_path: Path) -> None:
    path = write(tmp_path / "a.wav", tone(44100, 44100), 44100)
    whole = read_sound(path, (1, 8000), Intake(rate=8000))
    assert np.abs(read_sound(path, (1, 800), Intake(rate=8000)) - whole[:, :800]).max() < 1e-6


def test_sounds_are_cut_padded_and_mixed(tmp_path: Path) -> None:
    both = np.stack([tone(8000, 500), np.zeros(500, np.float32)])
    found = read_sound(write(tmp_path / "a.wav", both), (1, 800), Intake())
    assert not found[0, 500:].any()
    assert np.abs(found[0, :500] - tone(8000, 500) / 2).max() < 1e-4
    assert read_sound(tmp_path / "a.wav", (2, 300), Intake()).shape == (2, 300)
    with pytest.raises(CnnspecError, match="has 2 channels, and the network reads 3"):
        read_sound(tmp_path / "a.wav", (3, 300), Intake())


def test_damaged_sounds_are_an_error_or_a_sound(tmp_path: Path) -> None:
    rng, whole = random.Random(0), write(tmp_path / "a.wav", tone(8000, 800)).read_bytes()
    told = []
    for _ in range(300):
        content = bytearray(whole)
        content[rng.randrange(44)] = rng.randrange(256)
        try:
            found = read_sound(
                bytes(content[: rng.choice((len(content), rng.randrange(len(content))))]), (1, 800), Intake()
            )
        except CnnspecError as error:
            told.append(error.message)
        else:
            assert np.isfinite(found).all()
    assert len(told) > 50
    assert not any("\n" in message for message in told)


def folder(tmp_path: Path, rates: tuple[int, int] = (8000, 8000)) -> Path:
    for number in range(10):
        for name, pitch, rate in (("high", 1200.0, rates[0]), ("low", 300.0, rates[1])):
            write(tmp_path / "tones" / name / f"{number}.wav", tone(rate, rate // 10 + number, pitch), rate)
    return tmp_path / "tones"


def test_folders_of_sounds_train_a_network(tmp_path: Path) -> None:
    spec = cnnspec.loads(SPEC.format(rate=", rate: 8000"))
    result = cnnspec.train(
        spec, data=folder(tmp_path, (16000, 8000)), epochs=8, batch_size=4, lr=0.1, runs=tmp_path, threads=1
    )
    assert result.val_accuracy == 1.0


def test_sounds_of_several_rates_want_one(tmp_path: Path) -> None:
    graph = cnnspec.loads(SPEC.format(rate="")).graph
    with pytest.raises(CnnspecError, match="sounds of several rates") as caught:
        open_data(str(folder(tmp_path, (16000, 8000))), graph, OpenOptions(tmp_path))
    assert "rate: 16000" in str(caught.value.hint)
