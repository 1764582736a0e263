"""`cnnspec serve`: the live editor in a browser, or a network that others may ask."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated
from urllib.parse import quote

import typer

from cnnspec import api
from cnnspec.api.terms import BATCH_SIZE, DEVICES, check_device
from cnnspec.cli import common
from cnnspec.cli.render.foreign import visible
from cnnspec.errors import needs_extra
from cnnspec.limits import MAX_THREADS

app = typer.Typer()


@app.command()
def serve(
    path: Annotated[
        str, typer.Argument(metavar="[FILE|DIR]", help="To edit: a spec, or a folder of specs; this one by default.")
    ] = ".",
    predict: Annotated[
        str | None,
        typer.Option(
            metavar="ONNX|RUN", help="To ask: a file that `cnnspec export` wrote, or a run.", show_default=False
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
    no_open: Annotated[bool, typer.Option("--no-open", help="Open no browser for the editor.")] = False,
    device: Annotated[str, typer.Option(metavar="|".join(DEVICES), help="Where to run.")] = "auto",
    batch_size: Annotated[
        int, typer.Option(metavar="N", min=1, help="The most images that run together.")
    ] = BATCH_SIZE,
    max_pixels: common.MaxPixelsOption = None,
    threads: Annotated[
        int | None, typer.Option(metavar="N", min=1, max=MAX_THREADS, help="Of onnxruntime; it decides by default.")
    ] = None,
) -> int:
    """Edit specs in a browser: shapes and fields behind each line as you type, and the network beside the text.

    Files are saved where they are, never over one that has changed meanwhile; bundled networks open as copies.

    With --predict, serve a trained network over HTTP: `POST /v1/predict` with the bytes of an image or a sound, an
    array or JSON, and a page to try it. Needs no torch; a run is exported first, which does. SIGTERM lets what was
    accepted be answered.

    Examples:

      cnnspec serve

      cnnspec serve net.yaml

      cnnspec serve --predict exports/lenet5.onnx

      cnnspec serve --predict exports/lenet5.onnx --host 0.0.0.0 --port 80 --token "$SECRET"

      curl --data-binary @seven.png http://127.0.0.1:8000/v1/predict
    """
    received = (
        _edit(path, host, port, token, opens=not no_open)
        if predict is None
        else _predict(predict, host, port, token, device, batch_size, max_pixels, threads)
    )
    return 0 if received is None else 128 + received


def _edit(path: str, host: str, port: int, token: str | None, *, opens: bool) -> int | None:
    """Serve the editor until a signal comes, and give its number."""
    with needs_extra("web"):
        from cnnspec.web.editing import editing_app
        from cnnspec.web.folder import Folder
        from cnnspec.web.listening import check_address, listen
    check_address(host, token)
    folder = Folder.of(Path(path))
    app = editing_app(folder, token=token)
    page = f"{{address}}/?token={quote(token, safe='')}" if token else "{address}/"
    ready = (
        f"{visible(str(folder.root)).replace('{', '{{').replace('}', '}}')} is edited at {{address}}/; Ctrl+C ends it"
    )
    return listen(app, host, port, ready=ready, opens=page if opens else None)


def _predict(
    predict: str,
    host: str,
    port: int,
    token: str | None,
    device: str,
    batch_size: int,
    max_pixels: int | None,
    threads: int | None,
) -> int | None:
    """Serve a network until a signal comes, and give its number."""
    check_device(device)
    with needs_extra("web"):
        from cnnspec.web.listening import check_address, listen
        from cnnspec.web.predicting import prediction_app
    check_address(host, token)
    with tempfile.TemporaryDirectory(prefix="cnnspec-") as folder:
        if api.find_run(predict) is not None:
            predict = api.export(predict, Path(folder) / "run.onnx").path
        predictor = api.Predictor(
            predict, device=device, batch_size=batch_size, threads=threads, max_pixels=max_pixels, spin=False
        )
    name = predictor.metadata.name
    return listen(prediction_app(predictor, token=token), host, port, ready=f"{name} is served at {{address}}")
