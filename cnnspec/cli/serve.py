"""`cnnspec serve`: a network that others may ask."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated

import typer

from cnnspec import api
from cnnspec.api.terms import BATCH_SIZE, DEVICES, check_device
from cnnspec.cli import common
from cnnspec.errors import UsageError, needs_extra
from cnnspec.limits import MAX_THREADS

app = typer.Typer()


@app.command()
def serve(
    predict: Annotated[
        str | None,
        typer.Option(
            metavar="ONNX|RUN", help="The network: a file that `cnnspec export` wrote, or a run.", show_default=False
        ),
    ] = None,
    port: Annotated[
        int, typer.Option(metavar="PORT", min=0, max=65535, help="Where to listen; 0 is any free one.")
    ] = 8000,
    host: Annotated[
        str, typer.Option(metavar="HOST", help="On which address; others than loopback want --token.")
    ] = "127.0.0.1",
    token: Annotated[
        str | None,
        typer.Option(
            metavar="SECRET", help="What every request has to bear.", envvar="CNNSPEC_TOKEN", show_default=False
        ),
    ] = None,
    device: Annotated[str, typer.Option(metavar="|".join(DEVICES), help="Where to run.")] = "auto",
    batch_size: Annotated[
        int, typer.Option(metavar="N", min=1, help="The most images that run together.")
    ] = BATCH_SIZE,
    max_pixels: common.MaxPixelsOption = None,
    threads: Annotated[
        int | None, typer.Option(metavar="N", min=1, max=MAX_THREADS, help="Of onnxruntime; it decides by default.")
    ] = None,
) -> int:
    """Serve a network over HTTP: `POST /v1/predict` with the bytes of an image, and a page to try it. Needs no torch.

    A run is exported first, which needs torch. SIGTERM lets what was accepted be answered.

    Examples:

      cnnspec serve --predict exports/lenet5.onnx

      cnnspec serve --predict exports/lenet5.onnx --host 0.0.0.0 --port 80 --token "$SECRET"

      curl --data-binary @seven.png http://127.0.0.1:8000/v1/predict
    """
    if predict is None:
        raise UsageError("what is to be served?", hint="`cnnspec serve --predict exports/lenet5.onnx`, or a run")
    check_device(device)
    with needs_extra("web"):
        from cnnspec.web.listening import check_address, listen
        from cnnspec.web.predicting import prediction_app
    check_address(host, token)
    with tempfile.TemporaryDirectory(prefix="cnnspec-") as folder:
        if api.find_run(predict) is not None:
            predict = api.export(predict, Path(folder) / "run.onnx").path
        predictor = api.Predictor(predict, device=device, batch_size=batch_size, threads=threads, max_pixels=max_pixels)
    name = predictor.metadata.name
    received = listen(prediction_app(predictor, token=token), host, port, ready=f"{name} is served at {{address}}")
    return 0 if received is None else 128 + received
