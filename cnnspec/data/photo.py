"""Photographs, varied one by one while they are read: random crops, colours, and torchvision's policies.

What comes of an image is a function of its seed alone, which is that of the run, the epoch and the position: it does
not depend on who reads it, nor on where a run was cut off.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Final, Literal, TypeAlias

import torch
from torch import Tensor

from cnnspec.data.sets import Files, ImageSet
from cnnspec.images import Box

__all__ = ["Photo", "Policy", "vary"]

Policy: TypeAlias = Literal["none", "randaugment", "trivialaugment"]
_RATIO: Final = (3 / 4, 4 / 3)  # of the sides of a crop (Szegedy et al. 2014)


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

    def box(self, size: tuple[int, int]) -> Box:
        """A random crop of an image of this size, width and height: left, top, right and bottom."""
        from torchvision.transforms import RandomResizedCrop

        outline = torch.empty(0, size[1], size[0])  # only its sizes are read
        top, left, height, width = RandomResizedCrop.get_params(outline, [self.crop, 1.0], list(_RATIO))
        return left, top, left + width, top + height


def vary(source: ImageSet, row: int, photo: Photo, seed: int) -> Tensor:
    """An image of a source as a network sees it this time, `(C, H, W)` uint8. Raises CnnspecError as reading does."""
    with _seeded(seed):
        if photo.crop == 1:
            image = source.read(row)
        elif isinstance(source, Files):
            image = source.cropped(row, photo.box)
        else:
            image = _cropped(source.read(row), photo)
        for transform in _transforms(photo):
            image = transform(image)
    return image.contiguous()


def _cropped(image: Tensor, photo: Photo) -> Tensor:
    """A random crop of an image in memory, at the size that it has."""
    from torchvision.transforms.v2 import functional

    _, height, width = image.shape
    left, top, right, bottom = photo.box((width, height))
    cropped: Tensor = functional.resized_crop(
        image, top, left, bottom - top, right - left, [height, width], antialias=True
    )
    return cropped


@cache
def _transforms(photo: Photo) -> list[Callable[[Tensor], Tensor]]:
    from torchvision.transforms import v2

    found: list[Callable[[Tensor], Tensor]] = []
    if photo.jitter:
        found.append(v2.ColorJitter(photo.jitter, photo.jitter, photo.jitter))
    if photo.policy != "none":
        found.append({"randaugment": v2.RandAugment, "trivialaugment": v2.TrivialAugmentWide}[photo.policy]())
    return found


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Torch's random numbers on the CPU from this seed on, and afterwards what they were.

    `torch.manual_seed` would seed all devices, and note the whole stack for it each time.
    """
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        yield
