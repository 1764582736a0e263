"""`cnnspec eval`: how good a trained network is."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Annotated, Final

import typer

from cnnspec import api
from cnnspec.cli import common
from cnnspec.cli.render.assessment import render
from cnnspec.cli.render.foreign import say

app = typer.Typer()

SHEET: Final = "mistakes.png"


@app.command(name="eval")
def evaluate(
    target: Annotated[str, typer.Argument(metavar="RUN|ONNX", help="A run folder, or a file that export wrote.")],
    data: Annotated[
        str | None,
        typer.Option(metavar="DATA", help="digits, mnist, …, a folder of images, or a .npz file; a run has its own."),
    ] = None,
    data_dir: Annotated[str | None, typer.Option(metavar="DIR", help="Where downloaded data sets lie.")] = None,
    split: Annotated[str, typer.Option(metavar="test|val", help="Which images.")] = "test",
    device: Annotated[str, typer.Option(metavar="DEVICE", help="Where to run: auto, cpu, cuda.")] = "auto",
    sheet: Annotated[
        str | None,
        typer.Option(
            metavar="PNG", help=f"Where to draw the worst mistakes; for a run its {SHEET}.", show_default=False
        ),
    ] = None,
    form: Annotated[str, typer.Option("--format", metavar="text|json", help="How to print it.")] = "text",
) -> None:
    """Score a network on images: accuracy, every class, calibration, and the worst mistakes as a picture.

    Examples:

      cnnspec eval runs/demo

      cnnspec eval exports/lenet5.onnx --data digits --sheet mistakes.png
    """
    common.check_choice("--format", form, ("text", "json"))
    if sheet is None and api.is_run(target) and os.access(target, os.W_OK):  # figures need no writing
        sheet = str(Path(target) / SHEET)
    assessment = api.evaluate(target, data=data, data_dir=data_dir, split=split, device=device, sheet=sheet)
    say(json.dumps(assessment.to_dict(), indent=1) if form == "json" else render(assessment, sheet))
