"""A network served: images in, classes out. Needs onnxruntime, and no torch."""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from cnnspec.diagnostics import visible
from cnnspec.errors import CnnspecError
from cnnspec.version import __version__
from cnnspec.web.batcher import Batcher, Crowded
from cnnspec.web.guard import Guard, problem
from cnnspec.web.openapi import description

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cnnspec.api import Predictor

__all__ = ["Limits", "prediction_app"]

POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src blob: data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


@dataclass(frozen=True)
class Limits:
    """What a request may ask for."""

    body: int = 32 * 2**20  # bytes
    images: int = 256  # in one request
    waiting: int = 1024  # images of all requests
    seconds: float = 30.0  # in which a body has to arrive


class _Refused(Exception):
    """A request that cannot be answered, and what it is told."""

    def __init__(self, status: int, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.status, self.message, self.hint = status, message, hint


class _Service:
    """The handlers, and what they share."""

    def __init__(self, predictor: Predictor, limits: Limits) -> None:
        self.predictor, self.limits = predictor, limits
        self.classes = predictor.classes  # raises for a network that gives none
        self.batcher = Batcher(predictor, limits.waiting)

    @asynccontextmanager
    async def running(self, app: Starlette) -> AsyncIterator[None]:
        work = asyncio.create_task(self.batcher.run())
        try:
            yield
        finally:
            work.cancel()

    async def predict(self, request: Request) -> Response:
        """`POST /v1/predict`: one image as the body, or several in JSON."""
        try:
            top = _whole(request.query_params.get("top"), "top", 5)
            invert = request.query_params.get("invert", "false").lower() in ("1", "true")
            kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
            body = await self._body(request)
            if kind != "application/json":
                (answer,) = await self._answers([body], top, invert)
                return JSONResponse(answer, 422 if "error" in answer else 200)
            images, top, invert = self._listed(body, top, invert)
            return JSONResponse({"results": await self._answers(images, top, invert)})
        except _Refused as refused:
            return problem(refused.status, refused.message, refused.hint)
        except Crowded:
            return problem(503, "too many images wait", "try again in a second", **{"Retry-After": "1"})
        except CnnspecError as error:
            return problem(500, visible(error.message), error.hint)
        except ClientDisconnect:
            return Response(status_code=499)

    async def _body(self, request: Request) -> bytes:
        """The whole body. Raises _Refused for a long or slow one."""
        limit = self.limits.body
        declared = request.headers.get("content-length", "0")
        if declared.isascii() and declared.isdigit() and int(declared[:20]) > limit:
            raise _Refused(413, f"a request has at most {limit:,} bytes")
        body = bytearray()
        try:
            async with asyncio.timeout(self.limits.seconds):
                async for part in request.stream():
                    body += part
                    if len(body) > limit:
                        raise _Refused(413, f"a request has at most {limit:,} bytes")
        except TimeoutError:
            raise _Refused(408, f"the request did not arrive within {self.limits.seconds:g} seconds") from None
        if not body:
            raise _Refused(400, "the request is empty", "send the bytes of an image, or JSON with `images`")
        return bytes(body)

    def _listed(self, body: bytes, top: int, invert: bool) -> tuple[list[bytes], int, bool]:
        """What a JSON body asks for. Raises _Refused."""
        try:
            document = json.loads(body)
        except (ValueError, RecursionError):
            raise _Refused(400, "the request is no JSON") from None
        if not isinstance(document, dict) or not isinstance(document.get("images"), list):
            raise _Refused(400, "`images` is a list of images in base64", '{"images": ["iVBORw0…"], "top": 3}')
        if unknown := sorted({*document} - {"images", "top", "invert"}):
            raise _Refused(400, f"there is no `{visible(unknown[0]):.60}`", "there are: images, top, invert")
        if not 1 <= len(document["images"]) <= self.limits.images:
            raise _Refused(400, f"a request has 1 to {self.limits.images} images")
        images = []
        for number, text in enumerate(document["images"]):
            try:
                images.append(
                    base64.b64decode(text.partition(",")[2] if text.startswith("data:") else text, validate=True)
                )
            except (AttributeError, TypeError, ValueError, binascii.Error):
                raise _Refused(400, f"image {number} is no base64") from None
        if not isinstance(flag := document.get("invert", invert), bool):
            raise _Refused(400, "`invert` is true or false")
        return images, _whole(document.get("top"), "top", top), flag

    async def _answers(self, images: Sequence[bytes], top: int, invert: bool) -> list[dict[str, Any]]:
        """What is said of each image; of one that cannot be read, why."""
        read = await asyncio.gather(*(run_in_threadpool(self._read, image, invert) for image in images))
        good = [pixels for pixels in read if isinstance(pixels, np.ndarray)]
        rows = iter(await self.batcher.classify(np.stack(good)) if good else ())
        return [
            {"error": one} if isinstance(one, dict) else {"predictions": self._named(next(rows), top)} for one in read
        ]

    def _read(self, image: bytes, invert: bool) -> NDArray[np.uint8] | dict[str, str]:
        try:
            return self.predictor.pixels(image, invert=invert)
        except CnnspecError as error:
            return {"message": visible(error.message)} | ({"help": error.hint} if error.hint else {})

    def _named(self, probabilities: NDArray[np.float32], top: int) -> list[dict[str, Any]]:
        order = np.argsort(-probabilities, kind="stable")[:top]
        return [
            {"label": self.classes[place], "index": int(place), "probability": float(probabilities[place])}
            for place in order
        ]

    async def health(self, request: Request) -> Response:
        """`GET /healthz`."""
        return JSONResponse({"status": "ok"})

    async def model(self, request: Request) -> Response:
        """`GET /v1/model`."""
        about = self.predictor.metadata
        return JSONResponse({
            "name": about.name, "input": list(about.input_shape), "classes": list(self.classes),
            "provider": self.predictor.provider, "cnnspec": __version__,
        })  # fmt: skip

    async def openapi(self, request: Request) -> Response:
        """`GET /openapi.json`."""
        return JSONResponse(description(self.predictor.metadata.name, self.limits.images, self.limits.body))

    async def page(self, request: Request) -> Response:
        """`GET /`: a page to try it."""
        return HTMLResponse(
            files("cnnspec.web").joinpath("predict.html").read_text("utf-8"),
            headers={
                "Content-Security-Policy": POLICY,
                "X-Content-Type-Options": "nosniff",
                "Referrer-Policy": "no-referrer",
            },
        )


def _static(name: str, kind: str) -> Any:
    async def send(request: Request) -> Response:
        return Response(files("cnnspec.web").joinpath(name).read_bytes(), media_type=kind)

    return send


def _whole(value: object, name: str, default: int) -> int:
    """A whole number from 1 on. Raises _Refused."""
    if value is None:
        return default
    if isinstance(value, str) and value.isascii() and value.isdigit():
        value = int(value[:9])
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise _Refused(400, f"`{name}` is a whole number from 1 on")
    return value


def prediction_app(predictor: Predictor, *, token: str | None = None, limits: Limits | None = None) -> Starlette:
    """The application. Raises UsageError for a network that gives no class scores."""
    service = _Service(predictor, limits or Limits())
    open_paths = ("/", "/healthz", "/predict.js", "/predict.css")
    return Starlette(
        routes=[
            Route("/", service.page),
            Route("/predict.js", _static("predict.js", "text/javascript")),
            Route("/predict.css", _static("predict.css", "text/css")),
            Route("/healthz", service.health),
            Route("/openapi.json", service.openapi),
            Route("/v1/model", service.model),
            Route("/v1/predict", service.predict, methods=["POST"]),
        ],
        middleware=[Middleware(Guard, token=token, open_paths=open_paths)],
        exception_handlers={404: _no_such, 405: _no_such},
        lifespan=service.running,
    )


async def _no_such(request: Request, error: Exception) -> Response:
    return problem(
        getattr(error, "status_code", 404), "there is nothing here", "`GET /openapi.json` says what there is"
    )
