"""A page of `cnnspec serve`, which is a process of its own."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


@contextmanager
def served(browser: Any, folder: Path, path: str = "", *arguments: str) -> Iterator[Any]:
    """A page for a folder, which at the end has asked for nothing elsewhere and said nothing is wrong."""
    command = [sys.executable, "-m", "cnnspec", "serve", *(arguments or (str(folder), "--no-open")), "--port", "0"]
    server = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=folder)
    assert server.stderr is not None
    found = re.search(r" is (?:edited|served) at (http://127\.0\.0\.1:\d+)", server.stderr.readline())
    assert found is not None
    address = f"{found[1]}/"
    wrong: list[str] = []
    page = browser.new_page(viewport={"width": 1400, "height": 900})
    page.set_default_timeout(90_000)
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on(
        "console", lambda said: wrong.append(said.text) if said.type == "error" and "409" not in said.text else None
    )
    page.on("request", lambda asked: wrong.append(asked.url) if not asked.url.startswith((address, "blob:")) else None)
    page.goto(f"{address}{path}")
    try:
        yield page
    finally:
        page.close()
        server.terminate()
        server.wait(20)
        server.stderr.close()
    assert not wrong, wrong
