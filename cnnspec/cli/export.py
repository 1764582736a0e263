"""`cnnspec export`: a network as one ONNX file, proved equal or refused."""

from __future__ import annotations

import sys
from typing import Annotated, Final

import typer

from cnnspec import api
from cnnspec.api.terms import show_shape
from cnnspec.cli import common
from cnnspec.cli.render.foreign import say, visible
from cnnspec.errors import UsageError

app = typer.Typer()

FORMATS: Final = ("text", "json")


def _fixed(flag: str, value: str) -> int | None:
    """`dynamic` as None, else a number."""
    if value == "dynamic":
        return None
    number = common.whole_numbers(value)
    if number is None or len(number) > 1 or number[0] < 1:
        raise UsageError(f"{flag} is `dynamic` or a number, not `{value:.60}`")
    return number[0]


@app.command()
def export(
    network: Annotated[
        str,
        typer.Argument(
            metavar="RUN|SPEC", help="A run by its folder or name, a path or a bundled name.", show_default=False
        ),
    ],
    output: Annotated[
        str | None, typer.Option("--output", "-o", metavar="FILE", help="Where to write; exports/NAME.onnx by default.")
    ] = None,
    weights: Annotated[
        str | None,
        typer.Option(
            metavar="WEIGHTS", help="A spec's: a file, a run, `torchvision:IMAGENET1K_V2`. Random without it."
        ),
    ] = None,
    opset: Annotated[int | None, typer.Option(metavar="N", help="The ONNX opset, 13 to 23; 18 by default.")] = None,
    batch: Annotated[str, typer.Option(metavar="dynamic|N", help="The batch size that the file takes.")] = "dynamic",
    size: Annotated[
        str, typer.Option(metavar="fixed|dynamic", help="Whether images may be of another size than the spec's.")
    ] = "fixed",
    precision: Annotated[str, typer.Option(metavar="fp32|fp16|int8", help="What it computes in.")] = "fp32",
    calibrate: Annotated[
        str | None, typer.Option(metavar="DATA", help="int8: the data to calibrate with; a run's own by default.")
    ] = None,
    data_dir: Annotated[str | None, typer.Option(metavar="DIR", help="Where downloaded data sets lie.")] = None,
    skip_bad: common.SkipBadOption = False,
    max_drop: Annotated[
        float, typer.Option(metavar="X", min=0, help="int8: the points of its figure that may be lost, as accuracy.")
    ] = 1.0,
    preprocess: Annotated[
        bool, typer.Option("--preprocess", help="Take bytes (N, H, W, C) and normalise them inside the graph.")
    ] = False,
    softmax: Annotated[bool, typer.Option("--softmax", help="Give probabilities.")] = False,
    outputs: Annotated[
        str | None, typer.Option(metavar="NAME,...", help="Give the results of these layers instead.")
    ] = None,
    fold: Annotated[
        bool | None,
        typer.Option("--fold/--no-fold", help="Fold batch norms into the layers before them.", show_default=False),
    ] = None,
    no_verify: Annotated[
        bool, typer.Option("--no-verify", help="Do not compare with torch. The file says so.")
    ] = False,
    seed: Annotated[int, typer.Option(metavar="N", min=0, help="Of a spec's random weights.")] = 0,
    form: Annotated[str, common.format_option(FORMATS, "How to print the result.")] = "text",
    input_shape: common.InputOption = None,
    variant: common.VariantOption = None,
    settings: common.SetOption = None,
    max_nodes: common.MaxNodesOption = common.MAX_NODES,
) -> None:
    """Write a network as one ONNX file. It is compared with torch first: if they differ, nothing is written.

    Examples:

      cnnspec export runs/lenet5 -o exports/lenet5.onnx

      cnnspec export resnet50 --weights torchvision:IMAGENET1K_V2 --size dynamic

      cnnspec export runs/lenet5 --precision int8
    """
    common.check_choice("--format", form, FORMATS)
    common.check_choice("--size", size, ("fixed", "dynamic"))
    common.check_choice("--precision", precision, api.PRECISIONS)
    common.tell_of_namesake(network)
    if weights is not None:
        common.tell_of_weights(weights)
    subject = common.load_subject(
        network, "a run", variant=variant, settings=settings, input_shape=input_shape, max_nodes=max_nodes
    )
    result = api.export(
        subject,
        output,
        weights=weights,
        seed=seed,
        report=lambda text: say(text, sys.stderr),
        opset=opset,
        batch=_fixed("--batch", batch),
        dynamic_size=size == "dynamic",
        precision=precision,
        calibrate=calibrate,
        data_dir=data_dir,
        skip_bad=skip_bad,
        max_drop=max_drop / 100,
        preprocess=preprocess,
        softmax=softmax,
        outputs=tuple(name.strip() for name in outputs.split(",")) if outputs else (),
        fold=fold,
        verify=not no_verify,
    )
    common.print_result(form, result.to_dict, lambda: _text(result))


def _text(result: api.ExportResult) -> str:
    shape, kind = result.input
    batch = result.batch or "N"
    shown = show_shape(shape) if not result.dynamic_size else f"{show_shape(shape)} or another size"
    gives = ", ".join(f"{name} {batch}x{show_shape(shape)}" for name, shape in result.outputs.items())
    lines = [
        f"{result.path}: {result.bytes:,} bytes, opset {result.opset}, {result.nodes} nodes, {result.precision}",
        f"  weights  {result.weights}",
        f"  input    {batch}x{shown} {kind}",
        f"  output   {gives}",
        *(f"  {check}" for check in result.checks),
    ]
    if not result.verified:
        lines.append("  NOT compared with torch (--no-verify)")
    times = f"lowered, checked and written in {result.seconds:.2f} s"
    lines.append(f"  {times}, compared in {result.verify_seconds:.2f} s" if result.verified else f"  {times}")
    return "\n".join(map(visible, lines))
