"""`cnnspec bench`: how fast a network runs, beside torch."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Final

import typer

from cnnspec import api
from cnnspec.api.terms import DEVICES, check_device
from cnnspec.cli import common
from cnnspec.cli.render.columns import aligned
from cnnspec.cli.render.foreign import say, visible
from cnnspec.errors import UsageError

if TYPE_CHECKING:
    from cnnspec.api import Bench

app = typer.Typer()

FORMATS: Final = ("table", "json")


def _numbers(flag: str, text: str | None) -> tuple[int, ...]:
    """`1,32,256` as numbers."""
    if text is None:
        return ()
    numbers = common.whole_numbers(text, ",")
    if numbers is None or not 0 < min(numbers) <= max(numbers) < 2**20:
        raise UsageError(f"{flag} wants numbers from 1 on, as `1,32,256`, not `{text:.60}`")
    return numbers


@app.command()
def bench(
    network: Annotated[
        str,
        typer.Argument(metavar="SPEC|RUN|ONNX", help="What to run; a spec gets random weights.", show_default=False),
    ],
    batches: Annotated[str, typer.Option(metavar="N,...", help="Batch sizes.")] = "1,32,256",
    threads: Annotated[
        str | None, typer.Option(metavar="N,...", help="Thread counts; 1, 2, 4, … up to the cores by default.")
    ] = None,
    seconds: Annotated[float, typer.Option(metavar="X", min=0.01, help="For each combination.")] = 1.0,
    device: Annotated[str, typer.Option(metavar="|".join(DEVICES), help="Where to run.")] = "auto",
    no_torch: Annotated[bool, typer.Option("--no-torch", help="Do not time torch beside it.")] = False,
    form: Annotated[str, common.format_option(FORMATS)] = "table",
    variant: common.VariantOption = None,
    settings: common.SetOption = None,
    input_shape: common.InputOption = None,
) -> None:
    """Time a network in onnxruntime: latency and images per second at several batch sizes and thread counts.

    Examples:

      cnnspec bench lenet5

      cnnspec bench exports/resnet50.onnx --batches 1,8 --threads 2 --format json
    """
    common.check_choice("--format", form, FORMATS)
    check_device(device)
    what = "a run or an ONNX file"
    subject: api.Spec | api.Run | str = network
    if network.endswith(".onnx"):
        common.refuse_spec_options(what, input_shape, variant, settings)
    else:
        subject = common.load_subject(network, what, variant=variant, settings=settings, input_shape=input_shape)
    result = api.bench(
        subject,
        batches=_numbers("--batches", batches),
        threads=_numbers("--threads", threads),
        seconds=seconds,
        device=device,
        torch=not no_torch,
        report=lambda text: say(text, sys.stderr) if sys.stderr.isatty() else None,
    )
    common.print_result(form, result.to_dict, lambda: _table(result))


def _table(result: Bench) -> str:
    lines = [
        f"{visible(result.name)} on {result.provider}, weights {visible(result.weights)}",
        f"session made in {result.create_ms:.1f} ms, first run in {result.first_ms:.1f} ms",
    ]
    if result.nodes and {*result.nodes} != {"cpu"}:
        lines.append("nodes: " + ", ".join(f"{count:,} on {name}" for name, count in result.nodes.items()))
    if result.macs:
        lines.append(f"{result.macs:,} MACs per {result.inputs.removesuffix('s')}; GFLOP/s count 2 operations per MAC")
    rows = [["engine", "batch", "threads", "p50 ms", "p95 ms", "p99 ms", f"{result.inputs}/s", "GFLOP/s"]]
    for row in result.timings:
        times = (f"{time:.3f}" for time in (row.p50, row.p95, row.p99))
        rates = f"{row.images_per_second:,.0f}", f"{row.gflops:.1f}" if row.gflops else ""
        rows.append([row.engine, str(row.batch), str(row.threads), *times, *rates])
    return "\n".join([*lines, *aligned(rows, (0,))])
