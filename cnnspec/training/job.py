"""What a run is asked for, and what came of it. Importing this module imports no torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from cnnspec.language import Network
from cnnspec.training.config import TrainConfig

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
    epochs: int
    best_epoch: int
    val_loss: float
    val_accuracy: float
    train_accuracy: float | None  # while that epoch was trained; None for one that was begun before it was counted
    test_loss: float | None
    test_accuracy: float | None
    test_images: int
    test_duplicates: int  # test images that are training images too
    seconds: float
