"""`cnnspec verify`: whether an ONNX file is the network that it should be."""

from __future__ import annotations

import sys
from typing import Annotated, Final

import typer

from cnnspec import api
from cnnspec.cli import common
from cnnspec.cli.render.foreign import say, visible
from cnnspec.errors import VerificationError

app = typer.Typer()

FORMATS: Final = ("text", "json")


@app.command()
def verify(
    file: Annotated[str, typer.Argument(metavar="FILE", help="An ONNX file.", show_default=False)],
    against: Annotated[
        str | None,
        typer.Option(metavar="RUN|SPEC", help="Compare with this; by default with the spec inside."),
    ] = None,
    weights: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="A SPEC's weights, a file or a run; by default the file's."),
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(
            metavar="DATA", help="Work out the figures on this data set: they have to be what the file tells."
        ),
    ] = None,
    data_dir: Annotated[str | None, typer.Option(metavar="DIR", help="Where downloaded data sets lie.")] = None,
    skip_bad: common.SkipBadOption = False,
    form: Annotated[str, common.format_option(FORMATS, "How to print the checks.")] = "text",
    variant: common.VariantOption = None,
    settings: common.SetOption = None,
    input_shape: common.InputOption = None,
) -> None:
    """Check an ONNX file and print a line per check. The exit code is 4 where one fails.

    Examples:

      cnnspec verify exports/lenet5.onnx

      cnnspec verify exports/lenet5-int8.onnx --against runs/lenet5

      cnnspec verify exports/lenet5-int8.onnx --data mnist
    """
    common.check_choice("--format", form, FORMATS)
    network: api.Spec | api.Run | None = None
    if against is None:
        common.refuse_spec_options("a file without --against", input_shape, variant, settings)
    else:
        common.tell_of_namesake(against)
        network = common.load_subject(against, "a run", variant=variant, settings=settings, input_shape=input_shape)
    result = api.verify(
        file,
        network,
        weights=weights,
        data=data,
        data_dir=data_dir,
        skip_bad=skip_bad,
        report=lambda text: say(text, sys.stderr),
    )
    lines = [
        f"{visible(result.path)}: opset {result.opset}, {result.precision or 'not exported by cnnspec'}",
        *([f"  against  {visible(result.against)}"] if result.against else []),
        *(f"  {visible(str(check))}" for check in result.checks),
    ]
    common.print_result(form, result.to_dict, lambda: "\n".join(lines))
    if not result.passed:
        failed = ", ".join(check.name for check in result.checks if not check.passed)
        raise VerificationError(f"{result.path} failed: {failed}")
