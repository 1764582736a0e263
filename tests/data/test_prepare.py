"""Normalisation is that of inference, and augmentation does what it says to each image by itself."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor
from torchvision.transforms.v2 import functional as vision

import cnnspec
from cnnspec.data.order import epoch_numbers, epoch_order
from cnnspec.data.prepare import COLUMNS, Augment, Prepare, variations
from cnnspec.images import normalize

CPU = torch.device("cpu")
MIDDLE = torch.full((4, COLUMNS), 0.5)  # no rotation, no shift
TEXT = """
cnnspec: 1
name: a
input: {shape: [3, 9, 12], mean: [0.1, 0.5, 0.9], std: [0.3, 0.2, 0.1]}
layers:
  - Conv2d(1, 1)
"""


def make(augment: Augment) -> Prepare:
    return Prepare(cnnspec.loads(TEXT).graph, CPU, augment, torch.contiguous_format)


def vary(augment: Augment, x: Tensor, numbers: Tensor) -> Tensor:
    return make(augment).vary(x, variations(augment, numbers, 9, 12))


def images(count: int = 4) -> Tensor:
    return torch.randint(0, 256, (count, 3, 9, 12), generator=torch.Generator().manual_seed(1), dtype=torch.uint8)


def test_normalisation_is_that_of_inference() -> None:
    graph = cnnspec.loads(TEXT).graph
    wanted = normalize(np.ascontiguousarray(images().permute(0, 2, 3, 1).numpy()), graph.mean, graph.std)
    assert torch.allclose(make(Augment())(images()), torch.from_numpy(wanted), atol=1e-5)


@pytest.mark.parametrize("augment", [Augment(rotate=15), Augment(shift=3), Augment(rotate=15, shift=3)])
def test_the_middle_of_the_range_changes_nothing(augment: Augment) -> None:
    x = images().float()
    assert torch.allclose(vary(augment, x, MIDDLE), x, atol=1e-2)


def test_a_shift_moves_by_whole_pixels_and_black_comes_in() -> None:
    numbers = MIDDLE.clone()
    numbers[:, 1], numbers[:, 2] = 0.999, 0.0  # +2 across, -2 down
    x = images().float()
    found = vary(Augment(shift=2), x, numbers)
    assert torch.allclose(found[:, :, 2:, :-2], x[:, :, :-2, 2:], atol=1e-2)
    assert not found[:, :, :2].any()
    assert not found[:, :, :, -2:].any()


def test_every_shift_in_the_range_occurs_and_no_other() -> None:
    x = torch.zeros(400, 3, 9, 12)
    x[:, :, 4, 6] = 255
    found = vary(Augment(shift=1), x, epoch_numbers(400, COLUMNS, 0, 0)).round()
    places = {tuple(place.tolist()) for place in found[:, 0].nonzero()[:, 1:]}
    assert places == {(row, column) for row in (3, 4, 5) for column in (5, 6, 7)}


@pytest.mark.parametrize("shape", [(64, 3, 4, 8), (64, 3, 4, 7), (64, 5, 16), (64, 5, 12)])
@pytest.mark.parametrize("kind", [torch.uint8, torch.int64])
def test_what_is_flipped_is_so_to_the_bit(shape: tuple[int, ...], kind: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(3)
    whole = torch.randint(0, 256, (2 * shape[0], *shape[1:]), generator=generator).to(kind)
    varied = variations(Augment(flip=True), torch.rand(shape[0], COLUMNS, generator=generator), 9, 12)
    prepare = make(Augment(flip=True))
    prepare.ignore = 255
    for values in (whole[: shape[0]], whole[1::2]):  # as one of several processes takes its part
        found = prepare.vary(values, varied) if len(shape) == 4 else prepare.targets(values, varied)
        wanted = [value.flip(-1) if side < 0 else value for value, side in zip(values, varied[:, 0], strict=True)]
        assert found.dtype == kind
        assert torch.equal(found, torch.stack(wanted))


def test_flip_mirrors_half_of_the_images() -> None:
    numbers = epoch_numbers(200, COLUMNS, 0, 0)
    x = images(200).float()
    found = vary(Augment(flip=True), x, numbers)
    flipped = torch.tensor([torch.allclose(a, b.flip(2), atol=1e-2) for a, b in zip(found, x, strict=True)])
    kept = torch.tensor([torch.allclose(a, b, atol=1e-2) for a, b in zip(found, x, strict=True)])
    assert bool((flipped ^ kept).all())
    assert 70 < int(flipped.sum()) < 130


@pytest.mark.parametrize("angle", [-20.0, 7.0, 20.0])
def test_rotation_is_torchvisions(angle: float) -> None:
    numbers = MIDDLE.clone()
    numbers[:, 0] = (angle / 20 + 1) / 2
    smooth = torch.nn.functional.avg_pool2d(images().float(), 3, 1, 1)
    wanted = vision.rotate(smooth, angle, interpolation=vision.InterpolationMode.BILINEAR)
    found = vary(Augment(rotate=20), smooth, numbers)
    assert torch.allclose(found[:, :, 2:-2, 2:-2], wanted[:, :, 2:-2, 2:-2], atol=1.0)


def test_erase_blanks_one_rectangle_of_the_stated_size() -> None:
    x = torch.full((300, 3, 9, 12), 255.0)
    found = vary(Augment(erase=0.5), x, epoch_numbers(300, COLUMNS, 0, 0))
    blank = (found[:, 0] == 0).sum((1, 2))
    hit = blank > 0
    assert 100 < int(hit.sum()) < 200
    assert float(blank.max()) <= 0.45 * 9 * 12
    for image in found[hit][:20, 0]:
        rows, columns = (image == 0).any(1), (image == 0).any(0)
        assert int(rows.sum()) * int(columns.sum()) == int((image == 0).sum())


def test_what_an_image_gets_depends_on_its_position_alone() -> None:
    augment = Augment(rotate=20, shift=2, flip=True, erase=0.5)
    numbers = epoch_numbers(8, COLUMNS, 3, 5)
    x = images(8).float()
    together = vary(augment, x, numbers)
    for rank in range(2):
        assert torch.allclose(vary(augment, x[rank::2], numbers[rank::2]), together[rank::2], atol=1e-3)


def test_order_and_numbers_come_from_seed_and_epoch() -> None:
    rows = torch.arange(100, 200)
    assert sorted(epoch_order(rows, 0, 0).tolist()) == rows.tolist()
    assert torch.equal(epoch_order(rows, 0, 3), epoch_order(rows, 0, 3))
    assert not torch.equal(epoch_order(rows, 0, 3), epoch_order(rows, 0, 4))
    assert not torch.equal(epoch_order(rows, 0, 3), epoch_order(rows, 1, 3))
    assert not torch.equal(epoch_numbers(5, 2, 0, 0), epoch_numbers(5, 2, 0, 1))
