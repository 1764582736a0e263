"""The live editor: its page, the files of a folder, the networks of texts, and language servers."""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from anyio import CapacityLimiter, to_thread
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocket

from cnnspec import api, zoo
from cnnspec.drawing.page import built, data_of, embedded
from cnnspec.errors import CnnspecError, SpecError
from cnnspec.web.folder import ChangedError, Folder
from cnnspec.web.guard import COOKIE, Guard, problem
from cnnspec.web.runs import Runs
from cnnspec.web.speaking import speak

__all__ = ["editing_app"]

MOST_BYTES: Final = 6_000_000  # of a request
MOST_SOCKETS: Final = 64
CROWDED: Final = 1013  # a close code: try again later

_POLICY: Final = (
    "default-src 'none'; script-src {script}; style-src 'nonce-{nonce}'; connect-src 'self'; img-src data:;"
    " base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS: Final = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}


@dataclass
class _Live:
    folder: Folder
    runs: Runs
    sockets: int = 0
    limiter: CapacityLimiter = field(default_factory=lambda: CapacityLimiter(2))

    async def page(self, request: Request) -> Response:
        """`GET /`; with `?token=` it becomes a cookie, and leaves the address."""
        if token := request.query_params.get("token"):
            answer = RedirectResponse("/", 303)
            answer.set_cookie(COOKIE, token, httponly=True, samesite="strict")
            return answer
        return _shown("live")

    async def runs_page(self, _: Request) -> Response:
        """`GET /runs`."""
        return _shown("runs")

    async def list_runs(self, _: Request) -> Response:
        """The runs in short."""
        return _json({"runs": await self.work(self.runs.listed)})

    async def run(self, request: Request) -> Response:
        """What the page shows of one run, as it is now."""
        return _json(await self.work(self.runs.read, request.query_params.get("name", "")))

    async def files(self, _: Request) -> Response:
        """What can be opened: the files of the folder, and the bundled networks as copies."""
        names = await self.work(self.folder.names)
        return JSONResponse({"folder": self.folder.root.name, "files": names, "networks": sorted(zoo.bundled())})

    async def read(self, request: Request) -> Response:
        name = request.query_params.get("name", "")
        if request.query_params.get("bundled"):
            return JSONResponse({"text": await self.work(api.bundled_text, name), "digest": None})
        return JSONResponse((await self.work(self.folder.read, name))._asdict())

    async def write(self, request: Request) -> Response:
        given = await _given(request)
        name, text, digest = given.get("name"), given.get("text"), given.get("digest")
        if not isinstance(name, str) or not isinstance(text, str) or not (digest is None or isinstance(digest, str)):
            return problem(400, "a name, a text and a digest are wanted")
        try:
            return JSONResponse({"digest": await self.work(self.folder.write, name, text, digest)})
        except ChangedError as error:
            now = error.now and error.now._asdict()
            return JSONResponse({"error": {"message": error.message}, "now": now}, 409)

    async def network(self, request: Request) -> Response:
        """What the page shows of a text, or how many errors it has."""
        given = await _given(request)
        text, name, variant = given.get("text"), given.get("name"), given.get("variant")
        if not isinstance(text, str) or not isinstance(name, str) or not (variant is None or isinstance(variant, str)):
            return problem(400, "a text and a name are wanted")
        return JSONResponse(await self.work(_network, text, name, variant))

    async def language(self, socket: WebSocket) -> None:
        if self.sockets >= MOST_SOCKETS:
            await socket.close(CROWDED)
            return
        self.sockets += 1
        try:
            await speak(socket)
        finally:
            self.sockets -= 1

    async def work(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Call what takes long beside the loop that answers."""
        return await to_thread.run_sync(lambda: function(*arguments), limiter=self.limiter)


def _shown(name: str) -> Response:
    """A page with the rule that nothing runs in it but what it was built with."""
    nonce = secrets.token_urlsafe(16)
    text = built(name)
    policy = re.search(r"script-src ('sha256-[^']+')", text)
    assert policy is not None
    text = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", text, count=1)
    text = text.replace("<style>", f'<style nonce="{nonce}">', 1)
    text = text.replace('<meta name="nonce" content="">', f'<meta name="nonce" content="{nonce}">', 1)
    return HTMLResponse(text, headers={"content-security-policy": _POLICY.format(script=policy[1], nonce=nonce)})


def _json(data: dict[str, Any]) -> Response:
    """As JSON, in which a figure that is not finite is null."""
    return Response(embedded(data), media_type="application/json")


def _network(text: str, name: str, variant: str | None) -> dict[str, Any]:
    try:
        return {"data": data_of(api.loads(text, path=name, variant=variant)), "errors": 0}
    except SpecError as error:
        return {"data": None, "errors": len(error.diagnostics)}


async def _given(request: Request) -> dict[str, Any]:
    """The JSON of a request's body; what is none is nothing."""
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > MOST_BYTES:
            raise CnnspecError(f"a request may have {MOST_BYTES:,} bytes")
    try:
        given = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return given if isinstance(given, dict) else {}


async def _refuse(_: Request, error: Exception) -> Response:
    assert isinstance(error, CnnspecError)
    return problem(400, error.message, error.hint)


def editing_app(folder: Folder, *, token: str | None = None) -> Starlette:
    """The application for the specs of a folder."""
    live = _Live(folder, Runs(folder.root))
    return Starlette(
        routes=[
            Route("/", live.page),
            Route("/runs", live.runs_page),
            Route("/api/runs", live.list_runs),
            Route("/api/run", live.run),
            Route("/api/files", live.files),
            Route("/api/file", live.read, methods=["GET"]),
            Route("/api/file", live.write, methods=["PUT"]),
            Route("/api/network", live.network, methods=["POST"]),
            WebSocketRoute("/lsp", live.language),
        ],
        middleware=[Middleware(Guard, token=token, open_paths=("/",), page_only=True), Middleware(_Headers)],
        exception_handlers={CnnspecError: _refuse},
    )


class _Headers:
    """Says with every answer that it is for its own page alone."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def sent(message: Message) -> None:
            if message["type"] == "http.response.start":
                extra = [(key.encode(), value.encode()) for key, value in _HEADERS.items()]
                message = {**message, "headers": [*message["headers"], *extra]}
            await send(message)

        await self.app(scope, receive, sent)
