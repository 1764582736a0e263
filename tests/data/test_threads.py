"""Large photographs are decoded by threads, and what comes of them is what processes or one by one would give."""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from cnnspec.data.batches import batches
from cnnspec.data.loaders import LoaderPool
from cnnspec.data.photo import Photo
from cnnspec.data.sets import Files
from cnnspec.errors import CnnspecError

CPU = torch.device("cpu")
NAME = "decodes images"


@pytest.fixture
def source(tmp_path: Path) -> Files:
    """Sixteen JPEGs of noise, each of 60 kB or more."""
    rng = np.random.default_rng(0)
    for number in range(16):
        noise = rng.integers(0, 256, (200 + number, 220 - number, 3), np.uint8)
        Image.fromarray(noise).save(tmp_path / f"{number:02}.jpg", quality=95)
    paths = tuple(sorted(tmp_path.glob("*.jpg")))
    return Files(paths, torch.arange(16), (3, 16, 24))


def decoding() -> int:
    """How many threads there are that decode."""
    return sum(thread.name.startswith(NAME) for thread in threading.enumerate())


def read(source: Files, photo: Photo | None, workers: int, loaders: LoaderPool) -> Iterator[tuple[torch.Tensor, ...]]:
    order = torch.tensor([7, 3, 15, 0, 9, 12, 1, 14, 2, 8, 5])
    seeds = torch.arange(11) * 31 + 5
    return batches(source, order, 4, CPU, start=4, workers=workers, loaders=loaders, photo=photo, seeds=seeds)


@pytest.mark.parametrize("photo", [None, Photo(0.3), Photo(0.3, 0.4), Photo(jitter=0.2)])
def test_threads_read_what_one_by_one_is_read(source: Files, photo: Photo | None) -> None:
    state = torch.get_rng_state()
    with LoaderPool() as loaders:
        wanted = list(read(source, photo, 0, loaders))
        for _ in range(2):  # two epochs by the same threads
            found = list(read(source, photo, 2, loaders))
            assert 1 <= decoding() <= 2
            assert not multiprocessing.active_children()
            assert len(found) == len(wanted) == 2
            for ours, theirs in zip(found, wanted, strict=True):
                assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))
    assert decoding() == 0
    assert torch.equal(torch.get_rng_state(), state)


def test_what_torchvision_draws_is_drawn_in_processes(source: Files) -> None:
    photo = Photo(0.3, policy="randaugment")
    with LoaderPool() as loaders:
        wanted, found = (list(read(source, photo, workers, loaders)) for workers in (0, 1))
        assert decoding() == 0
        assert all(torch.equal(a[0], b[0]) for a, b in zip(wanted, found, strict=True))


def test_small_files_are_left_to_processes(tmp_path: Path) -> None:
    for number in range(12):
        Image.new("L", (16, 16), number).save(tmp_path / f"{number}.png")
    small = Files(tuple(tmp_path / f"{number}.png" for number in range(12)), torch.arange(12), (1, 8, 8))
    with LoaderPool() as loaders:
        for images, labels in batches(small, torch.arange(12), 4, CPU, workers=1, loaders=loaders):
            assert torch.equal(images[:, 0, 0, 0].long(), labels)
            assert decoding() == 0


def test_a_file_that_cannot_be_read_is_named_in_its_turn(source: Files) -> None:
    os.truncate(source.paths[2], 40_000)  # of the second batch that is read
    with LoaderPool() as loaders:
        found = read(source, None, 2, loaders)
        assert next(found)[1].tolist() == [9, 12, 1, 14]
        with pytest.raises(CnnspecError, match=r"02\.jpg is broken"):
            next(found)
    assert decoding() == 0


def test_nobody_waits_for_batches_that_are_asked_for_no_more(source: Files) -> None:
    with LoaderPool() as loaders:
        order = torch.arange(16).repeat(50)
        found = batches(source, order, 2, CPU, workers=1, loaders=loaders)
        assert next(found)[1].tolist() == [0, 1]
        both = zip(found, batches(source, order, 2, CPU, workers=1, loaders=loaders), strict=False)
        assert [labels.tolist() for _, labels in next(both)] == [[2, 3], [0, 1]]
    assert decoding() == 0
