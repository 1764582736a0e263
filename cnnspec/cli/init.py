"""`cnnspec init`: a spec to start from."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from cnnspec import api
from cnnspec.cli.render.foreign import say, visible

app = typer.Typer()


@app.command()
def init(
    path: Annotated[Path, typer.Argument(metavar="PATH", help="The spec to write.")] = Path("net.yaml"),
    force: Annotated[bool, typer.Option("--force", help="Write over files that are there.")] = False,
) -> None:
    """Write a starter spec, and beside it the JSON Schema that makes an editor complete and underline.

    Example:

      cnnspec init net.yaml
    """
    for written in api.init(path, force=force):
        say(visible(str(written)))
    say(f"next: cnnspec inspect {visible(str(path))}", sys.stderr)
