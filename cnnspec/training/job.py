"""What a run is asked for, and what came of it. Importing this module imports no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from cnnspec.language import Network
from cnnspec.tasks import FIGURES, Figure, TaskName
from cnnspec.training.config import TrainConfig
from cnnspec.training.metrics import prefixed

if TYPE_CHECKING:
    from cnnspec.data.given import Given

__all__ = ["Existing", "Job", "TrainResult"]

# Where there is a run in the folder already: it is an error, or the run is taken away, or it is continued.
Existing = Literal["refuse", "overwrite", "resume"]


@dataclass(frozen=True)
class Job:
    """A run to start, or to continue: the network, the options and the folder.

    `data` is what the images are opened by, where that is not what the options say: they may be of another folder, or
    from Python; and `weights` the file that it starts from, where the options name a network of another maker.
    """

    network: Network
    config: TrainConfig
    folder: Path
    existing: Existing = "refuse"
    data: str | Given | None = None
    weights: str | None = None


@dataclass(frozen=True)
class TrainResult:
    """What came of a run. `test` figures are those of the best epoch's weights on images never used before."""

    run: str
    task: TaskName
    epochs: int
    best_epoch: int
    val_loss: float
    val: Mapping[str, float | None]  # the figures of the task; the first has chosen the best epoch
    train_accuracy: float | None  # while that epoch was trained; None where it was not counted
    test_loss: float | None
    test: Mapping[str, float | None]  # the same figures, each None where there are no test images
    test_images: int
    test_duplicates: int  # test images that are training images too
    seconds: float
    inputs: str = "images"  # what they are called: images, signals or volumes

    def __repr__(self) -> str:
        figure, value = self.best
        tested = ""
        if self.test_images:
            tested = f", {figure.named(self.test[figure.key])} of {self.test_images:,} test {self.inputs}"
        return f"<TrainResult {self.run}: {self.epochs} epochs, {figure.named(value)} in validation{tested}>"

    @property
    def best(self) -> tuple[Figure, float | None]:
        """The figure that has chosen the best epoch, and its value there."""
        key = next(iter(self.val))
        return FIGURES[key], self.val[key]

    @property
    def val_accuracy(self) -> float:
        """The share of the validation images that is recognised. Raises AttributeError for a task without classes."""
        value = _accuracy(self.val)
        assert value is not None  # there are validation images
        return value

    @property
    def test_accuracy(self) -> float | None:
        """The same of the test images; None where there are none."""
        return _accuracy(self.test)

    def to_dict(self) -> dict[str, object]:
        """Plain data, as `result.json` holds it: each figure has a key of its own, `val_…` and `test_…`."""
        plain: dict[str, object] = {}
        for key in self.__dataclass_fields__:
            if key in ("val", "test"):
                plain |= prefixed(key, getattr(self, key))
            elif key != "train_accuracy" or "accuracy" in self.val:
                plain[key] = getattr(self, key)
        return plain


def _accuracy(figures: Mapping[str, float | None]) -> float | None:
    if "accuracy" not in figures:
        raise AttributeError(f"there is no accuracy; the figures are {', '.join(figures)}")
    return figures["accuracy"]
