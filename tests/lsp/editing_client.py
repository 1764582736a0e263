"""A language server as editors meet it: a process, messages on its stdin, answers on its stdout."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any, BinaryIO

URI = "file:///specs/net.cnnspec.yaml"


class Client:
    """An editor's side of the protocol."""

    def __init__(self, stdin: BinaryIO, stdout: BinaryIO) -> None:
        self.stdin, self.stdout = stdin, stdout
        self.number = 0
        self.notes: list[dict[str, Any]] = []

    def send(self, message: dict[str, Any]) -> None:
        self.raw(json.dumps({"jsonrpc": "2.0", **message}).encode())

    def raw(self, body: bytes) -> None:
        self.bytes(b"Content-Length: %d\r\n\r\n" % len(body) + body)

    def bytes(self, data: bytes) -> None:
        self.stdin.write(data)
        self.stdin.flush()

    def read(self) -> dict[str, Any]:
        length = 0
        while (line := self.stdout.readline()).strip() != b"":
            if line.lower().startswith(b"content-length:"):
                length = int(line.split(b":")[1])
        assert line, "the server has ended"
        message: dict[str, Any] = json.loads(self.stdout.read(length))
        return message

    def ask(self, method: str, params: Any) -> Any:
        answer = self.answer(method, params)
        assert "error" not in answer, answer
        return answer["result"]

    def answer(self, method: str, params: Any) -> dict[str, Any]:
        self.number += 1
        self.send({"id": self.number, "method": method, "params": params})
        while True:
            message = self.read()
            if message.get("id") == self.number and "method" not in message:
                return message
            self.notes.append(message)

    def tell(self, method: str, params: Any) -> None:
        self.send({"method": method, "params": params})

    def diagnostics(self, version: int) -> list[dict[str, Any]]:
        """Those of a version of the text."""
        while True:
            for note in self.notes:
                if note.get("method") == "textDocument/publishDiagnostics" and note["params"].get("version") == version:
                    found: list[dict[str, Any]] = note["params"]["diagnostics"]
                    return found
            self.notes = [self.read()]

    def begin(self, **capabilities: Any) -> None:
        self.ask("initialize", {"processId": None, "rootUri": None, "capabilities": capabilities})
        self.tell("initialized", {})

    def open(self, text: str, uri: str = URI, language: str = "yaml") -> None:
        item = {"uri": uri, "languageId": language, "version": 1, "text": text}
        self.tell("textDocument/didOpen", {"textDocument": item})

    def edit(self, version: int, *changes: dict[str, Any]) -> None:
        document = {"uri": URI, "version": version}
        self.tell("textDocument/didChange", {"textDocument": document, "contentChanges": list(changes)})

    def hints(self) -> list[str]:
        where = {"start": {"line": 0, "character": 0}, "end": {"line": 99_999, "character": 0}}
        found = self.ask("textDocument/inlayHint", {"textDocument": {"uri": URI}, "range": where})
        return [each["label"] for each in found or []]

    def at(self, method: str, line: int, character: int, **more: Any) -> Any:
        position = {"line": line, "character": character}
        return self.ask(f"textDocument/{method}", {"textDocument": {"uri": URI}, "position": position, **more})


@contextmanager
def running(stderr: int | IO[bytes] = subprocess.DEVNULL, **capabilities: Any) -> Iterator[Client]:
    """A client of a server that is a process of its own, and that ends well."""
    command = [sys.executable, "-m", "cnnspec", "lsp"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=stderr) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        client = Client(process.stdin, process.stdout)
        try:
            client.begin(**capabilities)
            yield client
            client.ask("shutdown", None)
            client.tell("exit", None)
            assert process.wait(60) == 0
        finally:
            process.kill()
