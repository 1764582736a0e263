"""Many editors at once, each with its own text: over sockets to one process, none sees what is another's."""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import pytest
from coroutines import run_async
from hostile_messages import hostile
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

URI = "file:///net.cnnspec.yaml"  # the same for all
TEXT = "cnnspec: 1\ninput: [1, 8, 8]\nlayers:\n  - Conv2d(WIDTH, 3)\n  - ReLU\n"


class Editor:
    """One of them."""

    def __init__(self, send: Callable[[bytes], Awaitable[None]], read: Callable[[], Awaitable[bytes]]) -> None:
        self.send, self.read, self.number = send, read, 0

    async def tell(self, method: str, params: Any, **more: Any) -> None:
        await self.send(json.dumps({"jsonrpc": "2.0", "method": method, "params": params, **more}).encode())

    async def ask(self, method: str, params: Any) -> Any:
        self.number += 1
        await self.tell(method, params, id=self.number)
        while True:
            message = json.loads(await self.read())
            if message.get("id") == self.number:
                return message["result"]
            told = message.get("params", {})
            if message.get("method") == "textDocument/publishDiagnostics" and told["uri"] == URI:
                assert told["diagnostics"] == [] or told["diagnostics"][0]["code"].startswith("W")

    async def begin(self, text: str) -> None:
        await self.ask("initialize", {"processId": None, "rootUri": None, "capabilities": {}})
        await self.tell("initialized", {})
        item = {"uri": URI, "languageId": "yaml", "version": 1, "text": text}
        await self.tell("textDocument/didOpen", {"textDocument": item})

    async def hints(self) -> list[str]:
        span = {"start": {"line": 0, "character": 0}, "end": {"line": 99, "character": 0}}
        found = await self.ask("textDocument/inlayHint", {"textDocument": {"uri": URI}, "range": span})
        return [hint["label"] for hint in found]

    async def work(self, own: int, edits: int) -> None:
        """Change the width again and again, and see no other than the own."""
        width = str(own)
        await self.begin(TEXT.replace("WIDTH", width))
        for turn in range(edits):
            await asyncio.sleep(0)
            new = str(own + 1_000 * (turn % 5 + 1))
            span = {"start": {"line": 3, "character": 11}, "end": {"line": 3, "character": 11 + len(width)}}
            document = {"uri": URI, "version": turn + 2}
            await self.tell(
                "textDocument/didChange", {"textDocument": document, "contentChanges": [{"range": span, "text": new}]}
            )
            width = new
            assert await self.hints() == [f"→ {width}x6x6  rf 3x3"] * 2


@contextmanager
def listening(*arguments: str) -> Iterator[int]:
    """A process of the program, and the port that it says it listens on."""
    command = [sys.executable, "-m", "cnnspec", *arguments]
    # a file: a pipe that nobody reads fills up with what is logged, and stops the process
    with tempfile.TemporaryFile() as told, subprocess.Popen(command, stderr=told) as process:
        deadline = time.monotonic() + 120
        try:
            while (found := re.search(rb"127\.0\.0\.1:(\d+)[/\n]", os.pread(told.fileno(), 4096, 0))) is None:
                assert process.poll() is None and time.monotonic() < deadline  # noqa: PT018
                time.sleep(0.05)
            yield int(found[1])
            assert process.poll() is None
        finally:
            process.kill()


@asynccontextmanager
async def over_tcp(port: int) -> AsyncIterator[Editor]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)

    async def send(body: bytes) -> None:
        writer.write(b"Content-Length: %d\r\n\r\n" % len(body) + body)
        await writer.drain()

    async def read() -> bytes:
        head = await reader.readuntil(b"\r\n\r\n")
        length = re.search(rb"Content-Length: (\d+)", head)
        assert length is not None
        return await reader.readexactly(int(length[1]))

    yield Editor(send, read)
    writer.close()


def socket_to(port: int) -> connect:
    return connect(
        f"ws://127.0.0.1:{port}/lsp",
        origin=f"http://127.0.0.1:{port}",
        proxy=None,
        max_size=None,
        ping_interval=None,
        open_timeout=None,
    )


def editor_on(socket: ClientConnection) -> Editor:
    async def read() -> bytes:
        data = await socket.recv()
        return data if isinstance(data, bytes) else data.encode()

    return Editor(lambda body: socket.send(body.decode("utf-8", "replace"), text=True), read)


@asynccontextmanager
async def over_websocket(port: int) -> AsyncIterator[Editor]:
    async with socket_to(port) as socket:
        yield editor_on(socket)


Connect = Callable[[int], AbstractAsyncContextManager[Editor]]


async def all_work(connected: Connect, port: int, count: int, edits: int) -> None:
    async def one(own: int) -> None:
        async with connected(port) as editor:
            await editor.work(own, edits)
            if own % 3 == 0:
                await editor.tell("exit", None)

    await asyncio.gather(*(one(100 + number) for number in range(count)))


def test_ten_editors_over_tcp() -> None:
    with listening("lsp", "--tcp", "0") as port:
        run_async(all_work(over_tcp, port, 10, 5))


def test_ten_editors_over_websockets(tmp_path: Path) -> None:
    with listening("serve", str(tmp_path), "--no-open", "--port", "0") as port:
        run_async(all_work(over_websocket, port, 10, 5))


@pytest.mark.long
def test_fifty_editors_over_tcp() -> None:
    with listening("lsp", "--tcp", "0") as port:
        run_async(all_work(over_tcp, port, 50, 40))


@pytest.mark.long
def test_fifty_editors_over_websockets(tmp_path: Path) -> None:
    with listening("serve", str(tmp_path), "--no-open", "--port", "0") as port:
        run_async(all_work(over_websocket, port, 50, 40))


@pytest.mark.long
def test_a_thousand_hostile_messages_on_a_websocket_disturb_no_other_editor(tmp_path: Path) -> None:
    messages = list(hostile(1_000, seed=3))

    refusals: list[int | None] = []

    async def attack(port: int) -> None:
        while messages:
            try:
                async with socket_to(port) as socket:
                    editor = editor_on(socket)
                    await editor.begin(TEXT.replace("WIDTH", "7"))
                    while messages:
                        await editor.send(messages.pop().body)
                        if len(messages) % 20 == 0:
                            assert await editor.hints() == ["→ 7x6x6  rf 3x3"] * 2
            except ConnectionClosed as closed:
                refusals.append(closed.rcvd.code if closed.rcvd is not None else None)

    async def both(port: int) -> None:
        attacked = asyncio.create_task(attack(port))
        async with over_websocket(port) as editor:
            await editor.work(100, 100)
            await attacked

    with listening("serve", str(tmp_path), "--no-open", "--port", "0") as port:
        run_async(both(port))
    assert {*refusals} <= {1008, 1009}  # a message that is too large, or one too many
