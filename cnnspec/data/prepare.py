"""From a batch of bytes to the network's input, on the device: normalise and augment, all images at once."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor
from torch.nn import functional

from cnnspec.graph import Graph
from cnnspec.images import scale_and_shift

__all__ = ["COLUMNS", "Augment", "Prepare", "mix", "one_hot"]

COLUMNS: Final = 8  # random numbers per image: angle, two shifts, flip, and erase's chance, area, shape and place
_ERASE_AREA: Final = (0.02, 0.33)  # share of the image, and
_ERASE_RATIO: Final = 0.3  # smallest ratio of the sides, after Zhong et al. 2017


@dataclass(frozen=True)
class Augment:
    """What is varied in training; sizes in pixels, `rotate` in degrees."""

    rotate: float = 0.0
    shift: int = 0
    flip: bool = False
    erase: float = 0.0

    def __bool__(self) -> bool:
        return bool(self.rotate or self.shift or self.flip or self.erase)


class Prepare:
    """Turns uint8 batches `(B, C, H, W)` into float32 input, `(byte/255 - mean) / std`, as inference does."""

    def __init__(
        self, graph: Graph, device: torch.device, augment: Augment, memory_format: torch.memory_format
    ) -> None:
        scale, shift = scale_and_shift(graph.mean, graph.std, graph.input_shape[0])
        self.scale = torch.from_numpy(scale).view(-1, 1, 1).to(device)
        self.shift = torch.from_numpy(shift).view(-1, 1, 1).to(device)
        self.augment = augment
        self.memory_format = memory_format

    def __call__(self, images: Tensor, numbers: Tensor | None = None) -> Tensor:
        """The input for a batch; `numbers` `(B, COLUMNS)` in [0, 1) decide the augmentation."""
        x = images.to(torch.float32, memory_format=self.memory_format)
        if numbers is not None:
            x = self.vary(x, numbers)
        return x.mul_(self.scale).add_(self.shift)  # x is ours; torch.addcmul takes twice as long

    def vary(self, x: Tensor, numbers: Tensor) -> Tensor:
        """The augmented batch, still in bytes' range; what comes in from outside the image is black."""
        augment = self.augment
        if augment.rotate or augment.shift or augment.flip:
            x = functional.grid_sample(x, self._grid(x, numbers), padding_mode="zeros", align_corners=False)
        if augment.erase:
            x = self._erase(x, numbers)
        return x

    def _grid(self, x: Tensor, numbers: Tensor) -> Tensor:
        """Where each output pixel is read, in grid_sample's coordinates, `(B, H, W, 2)`."""
        augment, (height, width) = self.augment, x.shape[-2:]
        angle = (2 * numbers[:, 0] - 1) * math.radians(augment.rotate)
        shifts = torch.floor(numbers[:, 1:3] * (2 * augment.shift + 1)) - augment.shift
        mirror = torch.where(numbers[:, 3] < 0.5, -1.0, 1.0) if augment.flip else torch.ones_like(angle)
        cos, sin = angle.cos(), angle.sin()
        theta = torch.stack(
            [
                torch.stack([mirror * cos, -sin * height / width, 2 * shifts[:, 0] / width], 1),
                torch.stack([mirror * sin * width / height, cos, 2 * shifts[:, 1] / height], 1),
            ],
            1,
        )
        return functional.affine_grid(theta, list(x.shape), align_corners=False)

    def _erase(self, x: Tensor, numbers: Tensor) -> Tensor:
        height, width = x.shape[-2:]
        low, high = _ERASE_AREA
        area = (low + (high - low) * numbers[:, 5]) * height * width
        ratio = _ERASE_RATIO ** (2 * numbers[:, 6] - 1)
        tall, wide = (area * ratio).sqrt().clamp(max=height), (area / ratio).sqrt().clamp(max=width)
        top, left = numbers[:, 7] * (height - tall), torch.frac(numbers[:, 7] * 4093) * (width - wide)
        down = torch.arange(height, device=x.device)
        across = torch.arange(width, device=x.device)
        inside_down = (down >= top[:, None]) & (down < (top + tall)[:, None])
        inside_across = (across >= left[:, None]) & (across < (left + wide)[:, None])
        hit = (numbers[:, 4] < self.augment.erase)[:, None, None, None]
        return x.masked_fill(hit & inside_down[:, None, :, None] & inside_across[:, None, None, :], 0.0)


def mix(
    x: Tensor, labels: Tensor, others: Tensor, other_labels: Tensor, shares: Tensor | None, classes: int
) -> tuple[Tensor, Tensor]:
    """Mixup (Zhang et al. 2017): `share * x + (1 - share) * other`, and probabilities `(B, classes)` likewise."""
    assert shares is not None
    wide = shares.view(-1, *[1] * (x.ndim - 1))
    hot, other_hot = (one_hot(y, classes, x.dtype) for y in (labels, other_labels))
    return wide * x + (1 - wide) * others, shares[:, None] * hot + (1 - shares[:, None]) * other_hot


def one_hot(labels: Tensor, classes: int, dtype: torch.dtype) -> Tensor:
    """1 at each label and 0 elsewhere, `(B, classes)`. torch's own looks at the labels, which waits for the device."""
    return (labels[:, None] == torch.arange(classes, device=labels.device)).to(dtype)
