"""Files are read by threads beside the session, and what comes of it is what one thread gives."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import cnnspec
from cnnspec.errors import CnnspecError
from cnnspec.runtime.predictor import Predictor
from cnnspec.runtime.reading import read_batches

READ = np.zeros(1)


def names(count: int, asked: list[int] | None = None) -> Iterator[str]:
    for number in range(count):
        if asked is not None:
            asked.append(number)
        yield f"{number}"


@pytest.mark.parametrize("threads", [1, 2, 5])
@pytest.mark.parametrize("count", [0, 1, 3, 4, 5, 8, 21])
def test_every_sample_comes_once_in_its_order(threads: int, count: int) -> None:
    def read(source: object) -> np.ndarray:
        assert isinstance(source, bytes)
        if source[0] == 3:
            raise CnnspecError("no image")
        return np.array([source[0]])

    found = list(read_batches((bytes([number]) * 9000 for number in range(count)), read, 4, threads))
    assert [len(batch) for batch in found[:-1]] == [4] * (len(found) - 1)
    samples = [sample for batch in found for sample in batch]
    assert [sample.place for sample in samples] == list(range(count))
    for sample in samples:
        assert isinstance(sample.values, CnnspecError) if sample.place == 3 else sample.values == [sample.place]


def test_no_more_is_asked_for_than_one_batch_ahead() -> None:
    asked: list[int] = []
    batches = read_batches(names(100, asked), lambda source: READ, 4, 3)
    assert not asked
    for done in range(1, 4):
        next(batches)
        assert len(asked) == 4 * (done + 1)
    batches.close()
    one_by_one: list[int] = []
    alone = read_batches(names(9, one_by_one), lambda source: READ, 1, 3)
    next(alone)
    assert len(one_by_one) == 1


def test_an_error_of_whoever_gives_the_samples_comes_in_its_turn() -> None:
    def given() -> Iterator[str]:
        yield from names(6)
        raise RuntimeError("the camera is gone")

    batches = read_batches(given(), lambda source: READ, 4, 2)
    assert len(next(batches)) == 4
    with pytest.raises(RuntimeError, match="camera"):
        next(batches)


def test_files_are_read_by_threads_and_what_may_be_shared_is_not() -> None:
    here, seen = threading.current_thread(), set()

    def read(source: object) -> np.ndarray:
        seen.add(threading.current_thread())
        return READ

    list(read_batches([READ] * 9, read, 4, 2))
    assert seen == {here}
    list(read_batches([b"small"] * 9, read, 4, 2))
    assert seen == {here}
    seen.clear()
    list(read_batches([bytes(20_000)] * 9, read, 4, 2))
    assert here not in seen
    assert not [thread for thread in seen if thread.is_alive()]


def test_answers_are_those_of_one_thread(tmp_path: Path) -> None:
    model = cnnspec.export("lenet5", tmp_path / "l.onnx", verify=False).path
    rng = np.random.default_rng(0)
    paths = []
    for number in range(30):
        path = tmp_path / f"{number}.png"
        Image.fromarray(rng.integers(0, 256, (28, 28), np.uint8)).save(path)
        paths.append(path)
    paths[17].write_bytes(paths[17].read_bytes()[:40])
    bad: dict[int, list[str]] = {1: [], 3: []}
    one, several = (
        list(
            Predictor(model, device="cpu", threads=threads, batch_size=8).stream(
                iter(paths), on_error=lambda error, threads=threads: bad[threads].append(error.message)
            )
        )
        for threads in (1, 3)
    )
    assert [answer.source for answer in one] == [answer.source for answer in several]
    assert len(one) == 29
    assert bad[1] == bad[3]
    assert len(bad[1]) == 1
    for a, b in zip(one, several, strict=True):
        np.testing.assert_allclose(a.probabilities, b.probabilities, atol=1e-6)
