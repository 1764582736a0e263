"""`cnnspec runs`: what has been trained, and how runs differ."""

from __future__ import annotations

from typing import Annotated, Any, Final

import typer

from cnnspec import api
from cnnspec.cli import common, report
from cnnspec.cli.render.columns import aligned
from cnnspec.cli.render.foreign import visible
from cnnspec.errors import UsageError

app = typer.Typer()

FORMATS: Final = ("table", "json")


@app.command()
def runs(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[RUN]...", help="Only these; two or more: compare.")
    ] = None,
    folder: Annotated[str, typer.Option("--runs", metavar="DIR", help="The folder of all runs.")] = "runs",
    form: Annotated[str, common.format_option(FORMATS)] = "table",
) -> None:
    """List the runs; with two or more named, say also in which options they differ.

    Examples:

      cnnspec runs

      cnnspec runs demo demo-2
    """
    common.check_choice("--format", form, FORMATS)
    listed = api.list_runs(folder, on_error=report)
    if names:
        wanted = [name.rstrip("/").rpartition("/")[2] for name in names]
        by_name = {run.name: run for run in listed}
        for name in wanted:
            if name not in by_name:
                raise UsageError(
                    f"there is no run {name} in {folder}", hint=f"there are: {', '.join(by_name) or 'none'}"
                )
        listed = [by_name[name] for name in wanted]
    differing = _differences(listed) if names and len(listed) > 1 else []
    document = {"cnnspec": 1, "runs": [_facts(run) for run in listed], "differing": differing}
    common.print_result(form, lambda: document, lambda: _table(listed, differing))


def _table(listed: list[api.Run], differing: list[str]) -> str:
    rows = [["run", "network", "data", "epochs", "validation", "test", "seconds", *differing]]
    rows += [[*_row(run), *(_show(getattr(run.config, key)) for key in differing)] for run in listed]
    return "\n".join(aligned([[visible(cell) for cell in row] for row in rows], range(3)))


def _facts(run: api.Run) -> dict[str, Any]:
    key = run.task.best.key
    return {
        "name": run.name,
        "network": run.network.name,
        "params": run.params,
        "trainable_params": run.trainable_params,
        "finished": run.result is not None,
        "epochs": len(run.metrics),
        "task": run.task.name,
        f"best_val_{key}": max((value for epoch in run.metrics if (value := epoch.best[1]) is not None), default=None),
        f"test_{key}": run.result[f"test_{key}"] if run.result else None,
        "seconds": run.metrics[-1].seconds if run.metrics else 0.0,
        "options": run.config.model_dump(mode="json"),
    }


def _row(run: api.Run) -> list[str]:
    facts = _facts(run)
    done = f"{facts['epochs']}" if facts["finished"] else f"{facts['epochs']} of {run.config.epochs}"
    figure = run.task.best
    values = [facts[f"best_val_{figure.key}"], facts[f"test_{figure.key}"]]
    return [
        run.name, facts["network"], run.config.data, done,
        *("-" if value is None else figure.named(value) for value in values), f"{facts['seconds']:,.1f}",
    ]  # fmt: skip


def _differences(listed: list[api.Run]) -> list[str]:
    """The options that are not the same in all runs."""
    return [key for key in api.TrainConfig.model_fields if len({_show(getattr(run.config, key)) for run in listed}) > 1]


def _show(value: Any) -> str:
    if isinstance(value, tuple):
        return ",".join(map(str, value)) or "-"
    return "-" if value is None else str(value)
