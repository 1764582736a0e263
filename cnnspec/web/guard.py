"""Who may ask: a middleware in front of everything that is served.

On loopback only requests that name this machine as their host are answered, so that no page from elsewhere reaches it
by a name of its own (DNS rebinding). Anywhere else a token is wanted: as a header, or as the cookie that a page has.
"""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from starlette.requests import cookie_parser
from starlette.responses import JSONResponse

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

__all__ = ["COOKIE", "LOOPBACK", "Guard", "problem"]

LOOPBACK: Final = ("127.0.0.1", "localhost", "::1")
COOKIE: Final = "cnnspec"
ASKING: Final = ("GET", "HEAD")


def problem(status: int, message: str, hint: str | None = None, **headers: str) -> JSONResponse:
    """An error as every answer has it."""
    error = {"message": message} | ({"help": hint} if hint else {})
    return JSONResponse({"error": error}, status, headers)


class Guard:
    """Refuses what is not for this server; `token` is what every request has to bear, or none on loopback.

    With `page_only`, what may change something is answered to the server's own page alone: it has to say its origin.
    """

    def __init__(
        self, app: ASGIApp, *, token: str | None, open_paths: tuple[str, ...] = (), page_only: bool = False
    ) -> None:
        self.app, self.token, self.open_paths, self.page_only = app, token, open_paths, page_only

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan" or (refusal := self._refusal(scope)) is None:
            await self.app(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
        else:
            await refusal(scope, receive, send)

    def _refusal(self, scope: Scope) -> JSONResponse | None:
        headers = {name: value.decode("latin-1") for name, value in scope["headers"]}
        host = headers.get(b"host", "")
        if self.token is None and _name(host) not in LOOPBACK:
            return problem(403, "this server answers on loopback only")
        origin = headers.get(b"origin")
        if origin is not None and urlsplit(origin).netloc != host:
            return problem(403, "this server answers its own page only")
        if self.page_only and self._is_foreign(scope, headers):
            return problem(403, "this server answers its own page only")
        if self.token is not None and scope["path"] not in self.open_paths:
            cookie = cookie_parser(headers.get(b"cookie", "")).get(COOKIE, "")
            given = headers.get(b"authorization", "").removeprefix("Bearer ") or cookie
            if not hmac.compare_digest(given.encode(), self.token.encode()):
                return problem(
                    401, "a token is wanted", "`Authorization: Bearer TOKEN`", **{"WWW-Authenticate": "Bearer"}
                )
        return None

    def _is_foreign(self, scope: Scope, headers: dict[bytes, str]) -> bool:
        """Whether a request comes from elsewhere, or changes something and does not say where it comes from."""
        changes = scope["type"] == "websocket" or scope["method"] not in ASKING
        unsaid = changes and b"origin" not in headers
        return unsaid or headers.get(b"sec-fetch-site", "none") not in ("none", "same-origin")


def _name(host: str) -> str | None:
    """The host without its port."""
    try:
        return urlsplit(f"//{host}").hostname
    except ValueError:
        return None
