"""`cnnspec diff`: what changed from one network to another."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from cnnspec import api
from cnnspec.cli import common
from cnnspec.cli.render.diff import FORMATS, render_difference

app = typer.Typer()


@app.command()
def diff(
    before: Annotated[str, typer.Argument(metavar="A", help="A path, or a bundled network.", show_default=False)],
    after: Annotated[str, typer.Argument(metavar="B", help="Another one.", show_default=False)],
    form: Annotated[str, typer.Option("--format", metavar="|".join(FORMATS), help="How to print it.")] = "table",
    exit_code: Annotated[bool, typer.Option("--exit-code", help="Exit with 1 if the networks differ.")] = False,
    input_shape: common.InputOption = None,
    max_nodes: common.MaxNodesOption = common.MAX_NODES,
) -> None:
    """Print the layers that were added, removed and changed, and both totals side by side.

    Layers are aligned by what they are, not by position or number.

    Examples:

      cnnspec diff resnet50 resnet101

      cnnspec diff old.yaml new.yaml --exit-code
    """
    common.check_choice("--format", form, FORMATS)
    first, second = (common.load_spec(spec, input_shape=input_shape, max_nodes=max_nodes) for spec in (before, after))
    difference = api.diff(first, second)
    print(json.dumps(difference.to_dict(), indent=1) if form == "json" else render_difference(difference, form))
    if exit_code and not difference.equal:
        raise typer.Exit(1)
