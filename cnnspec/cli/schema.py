"""`cnnspec schema`: the JSON Schema of specs."""

from __future__ import annotations

import json

import typer

from cnnspec import api

app = typer.Typer()


@app.command()
def schema() -> None:
    """Print a JSON Schema (draft-07), with which an editor completes keys and underlines wrong ones.

    Example:

      cnnspec schema > cnnspec.schema.json
    """
    print(json.dumps(api.json_schema(), indent=1))
