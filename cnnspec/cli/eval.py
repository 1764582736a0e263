"""`cnnspec eval`: how good a trained network is."""

from __future__ import annotations

import os
from typing import Annotated, Final

import typer

from cnnspec import api
from cnnspec.cli import common
from cnnspec.cli.render.assessment import render

app = typer.Typer()

FORMATS: Final = ("text", "json")
SHEETS: Final = {"classification": "mistakes.png", "segmentation": "overlays.png", "regression": "residuals-eval.png"}


@app.command(name="eval")
def evaluate(
    target: Annotated[str, typer.Argument(metavar="RUN|ONNX", help="A run folder, or a file that export wrote.")],
    data: Annotated[
        str | None,
        typer.Option(metavar="DATA", help="digits, mnist, …, a folder, a file, or shards; a run has its own."),
    ] = None,
    data_dir: Annotated[str | None, typer.Option(metavar="DIR", help="Where downloaded data sets lie.")] = None,
    split: Annotated[str, typer.Option(metavar="test|val", help="Which images.")] = "test",
    skip_bad: common.SkipBadOption = False,
    max_pixels: common.MaxPixelsOption = None,
    device: Annotated[str, typer.Option(metavar="DEVICE", help="Where to run: auto, cpu, cuda.")] = "auto",
    sheet: Annotated[
        str | None,
        typer.Option(
            metavar="PNG",
            help="Where to draw the worst mistakes, or residuals; for a run in its folder.",
            show_default=False,
        ),
    ] = None,
    form: Annotated[str, common.format_option(FORMATS)] = "text",
) -> None:
    """Score a network on images: the figures of its task, of every class or number, and a picture of the worst.

    Examples:

      cnnspec eval runs/demo

      cnnspec eval exports/lenet5.onnx --data digits --sheet mistakes.png
    """
    common.check_choice("--format", form, FORMATS)
    run = api.find_run(target)
    if sheet is None and run is not None and os.access(run, os.W_OK):  # figures need no writing
        name = SHEETS.get(api.open_run(run).task.name)
        sheet = str(run / name) if name else None
    assessment = api.evaluate(
        target,
        data=data,
        data_dir=data_dir,
        split=split,
        skip_bad=skip_bad,
        max_pixels=max_pixels,
        device=device,
        sheet=sheet,
    )
    common.print_result(form, assessment.to_dict, lambda: render(assessment, sheet))
