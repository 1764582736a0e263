"""A server on one address, which is drained when it is told to end: what was accepted is answered."""

from __future__ import annotations

import asyncio
import signal
import socket
import sys
import webbrowser
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Final

import uvicorn

from cnnspec import interrupts
from cnnspec.errors import CnnspecError, UsageError
from cnnspec.web.guard import LOOPBACK

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["check_address", "listen"]

DRAIN: Final = 1.0  # seconds in which clients that keep a connection are told that it ends
FINISH: Final = 30.0  # seconds that what is being answered may take then
HEAD: Final = 10.0  # seconds in which a request has to begin on a new connection
CONNECTIONS: Final = 512
MESSAGE: Final = 4_000_000  # bytes of one message on a WebSocket


def check_address(host: str, token: str | None) -> None:
    """Raise UsageError for another address than loopback without a token."""
    if host not in LOOPBACK and not token:
        raise UsageError(
            f"`--host {host}` is open to others", hint="`--token SECRET`, which every request then has to bear"
        )


class _Draining:
    """Tells every client that its connection ends with this answer, once the server is told to end."""

    def __init__(self, app: ASGIApp) -> None:
        self.app, self.on = app, False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def closing(message: Message) -> None:
            if self.on and message["type"] == "http.response.start":
                message = {**message, "headers": [*message.get("headers", ()), (b"connection", b"close")]}
            await send(message)

        await self.app(scope, receive, closing)


class _Server(uvicorn.Server):
    """Ends as this process ends: a first signal drains it, a second one leaves at once."""

    def __init__(self, config: uvicorn.Config, draining: _Draining, listener: socket.socket) -> None:
        super().__init__(config)
        self.draining, self.listener = draining, listener
        self.received: int | None = None
        self._drained: asyncio.Task[None] | None = None

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
        for number in before:
            loop.add_signal_handler(number, self._note, number)
        try:
            yield
        finally:
            for number, handler in before.items():
                loop.remove_signal_handler(number)
                signal.signal(number, handler)

    def _note(self, number: int) -> None:
        if self.received is not None:
            interrupts.leave_at_once(128 + number)
        self.received = number
        self.draining.on = True
        self._drained = asyncio.get_running_loop().create_task(self._drain(self._stop_listening()))

    def _stop_listening(self) -> list[socket.socket]:
        """Refuse connections from now on. Those that the system has taken on by then, which closing would reset."""
        asyncio.get_running_loop().remove_reader(self.listener)
        self.servers.clear()  # of which each would close the listener again
        self.listener.listen(0)
        accepted = []
        with suppress(OSError), self.listener:  # closed within microseconds of finding that there is none left
            while True:
                accepted.append(self.listener.accept()[0])
        return accepted

    async def _drain(self, accepted: list[socket.socket]) -> None:
        """Answer what comes on the connections that there are, and end when they have gone or are idle."""
        loop = asyncio.get_running_loop()
        for connection in accepted:
            connection.setblocking(False)
            await loop.connect_accepted_socket(self._protocol, connection)
        end = loop.time() + DRAIN
        while self.server_state.connections and loop.time() < end:
            await asyncio.sleep(0.01)
        self.should_exit = True

    def _protocol(self) -> asyncio.Protocol:
        kind: Any = self.config.http_protocol_class
        protocol: asyncio.Protocol = kind(
            config=self.config, server_state=self.server_state, app_state=self.lifespan.state
        )
        return protocol


def _listener(host: str, port: int) -> socket.socket:
    # With its protocol named: asyncio then turns Nagle's algorithm off, which would hold answers back for 40 ms.
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(CONNECTIONS)
    except (OSError, UnicodeError) as error:
        listener.close()
        reason = getattr(error, "strerror", None) or str(error)
        raise CnnspecError(f"cannot listen on {host}:{port}: {reason}", hint="`--port 0` takes a free one") from None
    return listener


def listen(app: ASGIApp, host: str, port: int, *, ready: str, opens: str | None = None) -> int | None:
    """Serve until a signal comes; its number, or None. `ready` with `{address}` is told on stderr once it listens.

    `opens`, with `{address}` too, is then opened in the browser.

    Raises CnnspecError where the address cannot be had.
    """
    listener = _listener(host, port)
    draining = _Draining(app)
    config = uvicorn.Config(
        draining, http=_protocol(), log_config=None, access_log=False, server_header=False, lifespan="on",
        timeout_graceful_shutdown=int(FINISH), timeout_keep_alive=75, limit_concurrency=CONNECTIONS,
        h11_max_incomplete_event_size=2**16, ws="websockets-sansio", ws_max_size=MESSAGE,
    )  # fmt: skip
    server = _Server(config, draining, listener)
    name = f"[{host}]" if ":" in host else host
    with listener:
        address = f"http://{name}:{listener.getsockname()[1]}"
        print(ready.format(address=address), file=sys.stderr, flush=True)
        if opens is not None:
            webbrowser.open(opens.format(address=address))
        server.run(sockets=[listener])
    return server.received


def _protocol() -> type[asyncio.Protocol]:
    """uvicorn's protocol, which lets go of connections on which no request begins."""
    from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

    class Impatient(HttpToolsProtocol):
        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            self.loop.call_later(HEAD, self._lose_patience)

        def _lose_patience(self) -> None:
            begun: object = self.cycle  # its type does not say that there may be none yet
            if self.transport.get_protocol() is not self:  # it has become a WebSocket
                return
            if begun is None and not self.transport.is_closing():
                self.transport.close()

    return Impatient
