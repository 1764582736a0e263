"""`cnnspec diff`: what changed from one network to another."""

from __future__ import annotations

import shutil
import sys
from typing import Annotated

import typer

from cnnspec import api
from cnnspec.cli import common
from cnnspec.cli.render.diff import FORMATS, render_difference
from cnnspec.cli.render.foreign import visible

app = typer.Typer()


@app.command()
def diff(
    before: Annotated[str, typer.Argument(metavar="A", help="A path, or a bundled network.", show_default=False)],
    after: Annotated[str, typer.Argument(metavar="B", help="Another one.", show_default=False)],
    form: Annotated[str, common.format_option(FORMATS)] = "table",
    html: Annotated[
        str | None, typer.Option("--html", metavar="FILE", help="Write a page of both, side by side, to FILE.html.")
    ] = None,
    exit_code: Annotated[bool, typer.Option("--exit-code", help="Exit with 1 if the networks differ.")] = False,
    variant_a: Annotated[str | None, typer.Option("--variant-a", metavar="NAME", help="A variant of A.")] = None,
    variant_b: Annotated[str | None, typer.Option("--variant-b", metavar="NAME", help="A variant of B.")] = None,
    settings_a: Annotated[
        list[str] | None, typer.Option("--set-a", metavar="NAME=VALUE", help="Set a parameter of A.")
    ] = None,
    settings_b: Annotated[
        list[str] | None, typer.Option("--set-b", metavar="NAME=VALUE", help="Set a parameter of B.")
    ] = None,
    wanted: common.PurposeOption = "inference",
    input_shape: common.InputOption = None,
    max_nodes: common.MaxNodesOption = common.MAX_NODES,
) -> None:
    """Print the layers that were added, removed and changed, and both totals side by side.

    Layers are aligned by what they are, not by position or number. Those that changed alike are one row; `--format
    json` has each of them. What only training has is left out unless `--for train` is given; where it differs, that is
    said.

    Examples:

      cnnspec diff resnet50 resnet101

      cnnspec diff old.yaml new.yaml --exit-code

      cnnspec diff resnet18 resnet34 --html both.html

      cnnspec diff net.yaml net.yaml --variant-b wide

      cnnspec diff net.yaml net.yaml --set-a width=16 --set-b width=24
    """
    common.check_choice("--format", form, FORMATS)
    purpose = common.parse_purpose(wanted)
    first, second = (
        common.load_spec(
            spec, variant=variant, settings=settings, input_shape=input_shape, max_nodes=max_nodes, purpose=purpose
        )
        for spec, variant, settings in ((before, variant_a, settings_a), (after, variant_b, settings_b))
    )
    difference = api.diff(first, second, purpose=purpose)
    names = None
    if first.name == second.name:
        names = _label(before, variant_a, settings_a), _label(after, variant_b, settings_b)
    if html is not None:
        path = api.draw_diff(first, second, html, purpose=purpose, names=names)
        print(f"{visible(str(path))}: {path.stat().st_size:,} bytes", file=sys.stderr)
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    common.print_result(form, difference.to_dict, lambda: render_difference(difference, form, width, names))
    if exit_code and not difference.equal:
        raise typer.Exit(1)


def _label(spec: str, variant: str | None, settings: list[str] | None) -> str:
    """What tells a network from another of the same name: `net.yaml, width=24`."""
    return ", ".join(map(visible, [spec, *([variant] if variant else []), *(settings or [])]))
