"""`cnnspec inspect`: the layer table, and the arithmetic behind it."""

from __future__ import annotations

import shlex
import shutil
import sys
from dataclasses import replace
from typing import Annotated

import typer

from cnnspec.api import Report
from cnnspec.api.terms import OPTIMIZER_STATE, PRECISIONS
from cnnspec.cli import common
from cnnspec.cli.render.figures import size_text
from cnnspec.cli.render.foreign import visible
from cnnspec.cli.render.report import FORMATS, check_columns, render, render_explanation, render_field
from cnnspec.errors import UsageError

app = typer.Typer()

OPTIMIZERS = tuple(OPTIMIZER_STATE)


@app.command()
def inspect(
    spec: common.SpecArgument,
    form: Annotated[str, common.format_option(FORMATS)] = "table",
    explain: Annotated[
        list[str] | None,
        typer.Option("--explain", metavar="LAYER", help="Print the arithmetic of a layer or a block; may be repeated."),
    ] = None,
    unit: Annotated[
        str | None,
        typer.Option("--field", metavar="LAYER[:C][:ROW,COL]", help="Print the input pixels that one unit reads."),
    ] = None,
    columns: Annotated[
        str | None,
        typer.Option("--columns", metavar="NAME,...", help="Only these columns of the table, CSV, Markdown or LaTeX."),
    ] = None,
    depth: Annotated[
        int | None, typer.Option("--depth", min=1, metavar="N", help="Fold names after N parts, with sums.")
    ] = None,
    batch: Annotated[
        int | None, typer.Option("--batch", metavar="N", min=1, help="The batch size for memory: 1 unless given.")
    ] = None,
    precision: Annotated[
        str, typer.Option("--precision", metavar="|".join(PRECISIONS), help="The activations' precision for memory.")
    ] = "fp32",
    optimizer: Annotated[
        str, typer.Option("--optimizer", metavar="|".join(OPTIMIZERS), help="The optimizer for training memory.")
    ] = "sgd-momentum",
    fits: Annotated[
        str | None, typer.Option("--fits", metavar="SIZE", help="Print only the largest batch that fits: 8GiB.")
    ] = None,
    wanted: common.PurposeOption = "inference",
    input_shape: common.InputOption = None,
    variant: common.VariantOption = None,
    settings: common.SetOption = None,
    max_nodes: common.MaxNodesOption = common.MAX_NODES,
) -> None:
    """Print every layer's output size, receptive field, parameters and cost.

    Examples:

      cnnspec inspect lenet5

      cnnspec inspect lenet5 --explain C3

      cnnspec inspect lenet5 --field S4:2,2

      cnnspec inspect net.yaml --input 3x96x96 --depth 1 --format markdown

      cnnspec inspect net.yaml --format latex --columns layer,output,params,MACs

      cnnspec inspect net.yaml --batch 64 --optimizer adam

      cnnspec inspect net.yaml --fits 8GiB

      cnnspec inspect googlenet --for train
    """
    common.check_choice("--format", form, FORMATS)
    common.check_choice("--precision", precision, tuple(PRECISIONS))
    common.check_choice("--optimizer", optimizer, OPTIMIZERS)
    purpose = common.parse_purpose(wanted)
    asked = {"--explain": explain, "--field": unit, "--fits": fits}
    only = [flag for flag, given in asked.items() if given not in (None, [])]
    if len(only) > 1:
        raise UsageError(f"`{only[0]}` and `{only[1]}` print different things", hint="ask for one at a time")
    if fits is not None and batch is not None:
        raise UsageError("`--fits` finds the batch: leave `--batch` out")
    chosen = [name.strip() for name in columns.split(",") if name.strip()] if columns else []
    if chosen and only:
        raise UsageError(f"`{only[0]}` prints no table", hint="leave `--columns` out")
    check_columns(form, chosen)
    network = common.load_spec(
        spec, variant=variant, settings=settings, input_shape=input_shape, max_nodes=max_nodes, purpose=purpose
    )
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    if explain:
        layers = [network.explain(layer, purpose=purpose) for layer in explain]
        plain = [layer.to_dict() for layer in layers]
        common.print_result(
            form,
            lambda: plain if len(plain) > 1 else plain[0],
            lambda: "\n\n".join(render_explanation(layer, width) for layer in layers),
        )
    elif unit is not None:
        layer, place, channel = common.parse_unit(unit)
        pixels = network.field(layer, place, channel=channel)
        common.print_result(form, pixels.to_dict, lambda: render_field(pixels, network.graph.input_shape))
    elif fits is not None:
        memory = common.parse_bytes(fits)
        inference = network.largest_batch(memory, precision=precision)
        training = None
        if not network.graph.refused:
            training = network.largest_batch(memory, optimizer=optimizer, precision=precision)
        lines = [
            f"{network.name} in {visible(fits)} ({size_text(memory)}), a tenth left for scratch space, {precision}:",
            f"  inference  batch {inference:,}",
            "  training   not at this input, which a layer that only training has refuses"
            if training is None
            else f"  training   batch {training:,}  ({optimizer})",
        ]
        batches = {"memory_bytes": memory, "inference_batch": inference, "training_batch": training}
        common.print_result(form, lambda: batches, lambda: "\n".join(lines))
    else:
        report = network.analyze(purpose=purpose, batch=batch or 1, optimizer=optimizer, precision=precision)
        if form in ("json", "table"):
            report = replace(report, findings=tuple(network.lint(report=report)))
        shown = report.folded(depth) if depth else report
        call = ["cnnspec", "check", spec, *(["--variant", variant] if variant else [])]
        call += [word for setting in settings or [] for word in ("--set", setting)]
        common.print_result(
            form, shown.to_dict, lambda: _text(shown, render(shown, form, width, chosen), form, shlex.join(call))
        )


def _text(report: Report, text: str, form: str, check: str) -> str:
    """The report as `text`, and below a table how many warnings there are, and what prints them."""
    count = len(report.findings)
    if form != "table" or not count:
        return text
    return f"{text}\n{count} warning{'s' * (count > 1)}: `{visible(check)}`"
