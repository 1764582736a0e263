"""Photographs, varied one by one while they are read: random crops, colours, and torchvision's policies.

What comes of an image is a function of its seed alone, which is that of the run, the epoch and the position: it does
not depend on who reads it, nor on where a run was cut off.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from random import Random
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

import numpy as np
import torch
from torch import Tensor

from cnnspec.data.sets import Files, ImageSet
from cnnspec.images import Box

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Photo", "Policy", "random_crop", "vary"]

Policy: TypeAlias = Literal["none", "randaugment", "trivialaugment"]
_RATIO: Final = (3 / 4, 4 / 3)  # of the sides of a crop (Szegedy et al. 2014)
_TRIES: Final = 10  # for a crop that lies within the image
_GREY: Final = np.array([[[0.2989]], [[0.587]], [[0.114]]], np.float32)  # of red, green and blue, by ITU-R BT.601


@dataclass(frozen=True)
class Photo:
    """What is varied. `crop` is the least share of the area that a random crop has, 1 for none; `jitter` the most by
    which brightness, contrast and saturation are multiplied or divided; `policy` is RandAugment (Cubuk et al. 2019) or
    TrivialAugment (Müller and Hutter 2021)."""

    crop: float = 1.0
    jitter: float = 0.0
    policy: Policy = "none"

    def __bool__(self) -> bool:
        return self.crop < 1 or self.jitter > 0 or self.policy != "none"


def random_crop(size: tuple[int, int], least: float, random: Random) -> Box:
    """A crop of an image of this size, width and height: left, top, right and bottom.

    Its share of the area is uniform from `least` on, the ratio of its sides from 3:4 to 4:3 is uniform in its
    logarithm, and so is its place among those that there are; where none of ten lies within the image, it is the middle
    at the nearest ratio: the distribution of torchvision's `RandomResizedCrop`.
    """
    width, height = size
    low, high = _RATIO
    for _ in range(_TRIES):
        area = random.uniform(least, 1) * width * height
        ratio = math.exp(random.uniform(math.log(low), math.log(high)))
        wide, tall = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
        if 0 < wide <= width and 0 < tall <= height:
            left, top = random.randrange(width - wide + 1), random.randrange(height - tall + 1)
            return left, top, left + wide, top + tall
    ratio = min(max(width / height, low), high)
    wide, tall = min(width, round(height * ratio)), min(height, round(width / ratio))
    left, top = (width - wide) // 2, (height - tall) // 2
    return left, top, left + wide, top + tall


def vary(source: ImageSet, row: int, photo: Photo, seed: int) -> Tensor:
    """An image of a source as a network sees it this time, `(C, H, W)` uint8. Raises CnnspecError as reading does.

    Without a `policy` no random numbers of torch are drawn, and threads may do this side by side.
    """
    random = Random(seed)
    if photo.crop == 1:
        image = source.read(row)
    elif isinstance(source, Files):
        image = source.cropped(row, lambda size: random_crop(size, photo.crop, random))
    else:
        image = _cropped(source.read(row), photo.crop, random)
    if photo.jitter:
        image = torch.from_numpy(_jittered(image.numpy(), photo.jitter, random))
    if photo.policy != "none":
        with _seeded(seed):
            image = _policy(photo.policy)(image)
    return image.contiguous()


def _cropped(image: Tensor, least: float, random: Random) -> Tensor:
    """A random crop of an image in memory, at the size that it has."""
    from torchvision.transforms.v2 import functional

    _, height, width = image.shape
    left, top, right, bottom = random_crop((width, height), least, random)
    cropped: Tensor = functional.resized_crop(
        image, top, left, bottom - top, right - left, [height, width], antialias=True
    )
    return cropped


def _jittered(pixels: NDArray[np.uint8], most: float, random: Random) -> NDArray[np.uint8]:
    """Bytes `(C, H, W)` of other brightness, contrast and saturation, in an order of chance, as torchvision has it.

    Each is a mixture with black, with the mean grey, or with the grey of each place, by a factor from `1 - most` to
    `1 + most`. Worked out by numpy: torch would let threads of its own do it, and its sums depend on their number.
    """
    for kind in random.sample(("brightness", "contrast", "saturation"), 3):
        factor = random.uniform(max(0.0, 1 - most), 1 + most)
        if kind == "saturation" and len(pixels) == 1:
            continue
        mixed = pixels * np.float32(factor)
        if kind != "brightness":
            grey = np.floor((pixels * _GREY).sum(0)) if len(pixels) == 3 else pixels
            mixed += (grey if kind == "saturation" else grey.mean(dtype=np.float32)) * np.float32(1 - factor)
        pixels = mixed.clip(0, 255).astype(np.uint8)
    return pixels


@cache
def _policy(policy: Policy) -> Callable[[Tensor], Any]:
    from torchvision.transforms import v2

    made: Callable[[Tensor], Any] = v2.RandAugment() if policy == "randaugment" else v2.TrivialAugmentWide()
    return made


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Torch's random numbers on the CPU from this seed on, and afterwards what they were.

    `torch.manual_seed` would seed all devices, and note the whole stack for it each time.
    """
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        yield
