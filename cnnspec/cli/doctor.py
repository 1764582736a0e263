"""`cnnspec doctor`: whether what is installed works together."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from cnnspec.cli import common
from cnnspec.cli.render.foreign import say, visible
from cnnspec.runtime.doctor import examine_installation

app = typer.Typer()


@app.command()
def doctor(
    form: Annotated[str, typer.Option("--format", metavar="text|json", help="How to print it.")] = "text",
) -> None:
    """Explain the installation: versions, drivers, and a small network on every device. Exits with 1 on a problem."""
    common.check_choice("--format", form, ("text", "json"))
    diagnosis = examine_installation()
    if form == "json":
        print(json.dumps(diagnosis.to_dict(), indent=1))
    else:
        for fact in diagnosis.facts:
            say(f"{fact.level:8} {fact.subject}: {visible(fact.message)}")
            if fact.command:
                print(f"{'':8} -> {fact.command}")
    if not diagnosis.healthy:
        raise typer.Exit(1)
