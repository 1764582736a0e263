"""`cnnspec doctor`: whether what is installed works together."""

from __future__ import annotations

from typing import Annotated, Final

import typer

from cnnspec.api import Diagnosis, examine_installation
from cnnspec.cli import common
from cnnspec.cli.render.foreign import visible

app = typer.Typer()

FORMATS: Final = ("text", "json")


@app.command()
def doctor(
    form: Annotated[str, common.format_option(FORMATS)] = "text",
) -> None:
    """Explain the installation: versions, drivers, and a small network on every device. Exits with 1 on a problem."""
    common.check_choice("--format", form, FORMATS)
    diagnosis = examine_installation()
    common.print_result(form, diagnosis.to_dict, lambda: _text(diagnosis))
    if not diagnosis.healthy:
        raise typer.Exit(1)


def _text(diagnosis: Diagnosis) -> str:
    lines = []
    for fact in diagnosis.facts:
        lines.append(f"{fact.level:8} {fact.subject}: {visible(fact.message)}")
        if fact.command:
            lines.append(f"{'':8} -> {fact.command}")
    return "\n".join(lines)
