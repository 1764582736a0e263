"""What people read of a network's outputs, by its task: a class, labels, numbers, or a mask. Needs numpy alone.

Pictures of masks need Pillow too.
"""

from __future__ import annotations

import colorsys
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Final, TypeAlias

import numpy as np

from cnnspec.tasks import Answers

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL import Image

__all__ = [
    "HALF", "Answer", "Guess", "LabelsPrediction", "MaskPrediction", "NumbersPrediction", "Prediction", "activated",
    "answer", "overlaid", "palette",
]  # fmt: skip

HALF: Final = 0.5  # the threshold of a label where the file has none
_TURN: Final = 0.618034  # of the circle of hues, from one class to the next: no two are alike
_COLOURS: Final = 256
_COVER: Final = 0.5  # of an overlay, the part of the mask


@dataclass(frozen=True, slots=True)
class Guess:
    """One class, with its place in the output and its probability."""

    label: str
    index: int
    probability: float


@dataclass(frozen=True, slots=True)
class Prediction:
    """What a classifier says of one image."""

    source: str
    probabilities: NDArray[np.float32]  # (classes,)
    classes: tuple[str, ...]

    def __repr__(self) -> str:
        best = self.top(1)[0]
        return f"<Prediction for {self.source}: {best.label}, {best.probability:.2%}>"

    @property
    def label(self) -> str:
        """The most probable class."""
        return self.top(1)[0].label

    def top(self, count: int = 1) -> list[Guess]:
        """The most probable classes, most probable first."""
        if count == 1:  # what most ask for, of small images a part of the time that all else takes
            order = [int(self.probabilities.argmax())]
        else:
            order = (-self.probabilities).argsort(kind="stable")[:count].tolist()
        return [Guess(self.classes[i], i, float(self.probabilities[i])) for i in order]


@dataclass(frozen=True, slots=True)
class LabelsPrediction:
    """Which of the classes a multi-label network finds in one image: those that reach their thresholds."""

    source: str
    probabilities: NDArray[np.float32]  # (classes,), each of its own
    classes: tuple[str, ...]
    thresholds: tuple[float, ...]

    head: ClassVar[str] = "classes"  # of its column in a table

    def __repr__(self) -> str:
        return f"<LabelsPrediction for {self.source}: {', '.join(self.labels) or 'none'}>"

    @property
    def labels(self) -> tuple[str, ...]:
        """The names of the classes that it has, in their order."""
        return tuple(
            name
            for name, share, least in zip(self.classes, self.probabilities, self.thresholds, strict=True)
            if share >= least
        )

    @property
    def summary(self) -> str:
        """What it has, in one line, with the probabilities."""
        shares = dict(zip(self.classes, self.probabilities, strict=True))
        return ", ".join(f"{name} {shares[name]:.1%}" for name in self.labels) or "none"

    def to_dict(self) -> dict[str, object]:
        """As JSON has it."""
        shares = zip(self.classes, self.probabilities.tolist(), strict=True)
        return {"labels": list(self.labels), "probabilities": dict(shares)}

    def cells(self) -> dict[str, str]:
        """The columns of its row in a table, by their heads."""
        shares = zip(self.classes, self.probabilities, strict=True)
        return {"labels": " ".join(self.labels), **{name: f"{share:.6f}" for name, share in shares}}


@dataclass(frozen=True, slots=True)
class NumbersPrediction:
    """The numbers that a regression gives for one image, in their units."""

    source: str
    values: NDArray[np.float32]  # (numbers,)
    names: tuple[str, ...]
    units: tuple[str, ...]  # one for each number, or none

    head: ClassVar[str] = "numbers"  # of its column in a table

    def __repr__(self) -> str:
        return f"<NumbersPrediction for {self.source}: {self.summary}>"

    @property
    def texts(self) -> tuple[str, ...]:
        """The numbers as people read them."""
        units = self.units or ("",) * len(self.names)
        return tuple(f"{value:.4g} {unit}".rstrip() for value, unit in zip(self.values, units, strict=True))

    @property
    def summary(self) -> str:
        """The numbers in one line."""
        return ", ".join(f"{name} {text}" for name, text in zip(self.names, self.texts, strict=True))

    def to_dict(self) -> dict[str, object]:
        """As JSON has it."""
        values = dict(zip(self.names, self.values.tolist(), strict=True))
        return {"numbers": values, **({"units": dict(zip(self.names, self.units, strict=True))} if self.units else {})}

    def cells(self) -> dict[str, str]:
        """The columns of its row in a table, by their heads."""
        return {name: f"{value:.6g}" for name, value in zip(self.names, self.values, strict=True)}


@dataclass(frozen=True, slots=True)
class MaskPrediction:
    """The class of every place of one image, at the size of the network's output."""

    source: str
    mask: NDArray[np.uint8]  # (*axes)
    classes: tuple[str, ...]

    head: ClassVar[str] = "shares"  # of its column in a table

    def __repr__(self) -> str:
        return f"<MaskPrediction for {self.source}: {self.summary}>"

    @property
    def shares(self) -> dict[str, float]:
        """The share of the places that each class has."""
        counts = np.bincount(self.mask.ravel(), minlength=len(self.classes))
        return {name: float(count) / self.mask.size for name, count in zip(self.classes, counts, strict=True)}

    @property
    def summary(self) -> str:
        """The shares of the classes that are there, in one line."""
        return ", ".join(f"{name} {share:.1%}" for name, share in self.shares.items() if share)

    def to_dict(self) -> dict[str, object]:
        """As JSON has it: the mask itself is a picture."""
        return {"shares": self.shares}

    def cells(self) -> dict[str, str]:
        """The columns of its row in a table, by their heads."""
        return {name: f"{share:.6f}" for name, share in self.shares.items()}

    def picture(self) -> Image.Image:
        """The mask as an image of a palette, whose values are the numbers of the classes. It has two axes."""
        from PIL import Image

        picture = Image.fromarray(self.mask).convert("P")
        picture.putpalette(palette())
        return picture

    def overlay(self, pixels: NDArray[np.uint8]) -> Image.Image:
        """The mask over the middle of an image as the network sees it, `(H, W, C)` bytes; class 0 covers nothing."""
        return overlaid(self.mask, pixels)


Answer: TypeAlias = Prediction | LabelsPrediction | NumbersPrediction | MaskPrediction


def overlaid(mask: NDArray[np.uint8], pixels: NDArray[np.uint8]) -> Image.Image:
    """A mask `(h, w)` over the middle of an image `(H, W, C)` of bytes; class 0 covers nothing."""
    from PIL import Image

    height, width = mask.shape
    top, left = (pixels.shape[0] - height) // 2, (pixels.shape[1] - width) // 2
    seen = np.broadcast_to(pixels[top : top + height, left : left + width], (height, width, 3)).astype(np.float32)
    colours = np.array(palette(), np.float32).reshape(-1, 3)[mask]
    cover = np.where(mask[..., None] > 0, _COVER, 0.0)
    return Image.fromarray((seen * (1 - cover) + colours * cover).round().astype(np.uint8))


def palette() -> list[int]:
    """The colours of classes in pictures, red, green and blue of each; class 0 is black."""
    colours = [0, 0, 0]
    for number in range(1, _COLOURS):
        shade = colorsys.hsv_to_rgb(number * _TURN % 1, 0.85 - 0.25 * (number % 3) / 2, 0.95)
        colours += [round(255 * part) for part in shade]
    return colours


def activated(answers: Answers, outputs: NDArray[np.float32], *, probabilities: bool) -> NDArray[np.float32]:
    """Outputs `(N, …)` as they are read: probabilities of classes, or numbers in their units.

    `probabilities` says that they are such already.
    """
    if answers.task == "regression":
        return np.asarray(outputs * np.asarray(answers.std or 1.0) + np.asarray(answers.mean or 0.0), np.float32)
    if probabilities:
        return outputs
    if answers.task == "multi-label":
        return np.asarray(1 / (1 + np.exp(-np.clip(outputs, -80, 80))), np.float32)
    powers = np.exp(outputs - outputs.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True), np.float32)


def answer(answers: Answers, source: str, row: NDArray[np.float32], classes: tuple[str, ...]) -> Answer:
    """The answer for one image, from its row of what `activated` gives."""
    match answers.task:
        case "classification":
            return Prediction(source, row, classes)
        case "multi-label":
            return LabelsPrediction(source, row, classes, answers.thresholds or (HALF,) * len(classes))
        case "regression":
            return NumbersPrediction(source, row, answers.names(len(row)), answers.units)
        case "segmentation":
            return MaskPrediction(source, row.argmax(axis=0).astype(np.uint8), classes)
