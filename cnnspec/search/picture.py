"""The picture of a search: the score against cost, with the front drawn."""

from __future__ import annotations

from pathlib import Path

from matplotlib.figure import Figure

from cnnspec.files import atomic_path
from cnnspec.language.figures import FIGURES
from cnnspec.search.start import SearchResult

__all__ = ["plot_front"]

_SCALES = {"count": (1.0, ""), "bytes": (1e6, ", MB"), "pixels": (1.0, ", pixels"), "seconds": (1e-3, ", ms")}


def plot_front(result: SearchResult, cost: str, path: Path) -> None:
    """Every trial by its cost and its score in validation, as a PNG; the front as a line."""
    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.subplots()
    score = result.plan.figure
    scale = 100 if score.share else 1
    factor, unit = _SCALES[FIGURES[cost].unit]
    for status, (color, marker) in (("complete", ("tab:blue", "o")), ("pruned", ("tab:grey", "x"))):
        shown = [each for each in result.trials if each.status == status and each.score is not None]
        axes.scatter(
            [each.cost(cost) / factor for each in shown],
            [scale * (each.score or 0) for each in shown],
            s=18,
            label=status,
            color=color,
            marker=marker,
        )
    front = result.front(cost)
    axes.step(
        [each.cost(cost) / factor for each in front],
        [scale * (each.score or 0) for each in front],
        where="post",
        color="tab:red",
        label="front",
    )
    for each in front:
        axes.annotate(each.name, (each.cost(cost) / factor, scale * (each.score or 0)), fontsize=7)
    axes.set_xlabel(f"{cost}{unit}")
    axes.set_ylabel(f"{score.title} in validation{', %' * score.share}")
    axes.set_title(f"{result.path.name}: {result.done} of {result.plan.section.trials} trials", parse_math=False)
    axes.legend()
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png", dpi=110)
