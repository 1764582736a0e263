"""Photographs that are varied one by one: what comes of each depends on its seed, and is what torchvision does."""

from __future__ import annotations

import shutil
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import RandomResizedCrop, v2
from torchvision.transforms.v2 import functional

import cnnspec
from cnnspec.data.batches import batches
from cnnspec.data.duplicates import count_learned
from cnnspec.data.open import OpenOptions, open_data
from cnnspec.data.photo import Photo, random_crop, vary
from cnnspec.data.sets import Files, Images, decode
from cnnspec.errors import UsageError
from cnnspec.images import prepare
from cnnspec.intake import Intake
from cnnspec.partial_images import check_image, read_crop
from cnnspec.training.config import TrainConfig, resolve_config
from cnnspec.training.run_folder import open_run

CPU = torch.device("cpu")
SPEC = (
    "cnnspec: 1\nname: p\ninput: {shape: [3, 16, 16], fit: crop}\n"
    "layers:\n  - Conv2d(4, 3)\n  - ReLU\n  - AdaptiveAvgPool2d(1)\n  - Flatten\n  - Linear(2)\n"
)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Red and blue pictures of several sizes with noise, as JPEGs."""
    rng = np.random.default_rng(0)
    for label, channel in (("blue", 2), ("red", 0)):
        (tmp_path / "photos" / label).mkdir(parents=True)
        for number in range(12):
            pixels = rng.integers(0, 120, (60 + 3 * number, 90 - number, 3), np.uint8)
            pixels[..., channel] += 100
            Image.fromarray(pixels).save(tmp_path / "photos" / label / f"{number}.jpg", quality=95)
    return tmp_path / "photos"


def files(folder: Path) -> Files:
    paths = tuple(sorted(folder.rglob("*.jpg")))
    return Files(paths, torch.zeros(len(paths), dtype=torch.int64), (3, 16, 16))


@pytest.mark.parametrize("size", [(50, 40), (40, 50), (33, 33), (500, 20), (16, 16), (7, 9)])
@pytest.mark.parametrize("resize", [None, 24])
def test_a_crop_is_what_torchvision_makes(size: tuple[int, int], resize: int | None) -> None:
    image = Image.fromarray(np.random.default_rng(1).integers(0, 256, (size[1], size[0], 3), np.uint8))
    short = 16 if resize is None else resize
    theirs = v2.Compose([v2.Resize(short, v2.InterpolationMode.BILINEAR), v2.CenterCrop(16)])(image)
    ours = prepare(image, (3, 16, 16), intake=Intake("crop", resize))
    assert np.array_equal(ours, np.asarray(theirs))


def test_what_comes_of_an_image_depends_on_its_seed_alone(photos: Path) -> None:
    source, photo = files(photos), Photo(0.3, 0.4, "trivialaugment")
    order, seeds = torch.arange(len(source)), torch.arange(len(source)) + 7
    torch.manual_seed(5)
    before = torch.get_rng_state()
    one = [images for images, _ in batches(source, order, 5, CPU, photo=photo, seeds=seeds)]
    assert torch.equal(torch.get_rng_state(), before)
    later = [images for images, _ in batches(source, order, 5, CPU, start=10, photo=photo, seeds=seeds)]
    assert all(torch.equal(a, b) for a, b in zip(one[2:], later, strict=True))
    others = [images for images, _ in batches(source, order, 5, CPU, workers=1, photo=photo, seeds=seeds)]
    assert all(torch.equal(a, b) for a, b in zip(one, others, strict=True))
    assert not torch.equal(one[0], next(batches(source, order, 5, CPU, photo=photo, seeds=seeds + 1))[0])


@pytest.mark.parametrize(("size", "least"), [((80, 60), 0.08), ((40, 90), 0.3), ((64, 64), 0.9), ((300, 100), 0.7)])
def test_crops_are_distributed_as_torchvisions(size: tuple[int, int], least: float) -> None:
    """Two samples of 4,000: mean and spread of area, shape and place, each within five standard errors."""
    torch.manual_seed(0)
    outline, random = torch.empty(0, size[1], size[0]), Random(1)
    theirs = np.array([RandomResizedCrop.get_params(outline, [least, 1.0], [3 / 4, 4 / 3]) for _ in range(4000)])
    boxes = np.array([random_crop(size, least, random) for _ in range(4000)])
    left, top, right, bottom = boxes.T
    assert (left >= 0).all()
    assert (top >= 0).all()
    assert (right <= size[0]).all()
    assert (bottom <= size[1]).all()
    ours = np.stack([top, left, bottom - top, right - left], 1)
    for mine, other in zip(*(np.c_[x, x[:, 2] * x[:, 3], x[:, 3] / x[:, 2]].T for x in (ours, theirs)), strict=True):
        error = np.hypot(mine.std(), other.std()) / 4000**0.5
        assert abs(mine.mean() - other.mean()) <= 5 * error
        assert abs(mine.std() - other.std()) <= 5 * error


@pytest.mark.parametrize("size", [(500, 20), (20, 500), (1, 90), (1, 1)])
def test_a_crop_that_does_not_fit_is_the_middle(size: tuple[int, int]) -> None:
    top, left, height, width = RandomResizedCrop.get_params(
        torch.empty(0, size[1], size[0]), [0.99, 1.0], [3 / 4, 4 / 3]
    )
    assert random_crop(size, 0.99, Random(0)) == (left, top, left + width, top + height)


@pytest.mark.parametrize("channels", [1, 3])
def test_colours_are_changed_as_torchvision_does(channels: int) -> None:
    """The numbers that are drawn are as documented: an order of the three, and before each its factor."""
    generator = torch.Generator().manual_seed(0)
    image = torch.randint(0, 256, (channels, 30, 40), generator=generator, dtype=torch.uint8)
    change = {
        "brightness": functional.adjust_brightness,
        "contrast": functional.adjust_contrast,
        "saturation": functional.adjust_saturation,
    }
    for seed in range(20):
        found = vary(Images(image[None], torch.zeros(1)), 0, Photo(jitter=0.6), seed)
        random, wanted = Random(seed), image
        for kind in random.sample(list(change), 3):
            wanted = change[kind](wanted, random.uniform(0.4, 1.6))
        apart = (found.int() - wanted.int()).abs()
        assert float(apart.float().mean()) < 0.05  # where a sum is at the edge of a step
        assert int(apart.max()) <= 4  # of three such, each widened by the next factor


def test_a_crop_of_a_large_picture_is_that_of_all_its_pixels(tmp_path: Path) -> None:
    """A decode at reduced size is within a few steps of 255, and where it would not do there is none."""
    y, x = np.mgrid[0:600, 0:800]
    smooth = np.stack([x * 255 / 800, y * 255 / 600, (x + y) * 255 / 1400], -1).astype(np.uint8)
    Image.fromarray(smooth).save(tmp_path / "a.jpg", quality=95)
    with Image.open(tmp_path / "a.jpg") as image:
        whole = image.convert("RGB")
    for box in ((0, 0, 800, 600), (100, 50, 700, 500), (333, 201, 380, 260), (10, 20, 30, 40)):
        found = read_crop(tmp_path / "a.jpg", (3, 16, 16), lambda size, box=box: box)
        wanted = np.asarray(whole.resize((16, 16), Image.Resampling.BILINEAR, box))
        assert np.abs(found.astype(int) - wanted).max() <= 3, box


@pytest.mark.parametrize("scale", [1, 2, 3, 5, 9])
def test_a_whole_picture_near_its_pixels(tmp_path: Path, scale: int) -> None:
    """A JPEG is decoded at a smaller size where that is no smaller than the input; all else is to the bit."""
    size = (64 * scale, 56 * scale)
    coarse = Image.fromarray(np.random.default_rng(scale).integers(0, 256, (7, 8, 3), np.uint8))
    picture = coarse.resize(size, Image.Resampling.BICUBIC)
    for name in ("a.jpg", "a.png"):
        picture.save(tmp_path / name, quality=95)
        wanted = decode(tmp_path / name, (3, 56, 64)).astype(int)
        found = Files((tmp_path / name,), torch.zeros(1), (3, 56, 64), near=True).read(0).numpy()
        assert np.array_equal(found, wanted) == (name == "a.png" or scale == 1)
        assert np.abs(found - wanted).mean() < 1.5


@pytest.mark.parametrize("varied", [True, False])
@pytest.mark.parametrize("loading", ["resident", "streaming"])
def test_only_what_is_varied_and_lies_apart_is_near(photos: Path, tmp_path: Path, varied: bool, loading: str) -> None:
    graph = cnnspec.loads(SPEC.replace(", fit: crop", "")).graph
    parts = tmp_path / "parts"
    shutil.copytree(photos, parts / "train")
    shutil.copytree(photos, parts / "val")
    for root in (photos, parts):
        for cache in (None, tmp_path / "cache"):
            options = OpenOptions(tmp_path, varied=varied, loading=loading, cache=cache, report=lambda text: None)
            data = open_data(str(root), graph, options)
            near = varied and root == parts
            exact = np.stack([decode(path, (3, 16, 16)) for path in data.train.paths])
            found = torch.stack([data.train.read(row) for row in range(len(data.train))]).numpy()
            assert (np.abs(exact.astype(int) - found).max() > 0) == near
            if root == parts:
                assert np.array_equal(torch.stack([data.val.read(row) for row in range(24)]).numpy(), exact)
                assert count_learned(data) == 24


def test_pictures_in_memory_are_varied_too() -> None:
    images = torch.randint(0, 256, (6, 3, 16, 16), dtype=torch.uint8)
    source = Images(images, torch.zeros(6, dtype=torch.int64))
    found = vary(source, 2, Photo(0.3, 0.2), 1)
    assert found.shape == (3, 16, 16)
    assert found.dtype == torch.uint8
    assert not torch.equal(found, images[2])
    assert torch.equal(vary(source, 2, Photo(), 1), images[2])


def test_a_picture_of_one_colour_is_seen(tmp_path: Path) -> None:
    for mode in ("RGB", "L"):
        Image.new(mode, (64, 64), 77 if mode == "L" else (9, 8, 7)).save(tmp_path / f"{mode}.png")
        assert not check_image(tmp_path / f"{mode}.png", (3, 16, 16))
    Image.effect_noise((64, 64), 50).save(tmp_path / "n.jpg")
    assert check_image(tmp_path / "n.jpg", (1, 16, 16))


def test_a_preset_is_what_it_says_and_what_is_given_wins() -> None:
    config = resolve_config(("spec", {"augment": "photo", "crop": 0.5}), ("flags", {"rotate": 4.0}))
    assert (config.crop, config.rotate, config.shift, config.flip, config.jitter) == (0.5, 4.0, 0, True, 0.2)
    assert TrainConfig(**config.model_dump()) == config
    assert resolve_config(("flags", {"augment": "none"})).rotate == 0


def test_a_run_on_photographs_is_continued_bit_for_bit(photos: Path, tmp_path: Path) -> None:
    options: dict[str, Any] = {
        "data": photos, "augment": "photo", "policy": "randaugment", "batch_size": 4, "threads": 1, "workers": 0,
        "lr": 0.1, "runs": tmp_path / "runs", "progress": None, "channels_last": False,
    }  # fmt: skip
    spec = cnnspec.loads(SPEC)

    class Once:
        def message(self, text: str) -> None: ...

        def step(self, *figures: object) -> None: ...

        def epoch(self, metrics: object) -> bool:
            return True

    whole = cnnspec.train(spec, name="whole", epochs=3, **options)
    cnnspec.train(spec, name="cut", epochs=3, **options | {"progress": Once()})
    cut = cnnspec.resume(tmp_path / "runs" / "cut", progress=None)
    assert cut.val_loss == whole.val_loss
    runs = [open_run(tmp_path / "runs" / name) for name in ("whole", "cut")]
    assert runs[0].weights.read_bytes() == runs[1].weights.read_bytes()
    assert runs[0].config.crop == 0.08


def test_what_is_no_photograph_is_not_varied_as_one(tmp_path: Path) -> None:
    spec = cnnspec.loads("cnnspec: 1\nname: s\ninput: [2, 9]\nlayers:\n  - Flatten\n  - Linear(2)\n")
    data = (np.zeros((20, 2, 9)), np.arange(20) % 2)
    with pytest.raises(UsageError, match="are for photographs, and these are 2x9"):
        cnnspec.train(spec, data=data, augment="photo", runs=tmp_path, threads=1)


def test_training_and_the_exported_file_see_the_same_pixels(photos: Path, tmp_path: Path) -> None:
    spec = cnnspec.loads(SPEC)
    result = cnnspec.train(
        spec, data=photos, augment="photo", epochs=1, threads=1, workers=0, runs=tmp_path, progress=None
    )
    model = tmp_path / "p.onnx"
    cnnspec.export(result.run, model)
    predictor = cnnspec.Predictor(model, device="cpu")
    assert predictor.metadata.fit == "crop"
    graph = open_run(result.run).graph
    for path in sorted(photos.rglob("*.jpg"))[:5]:
        source = Files((path,), torch.zeros(1, dtype=torch.int64), (3, 16, 16), intake=graph.intake)
        assert np.array_equal(np.moveaxis(predictor.pixels(path), -1, 0), source.read(0).numpy())
    shutil.rmtree(photos / "red")
