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

__all__ = ["COLUMNS", "Augment", "Prepare", "mix", "one_hot", "variations"]

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

    @property
    def moves(self) -> bool:
        """Whether pixels are read between pixels, and not only in the other order."""
        return bool(self.rotate or self.shift)


def variations(augment: Augment, numbers: Tensor, height: int, width: int) -> Tensor:
    """What `numbers` `(N, COLUMNS)` in [0, 1) come to for images of this size, `(N, 11)`, as `Prepare.vary` reads it.

    Six numbers map each output pixel to where it is read, in grid_sample's coordinates; then whether a rectangle is
    blanked, and its top, bottom, left and right. Worked out for a whole epoch at once: a step has to do little with it.
    """
    angle = (2 * numbers[:, 0] - 1) * math.radians(augment.rotate)
    shifts = torch.floor(numbers[:, 1:3] * (2 * augment.shift + 1)) - augment.shift
    mirror = torch.where(numbers[:, 3] < 0.5, -1.0, 1.0) if augment.flip else torch.ones_like(angle)
    cos, sin = angle.cos(), angle.sin()
    low, high = _ERASE_AREA
    area = (low + (high - low) * numbers[:, 5]) * height * width
    ratio = _ERASE_RATIO ** (2 * numbers[:, 6] - 1)
    tall, wide = (area * ratio).sqrt().clamp(max=height), (area / ratio).sqrt().clamp(max=width)
    top, left = numbers[:, 7] * (height - tall), torch.frac(numbers[:, 7] * 4093) * (width - wide)
    columns = [
        mirror * cos, -sin * height / width, 2 * shifts[:, 0] / width,
        mirror * sin * width / height, cos, 2 * shifts[:, 1] / height,
        (numbers[:, 4] < augment.erase).to(angle.dtype), top, top + tall, left, left + wide,
    ]  # fmt: skip
    return torch.stack(columns, 1)


class Prepare:
    """Turns batches `(B, C, *axes)` into float32 input, as inference does.

    That is `(byte/255 - mean) / std` of uint8, and `(x - mean) / std` of float32.
    """

    def __init__(
        self, graph: Graph, device: torch.device, augment: Augment, memory_format: torch.memory_format,
        ignore: int | None = None,
    ) -> None:  # fmt: skip
        """`ignore` is what stands in masks where there is no class; None where masks are not taught."""
        axes = graph.input_shape[1:]
        self.scales = {  # by whether values are bytes: the factor and the term of each channel
            top == 255: tuple(
                torch.from_numpy(value.copy()).view(-1, *(1 for _ in axes)).to(device)
                for value in scale_and_shift(graph.mean, graph.std, graph.input_shape[0], top)
            )
            for top in (255, 1)
        }
        self.augment, self.ignore = augment, ignore
        self.memory_format = memory_format if len(axes) == 2 else torch.contiguous_format
        if len(axes) != 2:  # what varies images does not vary signals and volumes
            return
        self.height, self.width = axes
        still = torch.eye(2, 3)[None]  # reads every pixel where it is: with a third 1 the place of each
        places = functional.affine_grid(still, [1, 1, self.height, self.width], align_corners=False).view(1, -1, 2)
        self.places = torch.cat([places, torch.ones(1, self.height * self.width, 1)], 2).to(device)
        self.down, self.across = (torch.arange(size, device=device) for size in (self.height, self.width))

    def __call__(self, images: Tensor, varied: Tensor | None = None) -> Tensor:
        """The input for a batch; `varied` are the rows of `variations` for it."""
        scale, shift = self.scales[images.dtype == torch.uint8]
        early = varied is not None and not self.augment.moves  # bytes are a quarter as many
        x = self.vary(images, varied) if varied is not None and early else images
        x = x.to(torch.float32, memory_format=self.memory_format, copy=x.dtype == torch.float32)
        if varied is not None and not early:
            x = self.vary(x, varied)
        return x.mul_(scale).add_(shift)  # x is ours; torch.addcmul takes twice as long

    def targets(self, targets: Tensor, varied: Tensor | None = None) -> Tensor:
        """What a batch is taught: masks are moved as their images are; `ignore` comes in from outside of them."""
        augment = self.augment
        if self.ignore is None or varied is None:
            return targets
        if not augment.moves:
            return _mirrored(targets, varied) if augment.flip else targets
        moved = targets[:, None].float() - self.ignore  # what comes in from outside is 0
        moved = functional.grid_sample(moved, self._grid(varied), "nearest", "zeros", align_corners=False)
        return (moved[:, 0] + self.ignore).to(targets.dtype)

    def _grid(self, varied: Tensor) -> Tensor:
        """Where each place of each image is read."""
        theta = varied[:, :6].view(-1, 2, 3).mT
        return self.places.expand(len(varied), -1, -1).bmm(theta).view(-1, self.height, self.width, 2)

    def vary(self, x: Tensor, varied: Tensor) -> Tensor:
        """The augmented batch, still in bytes' range; what comes in from outside the image is black.

        What `moves` images wants them as float32.
        """
        augment = self.augment
        if augment.moves:
            x = functional.grid_sample(x, self._grid(varied), padding_mode="zeros", align_corners=False)
        elif augment.flip:
            x = _mirrored(x, varied)
        if augment.erase:
            hit, top, bottom, left, right = varied[:, 6:, None].unbind(1)
            rows = (self.down >= top) & (self.down < bottom) & (hit > 0)
            columns = (self.across >= left) & (self.across < right)
            x = x.masked_fill(rows[:, None, :, None] & columns[:, None, None, :], 0)
        return x


def _mirrored(values: Tensor, varied: Tensor) -> Tensor:
    """Images or masks `(B, …, W)`, those that are to be flipped from right to left, to the bit."""
    flipped = (varied[:, 0] < 0).view(-1, *[1] * (values.ndim - 1))
    kind, mirrored = values.dtype, values.flip(-1)
    if values.is_contiguous() and values.shape[-1] * values.itemsize % 8 == 0:
        values, mirrored = values.view(torch.int64), mirrored.view(torch.int64)  # chosen 8 bytes at a time
    return torch.where(flipped, mirrored, values).view(kind)


def mix(
    x: Tensor, labels: Tensor, others: Tensor, other_labels: Tensor, shares: Tensor | None, classes: int
) -> tuple[Tensor, Tensor]:
    """Mixup (Zhang et al. 2017): `share * x + (1 - share) * other`, and probabilities `(B, classes)` likewise."""
    assert shares is not None
    wide = shares.view(-1, *[1] * (x.ndim - 1))
    hot, other_hot = (one_hot(y, classes, x.dtype) if y.ndim == 1 else y for y in (labels, other_labels))
    return wide * x + (1 - wide) * others, shares[:, None] * hot + (1 - shares[:, None]) * other_hot


def one_hot(labels: Tensor, classes: int, dtype: torch.dtype) -> Tensor:
    """1 at each label and 0 elsewhere, `(B, classes)`. torch's own looks at the labels, which waits for the device."""
    return (labels[:, None] == torch.arange(classes, device=labels.device)).to(dtype)
