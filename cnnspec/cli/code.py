"""`cnnspec code`: a network as stand-alone source for PyTorch."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from cnnspec import api
from cnnspec.cli import common
from cnnspec.cli.render.foreign import say, visible

app = typer.Typer()

NOT_COMPARED = "NOT compared with cnnspec's own build"


@app.command()
def code(
    spec: common.SpecArgument,
    output: Annotated[
        str | None, typer.Option("--output", "-o", metavar="FILE", help="The .py to write; stdout by default.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Write over a file that is there.")] = False,
    no_verify: Annotated[
        bool, typer.Option("--no-verify", help="Do not compare with torch. It is said on the terminal.")
    ] = False,
    input_shape: common.InputOption = None,
    variant: common.VariantOption = None,
    settings: common.SetOption = None,
    max_nodes: common.MaxNodesOption = common.MAX_NODES,
) -> None:
    """Write a network as PyTorch source that needs nothing but torch: a class for each block, loops for copies.

    It is run first, and compared: where its tensors or outputs are not those of the network, nothing is written.

    Examples:

      cnnspec code resnet50 -o resnet50.py

      cnnspec code net.yaml --set width=128 -o net.py
    """
    network = common.load_spec(
        spec, variant=variant, settings=settings, input_shape=input_shape, max_nodes=max_nodes, purpose="train"
    )
    made = api.code(network, output, force=force, verify=not no_verify)
    if made.path is None:
        sys.stdout.flush()
        sys.stdout.buffer.write(made.text.encode())  # source is UTF-8, whatever the terminal takes
    else:
        say(visible(f"{made.path}: class {made.class_name}, {made.text.count(chr(10))} lines"))
    stream = sys.stderr if made.path is None else None
    for check in made.checks:
        say(visible(f"  ok  {check}"), stream)
    if not made.checks:
        reason = "--no-verify" if no_verify else "torch is not installed: pip install 'cnnspec[train]'"
        say(f"  {NOT_COMPARED} ({reason})", sys.stderr)
