"""`cnnspec calc`: the size arithmetic of a layer, or of a few in a row, forwards and backwards."""

from __future__ import annotations

from typing import Annotated, Any, Final

import typer

from cnnspec import api
from cnnspec.api import Layer
from cnnspec.api.terms import find_operator
from cnnspec.cli import common
from cnnspec.cli.render.calc import render_calculation
from cnnspec.errors import UsageError
from cnnspec.hints import did_you_mean

app = typer.Typer()

FORMATS: Final = ("text", "json")
FLAGS: Final = (
    "--input", "--output", "--kernel-size", "--stride", "--padding", "--dilation", "--output-padding", "--ceil-mode",
    "--in-channels", "--out-channels", "--groups", "--in-features", "--out-features", "--no-bias", "--format",
)  # fmt: skip
COUNTS: Final = ("--in-channels", "--out-channels", "--groups", "--in-features", "--out-features")
SWITCHES: Final = {"--ceil-mode": ("ceil_mode", True), "--no-bias": ("bias", False)}


# Options that come after the operator belong to it, and there may be several operators: they are read here by hand.
@app.command(context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
def calc(
    context: typer.Context,
    words: Annotated[
        list[str] | None, typer.Argument(metavar="OPERATOR [FLAGS] [then OPERATOR [FLAGS]]...", show_default=False)
    ] = None,
    form: Annotated[str, common.format_option(FORMATS)] = "text",
) -> None:
    """Work out a layer's output size, or the number that is missing for a wanted one.

    Operators: conv, conv_transpose, max_pool, avg_pool and lp_pool, each as 1d, 2d and 3d; and linear.

    Flags of an operator: --input --kernel-size --stride --padding (a number, same or valid) --dilation
    --output-padding --ceil-mode --output. Sizes are one number, or one per axis: 32x48. Parameters are counted with
    --in-channels --out-channels --groups --no-bias, and of linear with --in-features --out-features.

    Leave out input, kernel size, stride, padding or dilation and give the output: it is solved for, with all solutions.

    Examples:

      cnnspec calc conv2d --input 32 --kernel-size 5 --padding 2

      cnnspec calc conv2d --input 224 --kernel-size 7 --stride 2 --output 112

      cnnspec calc conv2d --input 32 --kernel-size 5 then max_pool2d --kernel-size 2

      cnnspec calc conv2d --input 32 --kernel-size 3 --in-channels 64 --out-channels 128
    """
    if not words or "--help" in words or "-h" in words:
        print(context.get_help())
        raise typer.Exit(0 if words else 2)
    layers = []
    while words:
        end = words.index("then") if "then" in words else len(words)
        layer, chosen = _layer(words[:end])
        layers.append(layer)
        form = chosen or form
        if end == len(words) - 1:
            raise UsageError("there is no operator after `then`")
        words = words[end + 1 :]
    common.check_choice("--format", form, FORMATS)
    calculation = api.calculate(layers)
    common.print_result(form, calculation.to_dict, lambda: render_calculation(calculation))


def _layer(words: list[str]) -> tuple[Layer, str | None]:
    """One operator and its flags, and a format where one is among them. Raises UsageError."""
    if not words:
        raise UsageError("there is no operator before `then`")
    if words[0].startswith("-"):
        raise UsageError(f"`{words[0]:.60}` stands where an operator is wanted", hint="cnnspec calc conv2d --input 32")
    op, rest = find_operator(words[0]), words[1:]
    arguments: dict[str, Any] = {}
    form = None
    while rest:
        flag, equals, value = rest.pop(0).partition("=")
        if flag not in FLAGS:
            what = "flag" if flag.startswith("-") else "word"
            hint = did_you_mean(flag, FLAGS) or f"the flags are: {', '.join(FLAGS)}"
            raise UsageError(f"`calc` knows no {what} `{flag:.60}`", hint=hint)
        name, switched = SWITCHES.get(flag, (flag[2:].replace("-", "_"), None))
        if name in arguments:
            raise UsageError(f"`{flag}` is given twice")
        if switched is not None and not equals:
            arguments[name] = switched
            continue
        if not equals:
            if not rest:
                raise UsageError(f"`{flag}` wants a value")
            value = rest.pop(0)
        if flag == "--format":
            form = value
        else:
            arguments[name] = _value(flag, value)
    size, output = arguments.pop("input", None), arguments.pop("output", None)
    return Layer(op, arguments, size, output), form


def _value(flag: str, text: str) -> Any:
    if flag == "--padding" and text in ("same", "valid"):
        return text
    numbers = common.whole_numbers(text)
    if flag in SWITCHES or numbers is None:
        wanted = "takes no value" if flag in SWITCHES else "wants whole numbers: 32, or 32x48"
        raise UsageError(f"`{flag} {text:.60}`: it {wanted}")
    if flag in COUNTS:
        if len(numbers) > 1 or not numbers[0]:
            raise UsageError(f"`{flag} {text:.60}`: it wants a whole number of at least 1")
        return numbers[0]
    return numbers
