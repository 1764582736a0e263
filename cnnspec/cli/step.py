"""`cnnspec step`: one training step on one image, told in numbers."""

from __future__ import annotations

import sys
from typing import Annotated, Final

import typer

from cnnspec import api
from cnnspec.cli import common
from cnnspec.cli.render.foreign import visible
from cnnspec.cli.render.step import render

app = typer.Typer()

FORMATS: Final = ("text", "json")


@app.command()
def step(
    source: Annotated[
        str, typer.Argument(metavar="SPEC|RUN", help="A spec, with fresh weights; or a run, with its best ones.")
    ],
    image: Annotated[str | None, typer.Option(metavar="FILE", help="An image, of the class `--label`.")] = None,
    label: Annotated[
        str | None, typer.Option(metavar="CLASS", help="What the image shows: the class's name or number.")
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(metavar="DATA", help="Without --image: digits, mnist, a folder, …", show_default="the spec's"),
    ] = None,
    data_dir: Annotated[str | None, typer.Option(metavar="DIR", help="Where downloaded data sets lie.")] = None,
    index: Annotated[int, typer.Option(metavar="N", min=0, help="Which image of the data, or of the class.")] = 0,
    invert: Annotated[bool, typer.Option("--invert", help="For dark digits on white paper.")] = False,
    weights: Annotated[str | None, typer.Option(metavar="FILE|RUN", help="Weights to start from.")] = None,
    seed: Annotated[int | None, typer.Option(metavar="N", min=0, help="Of fresh weights.")] = None,
    loss: Annotated[
        str | None, typer.Option(metavar="cross-entropy|squared-error", help="squared-error is ½Σ(target − output)².")
    ] = None,
    optimizer: Annotated[str | None, typer.Option(metavar="sgd|adam|adamw", help="The update rule.")] = None,
    lr: Annotated[float | None, typer.Option(metavar="RATE", help="The learning rate.")] = None,
    momentum: Annotated[float | None, typer.Option(metavar="M", help="Momentum, for SGD.")] = None,
    nesterov: Annotated[bool | None, typer.Option("--nesterov/--no-nesterov", help="Nesterov's, for SGD.")] = None,
    weight_decay: Annotated[float | None, typer.Option(metavar="D", help="Weight decay.")] = None,
    output: Annotated[
        str | None, typer.Option("--output", "-o", metavar="FILE", help="A page that goes through the step: step.html.")
    ] = None,
    form: Annotated[str, common.format_option(FORMATS)] = "text",
    input_shape: common.InputOption = None,
    variant: common.VariantOption = None,
    settings: common.SetOption = None,
) -> None:
    """Tell one training step: forward, the error, how its gradient goes back, the update, and forward again.

    Options that are not given are those of the run, or of the spec's `train:`. Nothing is written but the page of `-o`,
    which goes through the step forward and back with the arrow keys.

    Examples:

      cnnspec step lenet5 --data digits --label 8

      cnnspec step lenet5 --data digits --label 8 -o step.html

      cnnspec step runs/demo --label 8 --loss squared-error --lr 0.01

      cnnspec step net.yaml --image ship.png --label boat --optimizer adam --format json
    """
    common.check_choice("--format", form, FORMATS)
    options = {
        "data_dir": data_dir, "weights": weights, "seed": seed, "loss": loss, "optimizer": optimizer, "lr": lr,
        "momentum": momentum, "nesterov": nesterov, "weight_decay": weight_decay,
    }  # fmt: skip
    run = api.find_run(source, or_spec=True)
    if run is not None:
        common.refuse_spec_options(f"the run {run}", input_shape, variant, settings)
        subject: api.Run | api.Spec = api.open_run(run)
    else:
        subject = common.load_spec(source, variant=variant, settings=settings, input_shape=input_shape)
    told = api.step(
        subject,
        image=image,
        label=label,
        data=data,
        index=index,
        invert=invert,
        **{name: value for name, value in options.items() if value is not None},
    )
    if output is not None:
        page = api.draw_step(told, output)
        print(f"{visible(str(page))}: {page.stat().st_size:,} bytes", file=sys.stderr)
        return
    common.print_result(form, told.to_dict, lambda: render(told))
