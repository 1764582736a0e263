"""The pictures of a run."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from PIL.Image import Image
from torch import Tensor

from cnnspec.diagnostics import visible
from cnnspec.files import atomic_path, rewritten_path
from cnnspec.tasks import Answers
from cnnspec.training.fonts import drawable
from cnnspec.training.metrics import EpochMetrics
from cnnspec.training.objectives.base import Objective
from cnnspec.training.objectives.classes import ClassObjective
from cnnspec.training.objectives.masks import MaskObjective
from cnnspec.training.objectives.numbers import NumbersObjective

__all__ = ["plot_confusion", "plot_curves", "plot_mistakes", "plot_overlays", "plot_residuals", "plot_run"]

MOST_LABELS = 40  # class names written along an axis
RESIDUALS = "residuals.png"
MOST_NUMBERS = 12  # that are drawn
MOST_LETTERS = 26  # of a file's name over an image


def plot_run(
    folder: Path, metrics: Sequence[EpochMetrics], objective: Objective, noted: Tensor, classes: Sequence[str]
) -> None:
    """The curves of a run, and the picture of its task from what was noted: the confusion matrix, or the residuals."""
    plot_curves(metrics, folder / "curves.png")
    if isinstance(objective, ClassObjective):
        plot_confusion(objective.matrix(noted).tolist(), classes, folder / "confusion.png")
    elif isinstance(objective, MaskObjective):
        plot_confusion(noted.tolist(), classes, folder / "confusion.png")
    elif isinstance(objective, NumbersObjective):
        count = noted.shape[1] // 2
        plot_residuals(noted[:, :count].tolist(), noted[:, count:].tolist(), objective.answers, folder / RESIDUALS)


def plot_curves(metrics: Sequence[EpochMetrics], path: Path) -> None:
    """Loss, the figure that chooses the best epoch, and learning rate over the epochs, as a PNG."""
    figure = Figure(figsize=(11, 3.4), layout="constrained")
    loss, best, rate = figure.subplots(1, 3)
    epochs = [epoch.epoch for epoch in metrics]
    loss.plot(epochs, [epoch.train_loss for epoch in metrics], label="training")
    loss.plot(epochs, [epoch.val_loss for epoch in metrics], label="validation")
    loss.set(xlabel="epoch", title="loss")
    loss.legend()
    chosen = metrics[0].best[0]
    factor = 100 if chosen.share else 1
    if chosen.key == "accuracy":
        trained = [math.nan if epoch.train_accuracy is None else 100 * epoch.train_accuracy for epoch in metrics]
        best.plot(epochs, trained, label="training")
    values = [epoch.best[1] for epoch in metrics]
    best.plot(epochs, [math.nan if value is None else factor * value for value in values], label="validation")
    best.set(xlabel="epoch", title=f"{chosen.title}, %" if chosen.share else chosen.title)
    best.legend()
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


def plot_residuals(
    predicted: Sequence[Sequence[float]], true: Sequence[Sequence[float]], answers: Answers, path: Path
) -> None:
    """What is predicted against what is true, and how far it is off, for each number, as a PNG."""
    count = len(true[0]) if true else 0
    shown = min(count, MOST_NUMBERS)
    figure = Figure(figsize=(8, 3.4 * max(1, shown)), layout="constrained")
    for number, (both, off) in enumerate(figure.subplots(max(1, shown), 2, squeeze=False)):
        if number >= count:
            continue
        name, unit = answers.names(count)[number], f", {answers.units[number]}" if answers.units else ""
        given, wanted = [row[number] for row in predicted], [row[number] for row in true]
        low, high = min(*given, *wanted), max(*given, *wanted)
        both.plot([low, high], [low, high], color="tab:grey", linewidth=1)
        both.plot(wanted, given, ".", markersize=3)
        off.axhline(0, color="tab:grey", linewidth=1)
        off.plot(wanted, [one - other for one, other in zip(given, wanted, strict=True)], ".", markersize=3)
        label = visible(f"{name}{unit}")
        for axes, title in ((both, "predicted"), (off, "predicted - true")):
            names, families = drawable([f"true {label}", f"{title}{visible(unit)}"])
            axes.set_xlabel(names[0], family=families, parse_math=False)
            axes.set_ylabel(names[1], family=families, parse_math=False)
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


def plot_overlays(drawn: Sequence[tuple[Image, Image, str, str | None]], path: Path) -> None:
    """Images with their true mask and, beside it, the one that was given; each with what is said of it and its file."""
    columns = min(4, max(1, len(drawn)))
    rows = max(1, -(-len(drawn) // columns))
    figure = Figure(figsize=(3.2 * columns, 2 * rows), layout="constrained")
    places = figure.subplots(rows, 2 * columns, squeeze=False)
    for axes in places.flat:
        axes.axis("off")
    captions = [f"true, {share} given{f': {visible(_short(file))}' if file else ''}" for *_, share, file in drawn]
    titles, families = drawable(captions)
    for number, (true, given, _, _) in enumerate(drawn):
        pair = places[number // columns][2 * (number % columns) :][:2]
        for axes, image in zip(pair, (true, given), strict=True):
            axes.imshow(image)
        pair[0].set_title(titles[number], fontsize=7, family=families, parse_math=False)
    with rewritten_path(path) as temporary:
        _save(figure, temporary)


def _short(name: str) -> str:
    """A file's name as a caption has room for it, with its end, and without bytes that are no text."""
    text = name.encode("utf-8", "replace").decode()
    return text if len(text) <= MOST_LETTERS else f"…{text[1 - MOST_LETTERS :]}"
