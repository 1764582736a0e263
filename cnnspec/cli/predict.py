"""`cnnspec predict`: what an exported network says of images."""

from __future__ import annotations

import os
import sys
from typing import Annotated, Any

import typer

from cnnspec import api
from cnnspec.api import terms
from cnnspec.api.terms import BATCH_SIZE, DEVICES, MASK_SIZES, check_device
from cnnspec.cli import common, report
from cnnspec.cli.render.counting import counted
from cnnspec.cli.render.foreign import say, visible
from cnnspec.cli.render.predictions import FORMATS, lines
from cnnspec.errors import CnnspecError, UsageError
from cnnspec.limits import MAX_THREADS

app = typer.Typer()


@app.command()
def predict(
    context: typer.Context,
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help="A file that `cnnspec export` wrote; with `--weights` a SPEC.")
    ],
    images: Annotated[
        list[str],
        typer.Argument(
            metavar="IMAGE|DIR|GLOB|-",
            help="Images, sounds, arrays (.npy, .npz), folders, patterns; `-` reads one file from stdin.",
        ),
    ],
    form: Annotated[str, common.format_option(FORMATS, "How to print; json is one line per image.")] = "table",
    top: Annotated[int, typer.Option(metavar="N", min=1, help="How many classes to print.")] = 3,
    invert: Annotated[bool, typer.Option("--invert", help="For dark digits on white paper.")] = False,
    why: Annotated[
        bool, typer.Option("--why", help="Draw where in each image the answer comes from, into the file of -o.")
    ] = False,
    output: Annotated[
        str | None, typer.Option("--output", "-o", metavar="FILE", help="Where `--why` draws: FILE.png.")
    ] = None,
    weights: Annotated[
        str | None,
        typer.Option(metavar="WEIGHTS", help="Of a SPEC: `torchvision:IMAGENET1K_V2`, `timm:NAME`, a file, or a run."),
    ] = None,
    device: Annotated[str, typer.Option(metavar="|".join(DEVICES), help="Where to run.")] = "auto",
    allow_fallback: Annotated[
        bool, typer.Option("--allow-fallback", help="Take another device where the one asked for is not to be had.")
    ] = False,
    batch_size: Annotated[int, typer.Option(metavar="N", min=1, help="Images at a time.")] = BATCH_SIZE,
    max_pixels: common.MaxPixelsOption = None,
    masks: Annotated[
        str | None, typer.Option(metavar="DIR", help="Segmentation: write each image's mask there, as a PNG.")
    ] = None,
    overlays: Annotated[
        str | None, typer.Option(metavar="DIR", help="Segmentation: write each image there with its mask over it.")
    ] = None,
    mask_size: Annotated[
        str, typer.Option(metavar="|".join(MASK_SIZES), help="How large these pictures are: as the image, or its mask.")
    ] = "photo",
    threads: Annotated[
        int | None, typer.Option(metavar="N", min=1, max=MAX_THREADS, help="Of onnxruntime; it decides by default.")
    ] = None,
) -> None:
    """Print the most probable classes of each image, its labels, its numbers, or the shares of its mask.

    Needs onnxruntime, and no torch but for `--weights`.

    Examples:

      cnnspec predict exports/lenet5.onnx seven.png

      cnnspec predict exports/lenet5.onnx scans/ --invert --format csv > digits.csv

      cnnspec predict exports/unet.onnx cells/ --masks masks --overlays overlays

      cnnspec predict exports/lenet5.onnx seven.png --why -o why.png

      cnnspec predict resnet50 photo.jpg --weights torchvision:IMAGENET1K_V2
    """
    common.check_choice("--format", form, FORMATS)
    common.check_choice("--mask-size", mask_size, MASK_SIZES)
    if why != (output is not None):
        raise UsageError("`--why` and `-o FILE.png` go together", hint="`--why -o why.png`")
    if why and "-" in images:
        raise UsageError("`--why` reads each image twice, and stdin gives it once", hint="write it to a file first")
    check_device(device)
    if weights is None:  # a process of one thread can fork, and numpy, when it is imported, starts some for matrices
        os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from cnnspec.api.terms import expand, inputs_word

    # What names nothing is told before the model is loaded, and what others are to read begun before it has threads.
    readers = context.with_resource(terms.Readers(expand(images), 1 if weights else threads))
    options: dict[str, Any] = {
        "device": device, "allow_fallback": allow_fallback, "threads": threads, "batch_size": batch_size,
        "invert": invert, "max_pixels": max_pixels,
    }  # fmt: skip
    if weights is None and not os.path.exists(model) and terms.is_bundled(model):
        raise UsageError(
            f"{model} is a bundled network, and has no weights",
            hint="`--weights torchvision:DEFAULT`, a file or a run gives it some; or export a run, and name the file",
        )
    if weights is None:
        predictor = api.Predictor(model, spin=not readers, **options)
    else:
        common.tell_of_weights(weights)
        predictor = api.ready(common.load_spec(model), weights, report=lambda text: say(text, sys.stderr), **options)
    if device != "cpu":
        print(f"running on {predictor.provider}", file=sys.stderr)
    if why and predictor.answers.task != "classification":
        raise UsageError(f"--why is of classes of images, and {model} is for {predictor.answers.task}")
    failed: list[CnnspecError] = []

    def note(error: CnnspecError) -> None:
        report(error)
        failed.append(error)

    inputs = inputs_word(predictor.metadata.input_shape)
    predictions = predictor.stream(readers.ahead(predictor), on_error=note)
    if masks is not None or overlays is not None:
        predictions = terms.with_pictures(predictor, predictions, masks=masks, overlays=overlays, size=mask_size)
    if not sys.stdout.isatty():  # on a terminal the lines themselves show how far it is
        predictions = counted(predictions, inputs, sys.stderr)
    told = lines(
        predictions, form, min(top, len(predictor.classes) or top), columns=predictor.columns,
        what=inputs.removesuffix("s"), ahead=predictor.batch_size,
    )  # fmt: skip
    for line in told:
        say(line)
    if output is not None:
        path = api.draw_why(
            predictor, tuple(images), output, classes=min(top, 2, len(predictor.classes)),
            on_error=lambda error: None,  # which has been told above
            report=lambda text: say(text, sys.stderr),
        )  # fmt: skip
        print(visible(str(path)), file=sys.stderr)
    if failed:
        raise typer.Exit(max(error.exit_code for error in failed))
