"""A served network, as a process of its own, and what asks it."""

from __future__ import annotations

import http.client
import io
import json
import os
import re
import select
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image


@dataclass(frozen=True)
class Served:
    """The process, and where it listens."""

    process: subprocess.Popen[bytes]
    port: int

    def connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)

    def ask(
        self, path: str = "/v1/predict", body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> tuple[int, Any]:
        """The status, and the JSON of the answer; POST where there is a body."""
        connection = self.connect()
        try:
            connection.request("GET" if body is None else "POST", path, body, dict(headers or {}))
            response = connection.getresponse()
            return response.status, json.loads(response.read())
        finally:
            connection.close()


@contextmanager
def serving(*arguments: str, cwd: Path, code: str = "from cnnspec.cli import main; main()") -> Iterator[Served]:
    """`cnnspec serve` on a free port, killed at the end if it still runs."""
    command = [sys.executable, "-c", code, "serve", "--port", "0", *arguments]
    environment = {**os.environ, "CNNSPEC_CACHE": str(cwd / "cache")}
    process = subprocess.Popen(command, cwd=cwd, stderr=subprocess.PIPE, env=environment)
    try:
        yield Served(process, _port(process))
    finally:
        process.kill()
        process.wait()
        assert process.stderr is not None
        process.stderr.close()


def _port(process: subprocess.Popen[bytes]) -> int:
    assert process.stderr is not None
    told, deadline = b"", time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        if select.select([process.stderr], [], [], 1)[0]:
            told += os.read(process.stderr.fileno(), 4096)
        if match := re.search(rb"is served at http://\S+:(\d+)\n", told):
            return int(match[1])
    raise AssertionError(f"it does not listen: {told.decode()}")


def digit(seed: int, size: int = 28) -> bytes:
    """A PNG."""
    pixels = np.random.default_rng(seed).integers(0, 256, (size, size), np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()
