"""What several verbs share: their arguments, and reading the spec that they name."""

from __future__ import annotations

import codecs
import re
import sys
from collections.abc import Callable, Sequence
from typing import Annotated, Any, Final

import typer

from cnnspec import api
from cnnspec.api import terms
from cnnspec.api.terms import MAX_NODES, PURPOSES, Purpose, Shape, show_shape
from cnnspec.cli.render.foreign import json_text, say
from cnnspec.errors import SpecError, UsageError
from cnnspec.hints import channels_first, did_you_mean

__all__ = [
    "MAX_NODES",
    "InputOption",
    "MaxNodesOption",
    "MaxPixelsOption",
    "PurposeOption",
    "SetOption",
    "SkipBadOption",
    "SpecArgument",
    "VariantOption",
    "check_choice",
    "format_option",
    "load_spec",
    "load_subject",
    "parse_bytes",
    "parse_purpose",
    "parse_shape",
    "parse_unit",
    "print_result",
    "refuse_spec_options",
    "split_mark",
    "tell_of_code",
    "tell_of_namesake",
    "tell_of_weights",
]

SpecArgument = Annotated[
    str,
    typer.Argument(metavar="SPEC", help="A path, a bundled name, `-`, or a SOURCE of `import`.", show_default=False),
]
VariantOption = Annotated[str | None, typer.Option("--variant", metavar="NAME", help="A variant that the spec names.")]
SetOption = Annotated[
    list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="Set a parameter of the spec.")
]
InputOption = Annotated[str | None, typer.Option("--input", metavar="CxHxW", help="Another input shape: 1x32x32.")]
PurposeOption = Annotated[
    str,
    typer.Option("--for", metavar="|".join(PURPOSES), help="With what only training has, as auxiliary heads, or not."),
]
MaxNodesOption = Annotated[
    int, typer.Option("--max-nodes", metavar="N", min=1, help="The most nodes a network may have.")
]
SkipBadOption = Annotated[
    bool, typer.Option("--skip-bad", help="Leave out images that cannot be read, as a run does that was so trained.")
]

MaxPixelsOption = Annotated[
    int | None,
    typer.Option(
        "--max-pixels", metavar="N", min=1, help="The most pixels of an image file that is decoded: 89 million.",
        show_default=False,
    ),
]  # fmt: skip


def format_option(formats: Sequence[str], help: str = "How to print it.") -> Any:
    """The option `--format` of a verb that prints its result in one of these."""
    return typer.Option("--format", metavar="|".join(formats), help=help)


def print_result(form: str, document: Callable[[], object], text: Callable[[], str]) -> None:
    """Print what a verb has worked out: as one JSON document where `form` is json, else as it is worded."""
    if form == "json":
        print(json_text(document(), indent=1))
    else:
        say(text())


def check_choice(flag: str, value: str, choices: Sequence[str]) -> None:
    """Raise UsageError unless `value` is one of `choices`."""
    if value not in choices:
        label = did_you_mean(value, choices)
        raise UsageError(f"`{flag} {value}` is not known", hint=label or f"there are: {', '.join(choices)}")


def parse_purpose(text: str) -> Purpose:
    """`--for inference` or `--for train`. Raises UsageError."""
    for purpose in PURPOSES:
        if text == purpose:
            return purpose
    hint = did_you_mean(text, PURPOSES) or f"there are: {', '.join(PURPOSES)}"
    raise UsageError(f"`--for {text:.60}` is not known", hint=hint)


def whole_numbers(text: str, separator: str = "x") -> tuple[int, ...] | None:
    """`3x224x224` as numbers from 0 to 2³¹ - 1, or None where it is something else, however long."""
    parts = [part.strip() for part in text.lower().replace("×", "x").split(separator)]
    if not all(part.isascii() and part.isdigit() and len(part) <= 10 for part in parts):
        return None
    numbers = tuple(int(part) for part in parts)
    return numbers if max(numbers) < 2**31 else None


def parse_shape(text: str) -> Shape:
    """`3x224x224` as a shape. Raises UsageError."""
    shape = whole_numbers(text)
    if shape is None or len(shape) > 4 or min(shape) < 1:
        raise UsageError(f"`{text:.60}` is no input shape", hint="write channels and axes: `--input 3x224x224`")
    return shape


def parse_unit(text: str) -> tuple[str, tuple[int, ...] | None, int | None]:
    """`S4:2,2` as a layer and a unit, `S4:7:2,2` with a channel between; without `:`, no unit. Raises UsageError."""
    layer, *numbers = text.split(":")
    if not numbers:
        return layer, None, None
    unit = whole_numbers(numbers[-1], ",")
    channel = whole_numbers(numbers[0], ",") if len(numbers) == 2 else None
    if unit is None or len(numbers) > 2 or (len(numbers) == 2 and (channel is None or len(channel) != 1)):
        raise UsageError(
            f"`{text:.60}` names no unit",
            hint="write the layer, a row and a column: `--field S4:2,2`, or a channel before them: `--field S4:7:2,2`",
        )
    return layer, unit, channel[0] if channel else None


_BYTES: Final = {"b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12} | {
    f"{letter}{rest}": 2 ** (10 * power)
    for power, letter in enumerate("kmgt", 1)
    for rest in ("ib", "")  # a letter alone is binary, as to ls and dd
}


def parse_bytes(text: str) -> int:
    """`8GiB`, `8G`, `500 MB` as bytes. Raises UsageError."""
    match = re.fullmatch(r"\s*(\d{1,15}(?:\.\d{1,15})?)\s*([a-zA-Z]+)\s*", text)
    if not match or match[2].lower() not in _BYTES:
        raise UsageError(f"`{text:.60}` is no size of memory", hint="write a number and a unit: 8GiB, 500MB")
    return int(float(match[1]) * _BYTES[match[2].lower()])


def refuse_spec_options(what: str, *options: object) -> None:
    """Raise UsageError where --input, --variant or --set is given to `what`, which has no use for them."""
    if any(options):
        raise UsageError(f"{what} has its network already", hint="--input, --variant and --set are for specs")


def load_subject(
    name: str,
    what: str,
    *,
    variant: str | None,
    settings: list[str] | None,
    input_shape: str | None,
    max_nodes: int = MAX_NODES,
) -> api.Spec | api.Run:
    """The run or the spec that a verb which takes either is given; `what` has its network already, as a run has."""
    run = api.find_run(name, or_spec=True)
    if run is not None:
        refuse_spec_options(what, input_shape, variant, settings)
        return api.open_run(run)
    return load_spec(name, variant=variant, settings=settings, input_shape=input_shape, max_nodes=max_nodes)


def tell_of_namesake(name: str) -> None:
    """Where a bundled network and a run have the same name, say that it is the network: the weights are others."""
    run = api.find_run(name)
    if run is not None and api.find_run(name, or_spec=True) is None:
        say(f"{name} is the bundled network; the run of this name is {run}", sys.stderr)


def tell_of_code(spec: str) -> None:
    """Where reading a SOURCE runs code of others, say so first. Raises UsageError where it is not well written."""
    source = terms.parse_source(spec)
    if source is not None and source.warning:
        say(f"{spec}: {source.warning}", sys.stderr)


def tell_of_weights(weights: str) -> None:
    """Where reading weights runs code of others, say so first. Raises as `tell_of_code`."""
    if warning := terms.runs_code(weights):
        say(f"{weights}: {warning}", sys.stderr)


def split_mark(data: bytes) -> tuple[bytes, str]:
    """The byte order mark of a spec, which it keeps when it is rewritten, and its text.

    Bytes that are no UTF-8 become what no spec may have, so that whoever reads the text refuses it.
    """
    mark = codecs.BOM_UTF8 if data.startswith(codecs.BOM_UTF8) else b""
    return mark, data[len(mark) :].decode("utf-8", "surrogateescape")


def load_spec(
    spec: str,
    *,
    variant: str | None = None,
    settings: list[str] | None = None,
    input_shape: str | None = None,
    max_nodes: int = MAX_NODES,
    purpose: Purpose = "inference",
) -> api.Spec:
    """The spec that the arguments of a verb name, for a purpose.

    Raises UsageError for an input with other channels than it takes.
    """
    tell_of_code(spec)
    shape = parse_shape(input_shape) if input_shape else None
    params = dict(terms.parse_setting(text) for text in settings or [])
    try:
        return api.load(spec, variant=variant, params=params, input_shape=shape, max_nodes=max_nodes, purpose=purpose)
    except SpecError as error:
        first = error.diagnostics[0]
        meant = channels_first(shape) if shape else None
        if shape is None or not (first.code == "E206" or (meant and first.code.startswith("E2"))):
            raise
        hint = f"channels come first: `--input {show_shape(meant)}`" if meant else None
        raise UsageError(f"`--input {input_shape}`: {first.message}", hint=hint) from None
