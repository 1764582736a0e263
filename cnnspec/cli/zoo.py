"""`cnnspec zoo`: the bundled networks."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from cnnspec import api
from cnnspec.api.terms import show_shape
from cnnspec.cli import common
from cnnspec.cli.render.columns import aligned

if TYPE_CHECKING:
    from cnnspec.api import Entry

app = typer.Typer()

FORMATS = ("table", "json")


@app.command()
def zoo(
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="Print this spec.", show_default=False)] = None,
    form: Annotated[str, common.format_option(FORMATS, "How to print the list, or the figures of NAME.")] = "table",
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
        (entry,) = (entry for entry in api.bundled_networks() if entry.name == name.removesuffix(".yaml"))
        common.print_result(form, lambda: {"cnnspec": 1, **entry.to_dict()}, lambda: "")
        return
    if name is not None:
        print(api.bundled_text(name), end="")
        if (remark := api.bundled_remark(name)) and not sys.stdout.isatty():  # who keeps it in a file has not seen it
            print(remark, file=sys.stderr)
        return
    entries = list(api.bundled_networks())
    document = {"cnnspec": 1, "networks": [entry.to_dict() for entry in entries]}
    common.print_result(form, lambda: document, lambda: _table(entries))


def _table(entries: list[Entry]) -> str:
    rows = [("network", "file", "input", "params", "MACs", "field", "params in training")]
    for entry in entries:
        field = show_shape(entry.receptive_field) or "all"
        train = f"{entry.train_params:,}" if entry.train_params != entry.params else ""
        figures = f"{entry.params:,}", f"{entry.macs:,}", field, train
        shown = f"{entry.name} *" if entry.differs else entry.name
        rows.append((shown, f"{entry.file}.yaml", show_shape(entry.input), *figures))
    remark = "* not its paper's network or figures: `cnnspec zoo NAME --format json` says where"
    return "\n".join([*aligned(rows, range(3)), "", remark])
