"""`cnnspec inspect`: the layer table, and the arithmetic behind it."""

from __future__ import annotations

import json
import shutil
import sys
from typing import Annotated

import typer

from cnnspec.cli import common
from cnnspec.cli.render.report import FORMATS, render, render_explanation

app = typer.Typer()


@app.command()
def inspect(
    spec: common.SpecArgument,
    form: Annotated[str, typer.Option("--format", metavar="|".join(FORMATS), help="How to print it.")] = "table",
    explain: Annotated[
        str | None, typer.Option("--explain", metavar="LAYER", help="Print the arithmetic of one layer.")
    ] = None,
    batch: Annotated[int, typer.Option("--batch", min=1, help="The batch size for memory.")] = 1,
    input_shape: common.InputOption = None,
    variant: common.VariantOption = None,
    settings: common.SetOption = None,
    max_nodes: common.MaxNodesOption = common.MAX_NODES,
) -> None:
    """Print every layer's output size, receptive field, parameters and cost.

    Examples:

      cnnspec inspect lenet5

      cnnspec inspect lenet5 --explain C3

      cnnspec inspect net.yaml --input 3x96x96 --format markdown
    """
    common.check_choice("--format", form, FORMATS)
    network = common.load_spec(spec, variant=variant, settings=settings, input_shape=input_shape, max_nodes=max_nodes)
    if explain is not None:
        explanation = network.explain(explain)
        print(json.dumps(explanation.to_dict(), indent=1) if form == "json" else render_explanation(explanation))
        return
    report = network.analyze(batch=batch)
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    print(render(report, form, width))
