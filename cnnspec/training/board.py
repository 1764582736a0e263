"""TensorBoard's event files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from cnnspec.errors import MissingExtraError
from cnnspec.training.counters import Counters
from cnnspec.training.metrics import EpochMetrics

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

__all__ = ["Board", "open_board"]


class Board:
    """Writes the metrics of each epoch."""

    def __init__(self, writer: SummaryWriter) -> None:
        self._writer = writer

    def write(self, metrics: EpochMetrics) -> None:
        """Every figure of an epoch, at its step."""
        for name, value in metrics.model_dump().items():
            if name not in ("epoch", "step") and value is not None:
                self._writer.add_scalar(name, value, metrics.step)
        self._writer.flush()


def open_board(run: Path, counters: Counters) -> Board:
    """The event file of a run, hiding what a cut-off run wrote after this point, and with what it may not have written.

    Raises MissingExtraError without TensorBoard.
    """
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise MissingExtraError("tensorboard", "tensorboard") from None
    again = counters.history[-1:] if counters.position == 0 else []  # a kill may have come before it was written
    board = Board(SummaryWriter(str(run / "tensorboard"), purge_step=counters.step + (not again)))
    for metrics in again:
        board.write(metrics)
    return board
