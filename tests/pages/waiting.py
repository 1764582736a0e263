"""A browser answers keys and clicks in its own time: every assertion after one waits for what it asserts."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

LIMIT = 90  # seconds, on a machine that has much else to do
PAUSE = 50  # milliseconds


def until(page: Any, read: str | Callable[[], object], wanted: object = True) -> None:
    """Wait until what is read, by a function or in JavaScript, is `wanted`; where that is a function, until it holds.

    Playwright's own waiting evaluates texts within the page, which the policy of the live page forbids.

    Raises:
        AssertionError: after `LIMIT` seconds, with what was read last.
    """
    deadline = time.monotonic() + LIMIT
    while True:
        found = page.evaluate(read) if isinstance(read, str) else read()
        if wanted(found) if callable(wanted) else found == wanted:
            return
        assert time.monotonic() < deadline, f"{read if isinstance(read, str) else 'what is shown'}: {found!r}"
        page.wait_for_timeout(PAUSE)


def painted(page: Any) -> None:
    """Wait until the page has drawn its present state: for what must not be seen afterwards."""
    page.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")


def texts(page: Any, selector: str) -> list[str]:
    """What each of the elements says, with single spaces."""
    found: list[str] = page.locator(selector).all_text_contents()
    return [" ".join(text.split()) for text in found]


def shown(page: Any, selector: str) -> str:
    """What all of the elements say as one text; nothing where there are none yet."""
    return " ".join(texts(page, selector))
