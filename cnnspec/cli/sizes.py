"""`cnnspec sizes`: which inputs a network takes, and what size they give."""

from __future__ import annotations

from typing import Annotated, Final

import typer

from cnnspec import api
from cnnspec.api.terms import parse_setting
from cnnspec.cli import common
from cnnspec.cli.render.sizes import render_sizes
from cnnspec.errors import UsageError

app = typer.Typer()

FORMATS: Final = ("table", "json")
MOST: Final = 100_000  # sizes of one range


@app.command()
def sizes(
    spec: common.SpecArgument,
    output: Annotated[
        str | None, typer.Option("--output", metavar="SIZE", help="The inputs that give this size: 7, or 7x10.")
    ] = None,
    layer: Annotated[
        str | None, typer.Option("--layer", metavar="NAME", help="Whose size; by default that of the last feature map.")
    ] = None,
    span: Annotated[
        str | None, typer.Option("--range", metavar="LOW:HIGH", help="The input sizes to list.", show_default=False)
    ] = None,
    form: Annotated[str, common.format_option(FORMATS)] = "table",
    wanted: common.PurposeOption = "inference",
    input_shape: common.InputOption = None,
    variant: common.VariantOption = None,
    settings: common.SetOption = None,
    max_nodes: common.MaxNodesOption = common.MAX_NODES,
) -> None:
    """Print the smallest input, the sizes that lose no border pixel, and the output for each size.

    Each axis is varied on its own, the others as declared. A size is valid if the spec is valid with it.

    Examples:

      cnnspec sizes resnet50

      cnnspec sizes resnet50 --output 10

      cnnspec sizes net.yaml --range 64:128 --format json
    """
    common.check_choice("--format", form, FORMATS)
    purpose = common.parse_purpose(wanted)
    common.tell_of_code(spec)
    result = api.sizes(
        spec,
        variant=variant,
        params=dict(parse_setting(text) for text in settings or []),
        input_shape=common.parse_shape(input_shape) if input_shape else None,
        max_nodes=max_nodes,
        layer=layer,
        output=_numbers("--output", output, "x", "7, or 7x10") if output else None,
        span=_span(span) if span else None,
        purpose=purpose,
    )
    table = output is None or span is not None
    common.print_result(form, result.to_dict, lambda: render_sizes(result, table=table))


def _numbers(flag: str, text: str, separator: str, example: str) -> tuple[int, ...]:
    numbers = common.whole_numbers(text, separator)
    if numbers is None or not 0 < min(numbers) <= max(numbers) < 10**7:
        raise UsageError(f"`{flag} {text:.60}` is no size", hint=f"write {example}")
    return numbers


def _span(text: str) -> tuple[int, int]:
    ends = _numbers("--range", text, ":", "64:128")
    if len(ends) != 2 or ends[0] > ends[1]:
        raise UsageError(f"`--range {text:.60}` is no range", hint="write the smallest and the largest: 64:128")
    if ends[1] - ends[0] >= MOST:
        raise UsageError(f"`--range {text}` has more than {MOST:,} sizes")
    return ends[0], ends[1]
