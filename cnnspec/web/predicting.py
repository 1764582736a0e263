"""A network served: images, sounds and arrays in, answers out. Needs onnxruntime, and no torch."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Final

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from cnnspec.diagnostics import visible
from cnnspec.errors import CnnspecError
from cnnspec.version import __version__
from cnnspec.web.answering import Answerer, Readout, Reply
from cnnspec.web.asked import Asked, Limits, Refused, Room, parse, read_body
from cnnspec.web.batcher import Batcher, Crowded
from cnnspec.web.guard import Guard, problem
from cnnspec.web.openapi import description

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

    from cnnspec.api import Predictor

__all__ = ["Limits", "prediction_app"]

PREDICT: Final = "/v1/predict"
SMALL: Final = 2**14  # bytes of a body
POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src blob: data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


class _Service:
    """The handlers, and what they share."""

    def __init__(self, predictor: Predictor, limits: Limits) -> None:
        self.predictor, self.limits = predictor, limits
        self.answerer, self.room = Answerer(predictor), Room(limits.held)
        self.batcher: Batcher[Asked | Readout, Reply] = Batcher(
            self.answerer.work, together=predictor.batch_size, limit=limits.waiting
        )

    @asynccontextmanager
    async def running(self, app: Starlette) -> AsyncIterator[None]:
        with self.batcher.running():
            yield

    async def predict(self, scope: Scope, receive: Receive, send: Send) -> None:
        """`POST /v1/predict`: one file as the body, or several samples as JSON or an array."""
        headers = dict(scope["headers"])
        try:
            with self.room.body() as arriving:
                body = await read_body(receive, headers, arriving, self.limits)
                reply = await self._reply(scope, headers, body)
        except Refused as refused:
            await problem(refused.status, refused.message, refused.hint)(scope, receive, send)
        except Crowded:
            crowded = problem(503, "too many images wait", "try again in a second", **{"Retry-After": "1"})
            await crowded(scope, receive, send)
        except CnnspecError as error:
            await problem(500, visible(error.message), error.hint)(scope, receive, send)
        except ConnectionError:
            return  # nobody waits
        else:
            length = (b"content-length", b"%d" % len(reply.body))
            head = [(b"content-type", reply.kind), length]
            await send({"type": "http.response.start", "status": reply.status, "headers": head})
            await send({"type": "http.response.body", "body": reply.body})

    async def _reply(self, scope: Scope, headers: dict[bytes, bytes], body: bytes) -> Reply:
        """A small body is read where it is run: to hand it over once more would take longer."""
        asked: Asked | Readout
        if len(body) <= SMALL:
            asked = parse(scope, headers, body, self.limits)
            count = len(asked.samples)
        else:
            asked = await asyncio.to_thread(lambda: self.answerer.read(parse(scope, headers, body, self.limits)))
            count = len(asked.values)
        return await self.batcher.ask(asked, count)

    async def health(self, request: Request) -> Response:
        """`GET /healthz`."""
        return JSONResponse({"status": "ok"})

    async def model(self, request: Request) -> Response:
        """`GET /v1/model`."""
        about, answers = self.predictor.metadata, self.answerer.answers
        return JSONResponse({
            "name": about.name, "task": answers.task, "input": list(about.input_shape),
            "classes": list(self.answerer.classes), **self.answerer.terms(),
            "provider": self.predictor.provider, "cnnspec": __version__,
        })  # fmt: skip

    async def openapi(self, request: Request) -> Response:
        """`GET /openapi.json`."""
        about = self.predictor.metadata
        return JSONResponse(description(about.name, self.answerer.answers.task, about.input_shape, self.limits))

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


class _Direct:
    """Takes `POST /v1/predict` past the routes and requests of Starlette, which cost as much as a small network."""

    def __init__(self, app: ASGIApp, service: _Service) -> None:
        self.app, self.service = app, service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] != PREDICT:
            await self.app(scope, receive, send)
        elif scope["method"] == "POST":
            await self.service.predict(scope, receive, send)
        else:
            await _nothing(405)(scope, receive, send)


def _static(name: str, kind: str) -> Any:
    async def send(request: Request) -> Response:
        return Response(files("cnnspec.web").joinpath(name).read_bytes(), media_type=kind)

    return send


def prediction_app(predictor: Predictor, *, token: str | None = None, limits: Limits | None = None) -> Starlette:
    """The application. Raises UsageError for a network that gives nothing that is known."""
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
        ],
        middleware=[Middleware(Guard, token=token, open_paths=open_paths), Middleware(_Direct, service=service)],
        exception_handlers={404: _no_such, 405: _no_such},
        lifespan=service.running,
    )


async def _no_such(request: Request, error: Exception) -> Response:
    return _nothing(getattr(error, "status_code", 404))


def _nothing(status: int) -> JSONResponse:
    return problem(status, "there is nothing here", "`GET /openapi.json` says what there is")
