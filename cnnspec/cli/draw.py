"""`cnnspec draw`: a network as a picture."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from cnnspec import api
from cnnspec.cli import common
from cnnspec.cli.render.foreign import visible
from cnnspec.errors import UsageError
from cnnspec.files import rewrite

app = typer.Typer()


@app.command()
def draw(
    spec: common.SpecArgument,
    output: Annotated[
        str | None, typer.Option("--output", "-o", metavar="FILE", help="Where to write; NAME.svg by default.")
    ] = None,
    form: Annotated[
        str | None,
        typer.Option(
            "--format", metavar="|".join(api.PICTURES), help="The kind of picture; by default FILE's ending says it."
        ),
    ] = None,
    depth: Annotated[
        int | None,
        typer.Option("--depth", min=1, metavar="N", help="Open groups N deep. By default as deep as fits on a page."),
    ] = None,
    wanted: common.PurposeOption = "inference",
    input_shape: common.InputOption = None,
    variant: common.VariantOption = None,
    settings: common.SetOption = None,
    max_nodes: common.MaxNodesOption = common.MAX_NODES,
) -> None:
    """Draw a network: its layers, the groups that they are in, and the shapes between them.

    SPEC may be a run too. The page (.html) opens offline in any browser, to look around in. SVG, Mermaid (.mmd) and
    DOT are pictures and need nothing else; PNG and PDF need the extra `draw`. Equal groups in a row are drawn once,
    with how many they are. `-o -` writes to stdout.

    Examples:

      cnnspec draw resnet18

      cnnspec draw googlenet -o googlenet.html

      cnnspec draw net.yaml -o net.png --depth 3

      cnnspec draw googlenet --for train -o - --format mmd
    """
    purpose = common.parse_purpose(wanted)
    if form is not None:
        common.check_choice("--format", form, api.PICTURES)
    network = common.load_spec(
        spec, variant=variant, settings=settings, input_shape=input_shape, max_nodes=max_nodes, purpose=purpose
    )
    piped = output == "-"
    path = Path(output or f"{network.name}.{form or 'svg'}")
    kind = form or ("svg" if piped else path.suffix.removeprefix(".").lower())
    if not kind:
        raise UsageError(f"{output} has no ending that says what to draw", hint=f"`-o {path.name}.svg`, or `--format`")
    data = api.draw_bytes(network, kind, depth=depth, purpose=purpose)
    if piped:
        sys.stdout.buffer.write(data)
        return
    rewrite(path, data)
    print(f"{visible(str(path))}: {len(data):,} bytes", file=sys.stderr)
