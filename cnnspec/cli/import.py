"""`cnnspec import`: a network of another maker as a spec, proved equal before anything is written."""

from __future__ import annotations

import sys
from typing import Annotated, Final

import typer

from cnnspec import api
from cnnspec.cli import common
from cnnspec.cli.render.foreign import json_text, say, visible
from cnnspec.cli.render.gaps import gap_rows, gap_table

app = typer.Typer()

FORMATS: Final = ("text", "json")


@app.command()
def import_(
    source: Annotated[
        str,
        typer.Argument(
            metavar="SOURCE",
            help="net.py:factory(width=64), timm:NAME, torchvision:NAME, pt2:FILE, or a file.",
            show_default=False,
        ),
    ],
    output: Annotated[
        str | None, typer.Option("--output", "-o", metavar="FILE", help="The spec to write; by default it is printed.")
    ] = None,
    weights: Annotated[
        str | None,
        typer.Option("--weights", metavar="FILE", help="Where to write the source's weights: net.safetensors."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Write over a spec that is there.")] = False,
    form: Annotated[str, common.format_option(FORMATS, "How to print the result.")] = "text",
    input_shape: common.InputOption = None,
) -> None:
    """Make a spec of a network of another maker, and prove it equal: if it is not, nothing is written.

    The layers keep their names, so that weights fit. A Python file, timm, torchvision and pt2 run code of others; the
    word before the colon says so. Several models with commas between become one spec with variants. What the language
    cannot say is listed, and the exit code is 1; where a check fails it is 4.

    Examples:

      cnnspec import net.py:Net(width=64) --input 3x64x64 -o net.yaml --weights net.safetensors

      cnnspec import timm:resnet26,resnet50,resnet101 -o resnet.yaml

      cnnspec import torchvision:googlenet -o googlenet.yaml
    """
    common.check_choice("--format", form, FORMATS)
    shape = common.parse_shape(input_shape) if input_shape else None
    try:
        result = api.import_network(
            source,
            output,
            weights=weights,
            input_shape=shape,
            force=force,
            report=lambda text: say(text, sys.stderr),
        )
    except api.GapsError as error:
        if form == "json":
            print(json_text({"cnnspec": 1, "source": source, "gaps": gap_rows(error.gaps)}, indent=1))
        else:
            say(gap_table(error.gaps))
        raise
    if form == "json":
        print(json_text(result.to_dict(), indent=1))
        return
    if output is None:
        say(result.text.rstrip("\n"))
    say("\n".join(map(visible, _lines(result))), sys.stderr if output is None else None)


def _lines(result: api.ImportResult) -> list[str]:
    what = f"{result.lines} lines, {result.layers:,} layers, {result.params:,} parameters, {result.macs:,} MACs"
    written = " and ".join(map(str, result.paths)) or result.source
    lines = [f"{written}: {what}"]
    if result.variants:
        lines.append(f"  variants  {', '.join(result.variants)}")
    lines += [f"  {check}" for check in result.checks]
    renamed = len(result.keys)
    if renamed:
        first, there = next(iter(result.keys.items()))
        lines.append(f"  note     {renamed} tensors have other names here: `{there}` is `{first}`")
    lines += [f"  note     {note}" for note in result.notes]
    return lines
