"""`cnnspec zoo`: the bundled networks."""

from __future__ import annotations

import json
import sys
from typing import Annotated

import typer

from cnnspec import api
from cnnspec.cli import common
from cnnspec.ops import show_shape

app = typer.Typer()

FORMATS = ("table", "json")


@app.command()
def zoo(
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="Print this spec.", show_default=False)] = None,
    form: Annotated[
        str, typer.Option("--format", metavar="|".join(FORMATS), help="How to print the list, or the figures of NAME.")
    ] = "table",
) -> None:
    """List the bundled networks with their figures, or print the spec of one: for a variant, that of its family.

    A star marks those that differ from their papers.

    Examples:

      cnnspec zoo

      cnnspec zoo resnet18 > net.yaml

      cnnspec zoo googlenet --format json
    """
    common.check_choice("--format", form, FORMATS)
    if name is not None and form == "json":
        api.bundled_text(name)  # refuses a name that there is not
        (found,) = (entry for entry in api.bundled_networks() if entry.name == name.removesuffix(".yaml"))
        print(json.dumps({"cnnspec": 1, **found.to_dict()}, indent=1))
        return
    if name is not None:
        text = api.bundled_text(name)
        print(text, end="")
        if text.startswith("# ") and not sys.stdout.isatty():  # whoever keeps it in a file has not seen its remark
            print(text.partition("\n")[0].removeprefix("# "), file=sys.stderr)
        return
    listed = api.bundled_networks()
    if form == "json":
        print(json.dumps({"cnnspec": 1, "networks": [entry.to_dict() for entry in listed]}, indent=1))
        return
    rows = [("network", "file", "input", "params", "MACs", "field", "params in training")]
    for entry in listed:
        field = show_shape(entry.receptive_field) or "all"
        train = f"{entry.train_params:,}" if entry.train_params != entry.params else ""
        figures = f"{entry.params:,}", f"{entry.macs:,}", field, train
        shown = f"{entry.name} *" if entry.differs else entry.name
        rows.append((shown, f"{entry.file}.yaml", show_shape(entry.input), *figures))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        left = [text.ljust(width) for text, width in zip(row[:3], widths[:3], strict=True)]
        right = [text.rjust(width) for text, width in zip(row[3:], widths[3:], strict=True)]
        print("  ".join([*left, *right]).rstrip())
    print("\n* not its paper's network or figures: `cnnspec zoo NAME --format json` says where")
