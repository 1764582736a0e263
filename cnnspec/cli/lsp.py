"""`cnnspec lsp`: what editors show of specs while they are typed."""

from __future__ import annotations

from typing import Annotated

import typer

from cnnspec.lsp.serve import serve

app = typer.Typer()


@app.command()
def lsp(
    port: Annotated[
        int | None,
        typer.Option("--tcp", metavar="PORT", help="Listen on this loopback port (0: any), not on stdin."),
    ] = None,
) -> None:
    """Answer an editor over the Language Server Protocol, on stdin and stdout: editors start it themselves.

    Output shapes and receptive fields behind each line, mistakes with what mends them, hover, completion,
    definitions, renaming and formatting. docs/editors.md has the lines for your editor.

    Examples:

      cnnspec lsp

      cnnspec lsp --tcp 6007
    """
    raise typer.Exit(serve(port))
