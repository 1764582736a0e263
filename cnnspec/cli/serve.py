"""`cnnspec serve`: the live editor in a browser."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cnnspec.serving.run import serve as run

app = typer.Typer()


@app.command()
def serve(
    path: Annotated[
        str, typer.Argument(metavar="[FILE|DIR]", help="A spec, or a folder of specs; this folder by default.")
    ] = ".",
    port: Annotated[
        int, typer.Option("--port", metavar="N", min=0, max=65535, help="The port; 0 takes a free one.")
    ] = 0,
    host: Annotated[
        str | None,
        typer.Option(
            "--host", metavar="ADDRESS", help="Listen there, not on loopback; the address printed has a token."
        ),
    ] = None,
    no_open: Annotated[bool, typer.Option("--no-open", help="Open no browser.")] = False,
) -> None:
    """Edit specs in a browser: the network beside the text, shapes and fields behind each line, as you type.

    Files are saved where they are, and never over a file that has changed meanwhile. Bundled networks open as copies.

    Examples:

      cnnspec serve

      cnnspec serve net.yaml --port 8000
    """
    run(Path(path), host, port, opens=not no_open)
