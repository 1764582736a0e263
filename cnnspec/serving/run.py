"""Running the live editor until it is interrupted."""

from __future__ import annotations

import ipaddress
import secrets
import socket
import sys
import webbrowser
from pathlib import Path
from typing import Final

from cnnspec.errors import UsageError, needs_extra
from cnnspec.serving.folder import Folder

__all__ = ["serve"]

LOOPBACK: Final = ("127.0.0.1", "localhost")
MOST_CONNECTIONS: Final = 256


@needs_extra("web")
def serve(path: Path, host: str | None, port: int, *, opens: bool) -> None:
    """Serve a folder or a file; without a `host` to this machine alone, else to who has the token that is printed.

    `port` 0 takes a free one. Raises UsageError where it cannot listen there, and MissingExtraError without the extra
    `web`.
    """
    import uvicorn

    from cnnspec.serving.app import Access, make_app

    folder = Folder.of(path)
    listener = _listen(host or LOOPBACK[0], port)
    port = listener.getsockname()[1]
    is_local = host is None or _is_loopback(host)
    if is_local:
        names = {*LOOPBACK, host or LOOPBACK[0]}
        access = Access(frozenset(f"[{name}]:{port}" if ":" in name else f"{name}:{port}" for name in names))
    else:
        access = Access(frozenset(), secrets.token_urlsafe(24))
    shown = host or LOOPBACK[0]
    address = f"http://{f'[{shown}]' if ':' in shown else shown}:{port}/"
    if access.token is not None:
        address += f"?token={access.token}"
    print(f"{address}\nCtrl+C ends it", file=sys.stderr, flush=True)
    if opens:
        webbrowser.open(address)
    config = uvicorn.Config(
        make_app(folder, access),
        log_level="error",
        access_log=False,
        server_header=False,
        ws="websockets-sansio",
        ws_max_size=4_000_000,
        limit_concurrency=MOST_CONNECTIONS,
        timeout_graceful_shutdown=1,
    )
    uvicorn.Server(config).run(sockets=[listener])


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _listen(host: str, port: int) -> socket.socket:
    try:
        family, *_, where = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(where)
    except (OSError, OverflowError, UnicodeError) as error:
        raise UsageError(
            f"cannot listen on {host}, port {port}: {error}", hint="`--port` takes a free port, 1024 to 65535"
        ) from None
    return listener
