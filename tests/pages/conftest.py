"""A real browser: the system's Chromium. Where there is none, the tests that need it say so."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from cnnspec import api

FLAGS = ("--disable-gpu", "--disable-dev-shm-usage")  # a machine for tests has little of either
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """The browser, started once."""
    sync_api = pytest.importorskip(
        "playwright.sync_api", reason="the browser tests need playwright: pip install '.[dev]'"
    )
    path = next(filter(None, map(shutil.which, NAMES)), None)
    if path is None:
        pytest.skip("the browser tests need Chromium, and there is none: `apt-get install chromium`")
    is_root = hasattr(os, "geteuid") and os.geteuid() == 0
    with sync_api.sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=path, args=[*FLAGS, *["--no-sandbox"][: int(is_root)]])
        yield found
        found.close()


@pytest.fixture
def open_page(browser: Any, tmp_path: Path) -> Iterator[Callable[..., Any]]:
    """Opens the page of a network, and at the end holds that it asked for nothing and that nothing went wrong."""
    wrong: list[str] = []
    pages = []

    def open_(network: Any, *, width: int = 1400, height: int = 900, theme: str = "light", **shown: Any) -> Any:
        path = tmp_path / f"page{len(pages)}.html"
        api.draw(network, path, **shown)
        page = browser.new_page(viewport={"width": width, "height": height}, color_scheme=theme)
        page.set_default_timeout(90_000)
        pages.append(page)
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("console", lambda said: wrong.append(said.text) if said.type in ("error", "warning") else None)
        page.on("request", lambda asked: wrong.append(asked.url) if asked.url != path.as_uri() else None)
        page.goto(path.as_uri())
        page.wait_for_selector("svg[role=application] .layer, svg[role=application] .group, .run, .walk")
        return page

    yield open_
    for page in pages:
        page.close()
    assert not wrong, wrong
