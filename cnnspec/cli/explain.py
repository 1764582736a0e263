"""`cnnspec explain`: what the code of an error or warning means."""

from __future__ import annotations

from typing import Annotated

import typer

from cnnspec.codes import codes, explain_code

app = typer.Typer()


@app.command()
def explain(
    code: Annotated[
        str | None, typer.Argument(metavar="CODE", help="A code, such as E104.", show_default=False)
    ] = None,
) -> None:
    """Print the page of an error or warning: what it means, an example, and how to mend it. Without CODE, list all.

    Example:

      cnnspec explain E104
    """
    if code is not None:
        print(explain_code(code).rstrip())
        return
    for name, title in codes().items():
        print(f"{name}  {title}")
