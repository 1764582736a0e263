"""Running language servers until their editors leave."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from collections.abc import Awaitable, Callable
from threading import Thread
from typing import TYPE_CHECKING, Final

from cnnspec.errors import UsageError, needs_extra
from cnnspec.lsp.frames import Spoilt, bodies

if TYPE_CHECKING:
    from cnnspec.lsp.protocol import Protocol

__all__ = ["serve"]

CHUNK: Final = 65_536  # bytes that are read at once
MOST_CLIENTS: Final = 64


@needs_extra("lsp")
def serve(port: int | None = None) -> int:
    """Answer an editor on stdin and stdout until it leaves, and give the exit code that the protocol wants then.

    Or answer any number of editors on a port of the loopback address, each with a server of its own, until a signal
    comes.

    Raises UsageError for a port that cannot be listened on, and MissingExtraError without the extra `lsp`.
    """
    from cnnspec.lsp import server as _  # noqa: F401  # the extra is asked for before anything is opened

    logging.getLogger("pygls").setLevel(logging.CRITICAL)  # whose every hostile message would be a traceback
    if port is None:
        with os.fdopen(os.dup(1), "wb") as stdout:
            return asyncio.run(_on_pipes(stdout.write, stdout.flush))
    try:
        asyncio.run(_on_port(port))
    except (OSError, OverflowError) as error:
        raise UsageError(
            f"cannot listen on port {port}: {error}", hint="`--tcp` takes a free port, 1024 to 65535; 0 takes any"
        ) from None
    return 0


class _Writer:
    """What a server writes to."""

    def __init__(self, write: Callable[[bytes], object], flush: Callable[[], object] | None = None) -> None:
        self._write, self._flush = write, flush
        self.is_broken = False  # nobody reads any more

    def write(self, data: bytes) -> None:
        """Write a message whole."""
        try:
            self._write(data)
            if self._flush is not None:
                self._flush()
        except (OSError, ValueError):
            self.is_broken = True

    def close(self) -> None:
        """Whoever opened it closes it."""


async def _answer(more: Callable[[], Awaitable[bytes]], writer: _Writer) -> Protocol:
    """Answer one client until it leaves."""
    from cnnspec.lsp.server import make_server

    server = make_server()
    protocol = server.protocol
    protocol.set_writer(writer)
    async for body in bodies(more):
        if isinstance(body, Spoilt):
            protocol.spoilt(body.reason)
        elif not protocol.take(body):
            break
        if writer.is_broken:
            break
        await asyncio.sleep(0)  # what is due is done between messages, however fast they come
    return protocol


async def _on_pipes(write: Callable[[bytes], object], flush: Callable[[], object]) -> int:
    loop = asyncio.get_running_loop()
    read: asyncio.Queue[bytes] = asyncio.Queue(1)

    def pump() -> None:
        data = b"none yet"
        while data:
            data = os.read(0, CHUNK)
            asyncio.run_coroutine_threadsafe(read.put(data), loop).result()

    Thread(target=pump, daemon=True).start()  # which waits for input still when this process is told to end
    return (await _answer(read.get, _Writer(write, flush))).exit_code


async def _on_port(port: int) -> None:
    clients = 0

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal clients
        clients += 1
        try:
            if clients <= MOST_CLIENTS:
                await _answer(lambda: reader.read(CHUNK), _Writer(writer.write))
                await writer.drain()
        except OSError:
            pass  # it has gone without a word
        finally:
            clients -= 1
            writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", port)
    print(f"editors are answered on 127.0.0.1:{server.sockets[0].getsockname()[1]}", file=sys.stderr, flush=True)
    async with server:
        await server.serve_forever()
