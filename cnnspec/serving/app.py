"""The live editor's server: its page, files, networks and language servers, for whoever may ask."""

from __future__ import annotations

import hmac
import re
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Final

from anyio import CapacityLimiter, to_thread
from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocket

from cnnspec import api, zoo
from cnnspec.drawing.page import built, data_of
from cnnspec.errors import CnnspecError, SpecError
from cnnspec.serving.folder import ChangedError, Folder
from cnnspec.serving.language import speak

__all__ = ["Access", "make_app"]

COOKIE: Final = "cnnspec"
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


@dataclass(frozen=True)
class Access:
    """Who may ask. `hosts` are the names by which the server may be called; empty: any, for whoever has the token."""

    hosts: frozenset[str]
    token: str | None = None


@dataclass
class _Live:
    folder: Folder
    sockets: int = 0
    limiter: CapacityLimiter = field(default_factory=lambda: CapacityLimiter(2))

    async def page(self, _: Request) -> Response:
        nonce = secrets.token_urlsafe(16)
        text = built("live")
        policy = re.search(r"script-src ('sha256-[^']+')", text)
        assert policy is not None
        text = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", text, count=1)
        text = text.replace("<style>", f'<style nonce="{nonce}">', 1)
        text = text.replace('<meta name="nonce" content="">', f'<meta name="nonce" content="{nonce}">', 1)
        return HTMLResponse(text, headers={"content-security-policy": _POLICY.format(script=policy[1], nonce=nonce)})

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
            return JSONResponse({"message": "a name, a text and a digest are wanted"}, 400)
        try:
            return JSONResponse({"digest": await self.work(self.folder.write, name, text, digest)})
        except ChangedError as error:
            now = error.now and error.now._asdict()
            return JSONResponse({"message": error.message, "now": now}, 409)

    async def network(self, request: Request) -> Response:
        """What the page shows of a text, or how many errors it has."""
        given = await _given(request)
        text, name, variant = given.get("text"), given.get("name"), given.get("variant")
        if not isinstance(text, str) or not isinstance(name, str) or not (variant is None or isinstance(variant, str)):
            return JSONResponse({"message": "a text and a name are wanted"}, 400)
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
        import json

        given = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return given if isinstance(given, dict) else {}


async def _refuse(_: Request, error: Exception) -> Response:
    assert isinstance(error, CnnspecError)
    return JSONResponse({"message": error.message, "help": error.hint}, 400)


def make_app(folder: Folder, access: Access) -> ASGIApp:
    """The server as an ASGI application."""
    live = _Live(folder)
    app = Starlette(
        routes=[
            Route("/", live.page),
            Route("/api/files", live.files),
            Route("/api/file", live.read, methods=["GET"]),
            Route("/api/file", live.write, methods=["PUT"]),
            Route("/api/network", live.network, methods=["POST"]),
            WebSocketRoute("/lsp", live.language),
        ],
        exception_handlers={CnnspecError: _refuse},
    )
    return _Guard(app, access)


class _Guard:
    """Lets nobody through but the page itself: neither other sites in the same browser nor who has no token."""

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self.app = app
        self.access = access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        refusal = self.refusal(scope, headers)
        if refusal is None:
            await self.app(scope, receive, _with_headers(send))
        elif scope["type"] == "websocket":
            await WebSocket(scope, receive, send).close(1008)
        else:
            await refusal(scope, receive, _with_headers(send))

    def refusal(self, scope: Scope, headers: Headers) -> Response | None:
        """Why a request is not answered, as an answer; None where it is."""
        host = headers.get("host", "")
        if self.access.hosts and host not in self.access.hosts:
            return PlainTextResponse("this server is not called so\n", 421)
        origin = headers.get("origin")
        needs_origin = scope["type"] == "websocket" or scope.get("method") not in ("GET", "HEAD")
        if (origin is None and needs_origin) or (origin is not None and origin != f"http://{host}"):
            return PlainTextResponse("requests of other pages are not answered\n", 403)
        if headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
            return PlainTextResponse("requests of other pages are not answered\n", 403)
        return self.without_token(scope, headers)

    def without_token(self, scope: Scope, headers: Headers) -> Response | None:
        token = self.access.token
        if token is None:
            return None
        request = Request({**scope, "type": "http"})
        if hmac.compare_digest(request.cookies.get(COOKIE, "").encode(), token.encode()):
            return None
        given = request.query_params.get("token", "")
        if scope["type"] == "http" and scope["path"] == "/" and hmac.compare_digest(given.encode(), token.encode()):
            answer = RedirectResponse("/", 303)
            answer.set_cookie(COOKIE, token, httponly=True, samesite="strict")
            return answer
        return PlainTextResponse("the address that `cnnspec serve` printed has a token, which is missing here\n", 401)


def _with_headers(send: Send) -> Callable[[Any], Awaitable[None]]:
    async def sent(message: Any) -> None:
        if message["type"] == "http.response.start":
            extra = [(key.encode(), value.encode()) for key, value in _HEADERS.items()]
            message = {**message, "headers": [*message["headers"], *extra]}
        await send(message)

    return sent
