"""`cnnspec draw`: a network as a picture."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from cnnspec import api
from cnnspec.cli import common
from cnnspec.cli.render.foreign import say, visible
from cnnspec.errors import UsageError
from cnnspec.files import rewrite

app = typer.Typer()


@app.command()
def draw(
    spec: common.SpecArgument,
    beside: Annotated[
        str | None, typer.Argument(metavar="[RUN]", help="A second run, to stand beside the first.", show_default=False)
    ] = None,
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
    weights: Annotated[
        str | None, typer.Option("--weights", metavar="FILE|RUN", help="Show what it computes with these weights.")
    ] = None,
    images: Annotated[
        list[str] | None, typer.Option("--images", metavar="FILE|DIR|GLOB", help="On these images; may be repeated.")
    ] = None,
    data: Annotated[
        str | None, typer.Option("--data", metavar="NAME|PATH", help="On ten images of this data set.")
    ] = None,
    values: Annotated[
        bool, typer.Option("--values/--no-values", help="Show of a run what it computes and says of its images.")
    ] = True,
    live: Annotated[
        bool, typer.Option("--live", help="The network itself runs in the page, on what is drawn there or opened.")
    ] = False,
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

    The page of a run has its curves, its confusion matrix and what every layer computes on ten of its images; so has
    that of a spec with `--weights`. With `--live` you draw on it, and all of that follows.

    Examples:

      cnnspec draw resnet18

      cnnspec draw googlenet -o googlenet.html

      cnnspec draw net.yaml -o net.png --depth 3

      cnnspec draw googlenet --for train -o - --format mmd

      cnnspec draw runs/lenet5 -o run.html

      cnnspec draw runs/lenet5 -o run.html --live

      cnnspec draw runs/a runs/b -o both.html

      cnnspec draw resnet18 --weights resnet18.safetensors --images photos/ -o resnet18.html
    """
    purpose = common.parse_purpose(wanted)
    if form is not None:
        common.check_choice("--format", form, api.PICTURES)
    network: api.Spec | api.Run = common.load_spec(
        spec, variant=variant, settings=settings, input_shape=input_shape, max_nodes=max_nodes, purpose=purpose
    )
    run = api.find_run(spec, or_spec=True)
    if run is not None and not (variant or settings or input_shape):
        network = api.open_run(run)  # with all that it has besides the network
    piped = output == "-"
    asked = beside is not None or weights is not None or bool(images) or data is not None or live
    path = Path(output or f"{network.name}.{form or ('html' if asked else 'svg')}")
    kind = form or ("svg" if piped else path.suffix.removeprefix(".").lower())
    if not kind:
        raise UsageError(f"{output} has no ending that says what to draw", hint=f"`-o {path.name}.svg`, or `--format`")
    content = api.draw_bytes(
        network, kind, depth=depth, purpose=purpose, beside=beside, weights=weights, images=tuple(images or ()),
        data=data, values=values, live=live, report=lambda text: say(text, sys.stderr),
    )  # fmt: skip
    if piped:
        sys.stdout.buffer.write(content)
        return
    rewrite(path, content)
    print(f"{visible(str(path))}: {len(content):,} bytes", file=sys.stderr)
