"""How files of another size or rate become a network's input: a spec says it, and training and inference do the same.

Nothing here imports any other module of the package.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, NamedTuple, TypeAlias, get_args

__all__ = ["FITS", "INPUT_KEYS", "STRETCH", "Fit", "Intake", "Placement", "inputs_word"]

Fit: TypeAlias = Literal["stretch", "crop"]
FITS: Final[tuple[Fit, ...]] = get_args(Fit)

# What `input` of a spec may say beside `shape`, `mean` and `std`.
INPUT_KEYS: Final = {
    "fit": "how an image of another size is fitted: stretched, or cropped after a resize that keeps its aspect",
    "resize": "the length of the shorter side before the crop; the least that covers the input where not given",
    "rate": "samples per second of a signal, to which sounds of another rate are brought",
}


_WORDS: Final = {2: "signals", 3: "images", 4: "volumes"}


def inputs_word(shape: tuple[int, ...]) -> str:
    """What inputs of this shape, `(C, *axes)`, are called."""
    return _WORDS.get(len(shape), "inputs")


class Placement(NamedTuple):
    """Where an image comes to lie: resized to `size`, and of that `box` is taken, left, top, right and bottom."""

    size: tuple[int, int]  # width and height
    box: tuple[int, int, int, int]


@dataclass(frozen=True, slots=True)
class Intake:
    """`fit` and `resize` are for images, `rate` is for signals, in samples per second."""

    fit: Fit = "stretch"
    resize: int | None = None
    rate: int | None = None

    def __bool__(self) -> bool:
        """Whether anything is said."""
        return self != STRETCH

    def misfit(self, shape: tuple[int, ...]) -> str | None:
        """What cannot be said of an input of this shape, if anything."""
        if self.fit != "stretch" and len(shape) != 3:
            return f"`fit` is for images, and the input has {len(shape)} axes"
        if self.resize is not None and self.resize < max(shape[1:]):
            return f"`resize` is {self.resize}, and the crop from it {shape[1]}x{shape[2]}"
        if self.rate is not None and len(shape) != 2:
            return f"`rate` is for signals, channels by samples, and the input has {len(shape)} axes"
        return None

    def place(self, size: tuple[int, int], target: tuple[int, int]) -> Placement:
        """Where an image of this size, width and height, comes to lie in an input of the size `target`.

        What is cropped keeps its aspect, and its middle is taken, as `Resize` and `CenterCrop` of torchvision do it.
        """
        (width, height), (wide, high) = size, target
        if self.fit == "stretch":
            return Placement(target, (0, 0, wide, high))
        if self.resize is not None:
            short, long = sorted(size)
            longer = max(1, int(self.resize * long / short))
            resized = (self.resize, longer) if width <= height else (longer, self.resize)
        elif wide * height >= high * width:  # the width is what is short
            resized = (wide, max(high, int(wide * height / width)))
        else:
            resized = (max(wide, int(high * width / height)), high)
        left, top = (round((have - want) / 2) for have, want in zip(resized, target, strict=True))
        return Placement(resized, (left, top, left + wide, top + high))


STRETCH: Final = Intake()
