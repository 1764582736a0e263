"""What is seen of a space, of a search while it runs, and of what it has come to."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TextIO

from cnnspec.api.terms import SearchLines, show_figure, show_value, trial_line
from cnnspec.cli.render.columns import aligned
from cnnspec.cli.render.foreign import visible

if TYPE_CHECKING:
    from cnnspec.api import Screen, SearchProgress, SearchResult, TrialRecord
    from cnnspec.api.terms import Standing

__all__ = ["front_table", "screen_text", "watch_search"]

REASONS = 3  # why candidates make no network, of those that are told


def screen_text(seen: Screen) -> str:
    """What a space holds, in lines."""
    size = "without end" if seen.size is None else f"{seen.size:,} candidates"
    many = len(seen.looked)
    looked = "all of them" if seen.whole else f"{many:,} of them, drawn at random"
    lines = [
        f"{visible(seen.name)}: the space is {size}; looked at {looked}",
        f"  valid          {_share(len(seen.valid), many)}",
        f"  within limits  {_share(len(seen.fitting), many)}",
    ]
    if seen.bindings:
        rows = [["limit", "broken by", "by it alone"]]
        rows += [[each.limit, _share(each.broken, many), _share(each.alone, many)] for each in seen.bindings]
        lines += ["", *aligned(rows, range(1))]
    lines += [f"{name} is measured, and only where all else fits" for name in seen.left_out]
    rows = [["figure", "least", "median", "most"]]
    for name in ("params", "macs", "field", "peak"):
        if (spread := seen.spread(name)) is not None:
            shown = ["all" if value == float("inf") else show_figure(name, value) for value in spread]
            rows.append([name, *shown])
    if len(rows) > 1:
        lines += ["", *aligned(rows, range(1))]
    if seen.faults:
        lines += ["", "why candidates make no network:"]
        lines += [f"  {count:>5,}  {visible(reason)}" for reason, count in seen.faults[:REASONS]]
    if (nearest := seen.nearest) is not None and nearest.verdict is not None:
        lines += ["", f"nothing fits; the nearest is {visible(str(nearest.candidate))}:"]
        lines += [f"  {violation}" for violation in nearest.verdict.violations]
    return "\n".join(lines)


def _share(part: int, whole: int) -> str:
    return f"{part:,} ({part / whole:.0%})"


def front_table(result: SearchResult, cost: str | None) -> str:
    """All trials that have been trained, the cheapest first; those of the front are marked."""
    cost = cost or result.plan.section.cost
    front = {record.number for record in result.front(cost)}
    names = list(result.plan.section.space)
    figures = list(dict.fromkeys((cost, "params", "macs", "field", "peak")))
    rows = [["", "trial", result.plan.figure.title, *figures, *names, "epochs", ""]]
    for record in sorted(result.trials, key=lambda each: (each.cost(cost), each.number)):
        values = [visible(show_value(record.candidate.values[name])) for name in names]
        status = "" if record.status == "complete" else record.status
        shown = [record.figures.shown(figure) for figure in figures]
        mark = "*" if record.number in front else ""
        rows.append([mark, record.name, record.figure.show(record.score), *shown, *values, str(record.epochs), status])
    counted = f"{result.done} of {result.plan.section.trials} trials"
    title = result.plan.figure.title
    remark = f"* the front: no other trained trial has a higher {title} in validation for as little `{cost}`"
    return "\n".join([*aligned(rows, (0, 1)), "", f"{visible(str(result.path))}: {counted}", remark])


@contextmanager
def watch_search(stream: TextIO) -> Iterator[SearchProgress]:
    """What shows a search's progress on `stream` while it runs."""
    if not stream.isatty():
        yield SearchLines(stream)
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn

    bar = Progress(
        TextColumn("{task.fields[done]} of {task.fields[wanted]} trials"),
        BarColumn(),
        TextColumn("{task.fields[best]}{task.fields[left]}{task.fields[running]}"),
        console=Console(file=stream),
        transient=True,
    )
    with bar:
        yield _Bar(bar)


class _Bar:
    """A bar over all trials, and a line above it for each that has ended."""

    def __init__(self, bar: Any) -> None:
        self.bar = bar
        fields = {"done": 0, "wanted": "…", "best": "", "left": "", "running": ""}
        self.task = bar.add_task("", total=None, **fields)

    def message(self, text: str) -> None:
        self.bar.console.print(visible(text), highlight=False, markup=False)

    def step(self, trial: str, done: float) -> None:
        self.bar.update(self.task, running=f"  {trial} {done:4.0%}")

    def trial(self, record: TrialRecord, standing: Standing, left: timedelta | None) -> None:
        self.message(trial_line(record, standing))
        best = standing.best
        shown = "" if best is None or best.score is None else f"best {best.figure.named(best.score)} {best.name}"
        self.bar.update(
            self.task, completed=standing.done, total=standing.wanted, done=standing.done, wanted=standing.wanted,
            best=shown, left="" if left is None else f"  about {left} left", running="",
        )  # fmt: skip
