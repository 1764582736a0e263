"""The pictures of a run."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from PIL.Image import Image

from cnnspec.diagnostics import visible
from cnnspec.files import atomic_path, rewritten_path
from cnnspec.training.fonts import drawable
from cnnspec.training.metrics import EpochMetrics

__all__ = ["plot_confusion", "plot_curves", "plot_mistakes", "plot_run"]

MOST_LABELS = 40  # class names written along an axis
MOST_LETTERS = 26  # of a file's name over an image


def plot_run(
    folder: Path, metrics: Sequence[EpochMetrics], matrix: Sequence[Sequence[int]], classes: Sequence[str]
) -> None:
    """The curves of a run, and its confusion matrix."""
    plot_curves(metrics, folder / "curves.png")
    plot_confusion(matrix, classes, folder / "confusion.png")


def plot_curves(metrics: Sequence[EpochMetrics], path: Path) -> None:
    """Loss, accuracy and learning rate over the epochs, as a PNG."""
    figure = Figure(figsize=(11, 3.4), layout="constrained")
    loss, accuracy, rate = figure.subplots(1, 3)
    epochs = [epoch.epoch for epoch in metrics]
    loss.plot(epochs, [epoch.train_loss for epoch in metrics], label="training")
    loss.plot(epochs, [epoch.val_loss for epoch in metrics], label="validation")
    loss.set(xlabel="epoch", title="loss")
    loss.legend()
    trained = [math.nan if epoch.train_accuracy is None else 100 * epoch.train_accuracy for epoch in metrics]
    accuracy.plot(epochs, trained, label="training")
    accuracy.plot(epochs, [100 * epoch.val_accuracy for epoch in metrics], label="validation")
    accuracy.set(xlabel="epoch", title="accuracy, %")
    accuracy.legend()
    rate.plot(epochs, [epoch.lr for epoch in metrics], color="tab:grey")
    rate.set(xlabel="epoch", title="learning rate")
    with atomic_path(path) as temporary:
        _save(figure, temporary)


def plot_confusion(matrix: Sequence[Sequence[int]], classes: Sequence[str], path: Path) -> None:
    """The confusion matrix, `matrix[true][predicted]` images, as a PNG."""
    count = len(classes)
    size = min(12.0, 3.5 + 0.35 * count)
    figure = Figure(figsize=(size, size), layout="constrained")
    axes = figure.subplots()
    shares = [[value / max(1, sum(row)) for value in row] for row in matrix]
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    axes.set(xlabel="predicted", ylabel="true", title="share of each class")
    if count <= MOST_LABELS:
        names, families = drawable([*map(visible, classes)])
        style: dict[str, Any] = {"family": families, "parse_math": False}  # a `$` in a name is a dollar
        axes.set_xticks(range(count), names, rotation=90 if max(map(len, classes)) > 2 else 0, **style)
        axes.set_yticks(range(count), names, **style)
    if count <= 20:
        for true, row in enumerate(matrix):
            for predicted, value in enumerate(row):
                if value:
                    dark = shares[true][predicted] > 0.5
                    axes.text(predicted, true, str(value), ha="center", va="center", color="w" if dark else "k", size=7)
    with atomic_path(path) as temporary:
        _save(figure, temporary)


def _save(figure: Figure, path: Path) -> None:
    figure.savefig(path, format="png", dpi=110)


def plot_mistakes(images: Sequence[Image], captions: Sequence[tuple[str, str, float, str | None]], path: Path) -> None:
    """The worst mistakes side by side, each with its class, what it was taken for, how surely, and its file."""
    columns = min(5, max(1, len(images)))
    rows = max(1, -(-len(images) // columns))
    figure = Figure(
        figsize=(1.9 * columns, (2.3 if any(file for *_, file in captions) else 2.1) * rows), layout="constrained"
    )
    for axes in figure.subplots(rows, columns, squeeze=False).flat:
        axes.axis("off")
    files = [f"\n{visible(_short(Path(file).name))}" if file else "" for *_, file in captions]
    titles, families = drawable(
        [
            f"{visible(true)}, taken for {visible(predicted)}\n{probability:.0%}{file}"
            for (true, predicted, probability, _), file in zip(captions, files, strict=True)
        ]
    )
    for axes, image, title in zip(figure.axes, images, titles, strict=False):
        axes.imshow(image, cmap="gray", vmin=0, vmax=255)
        axes.set_title(title, fontsize=8, family=families, parse_math=False)
    with rewritten_path(path) as temporary:
        _save(figure, temporary)


def _short(name: str) -> str:
    """A file's name as a caption has room for it, with its end, and without bytes that are no text."""
    text = name.encode("utf-8", "replace").decode()
    return text if len(text) <= MOST_LETTERS else f"…{text[1 - MOST_LETTERS :]}"
