"""A network served with `--predict`: a digit is drawn with the mouse, and recognised."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from served_page import served
from waiting import shown, texts, until

import cnnspec

# Strokes on a square of side 1.
ONE = [[(0.5, 0.12), (0.5, 0.88)]]
ZERO = [
    [(0.5, 0.1), (0.68, 0.2), (0.74, 0.5), (0.68, 0.8), (0.5, 0.9), (0.32, 0.8), (0.26, 0.5), (0.32, 0.2), (0.5, 0.1)]
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root: Path = tmp_path_factory.mktemp("trained")
    cnnspec.train("mlp", name="a", runs=root / "runs", epochs=12, threads=1, progress=None)
    return root


def draw(page: Any, strokes: list[list[tuple[float, float]]]) -> None:
    box = page.locator("#pad").bounding_box()
    for stroke in strokes:
        points = [(box["x"] + box["width"] * x, box["y"] + box["height"] * y) for x, y in stroke]
        page.mouse.move(*points[0])
        page.mouse.down()
        for point in points[1:]:
            page.mouse.move(*point, steps=6)
        page.mouse.up()


def test_a_digit_is_drawn_and_recognised(browser: Any, folder: Path) -> None:
    with served(browser, folder, "", "--predict", "runs/a") as page:
        until(page, lambda: shown(page, "#name"), "mlp")
        for strokes, label in ((ZERO, "0"), (ONE, "1")):
            draw(page, strokes)
            until(page, lambda: texts(page, "#answers li:first-child span")[:1], [label])
            page.get_by_role("button", name="Clear").click()
            until(page, page.locator("#answers li").count, 0)
