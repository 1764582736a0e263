"""The page of a training step, gone through by key, forward and back."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from waiting import shown, texts, until

import cnnspec
from cnnspec import api

SHIP = Path(__file__).parents[2] / "examples" / "step"


@pytest.fixture
def open_step(browser: Any, tmp_path: Path) -> Iterator[Callable[[api.TrainingStep], Any]]:
    """Opens the page of a step, which asks for nothing and in which nothing goes wrong."""
    wrong: list[str] = []

    def open_(told: api.TrainingStep) -> Any:
        path = api.draw_step(told, tmp_path / "step.html")
        page = browser.new_page(viewport={"width": 1200, "height": 800})
        page.set_default_timeout(90_000)
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("console", lambda said: wrong.append(said.text) if said.type in ("error", "warning") else None)
        page.on("request", lambda asked: wrong.append(asked.url) if asked.url != path.as_uri() else None)
        page.goto(path.as_uri())
        page.wait_for_selector("main h2")
        return page

    yield open_
    assert not wrong, wrong


def test_the_four_classes_of_a_ship(open_step: Callable[[api.TrainingStep], Any]) -> None:
    told = cnnspec.step(SHIP / "ship.yaml", image=SHIP / "ship.png", label="boat")
    page = open_step(told)
    until(page, lambda: shown(page, "main"), lambda text: "target [0, 0, 1, 0]" in text)
    page.keyboard.press("ArrowRight")
    said = [f"{100 * term.probability:.1f} %" for term in told.classes]
    until(page, lambda: texts(page, ".lane"), said)
    page.keyboard.press("ArrowRight")
    until(page, lambda: shown(page, "main .formula"), "error = ½ Σ (target − probability)²")
    terms = texts(page, ".terms tbody td:last-child")
    assert [float(term) for term in terms] == pytest.approx([term.error for term in told.classes], abs=1e-6)
    assert sum(round(1e6 * float(term)) for term in terms) == round(1e6 * told.error)
    back = [row for row in reversed(told.layers) if row.signal is not None]
    for row in back:
        page.keyboard.press("ArrowRight")
        until(page, lambda: shown(page, "main h2"), f"Backward: {row.layer}")
        until(page, lambda: texts(page, "aside li.on span"), [row.layer])
    for moved in told.moved:
        page.keyboard.press("ArrowRight")
        head = f"The update: {moved.tensor}[{','.join(map(str, moved.index))}]"
        until(page, lambda: shown(page, "main h2"), head)
        until(page, lambda: shown(page, "pre"), lambda text, last=moved.arithmetic[-1]: last in text)
    page.keyboard.press("ArrowRight")
    until(page, lambda: shown(page, "main h2"), "The same image again")
    until(page, lambda: shown(page, "main p"), lambda text: f"{told.error_after:.6f}" in text)
    after = [f"{100 * term.probability_after:.1f} %" for term in told.classes]
    until(page, lambda: texts(page, ".lane:last-child"), after)
    page.keyboard.press("ArrowRight")  # and no further
    page.keyboard.press("ArrowLeft")
    until(page, lambda: shown(page, "main h2"), head)
    page.keyboard.press("Home")
    until(page, lambda: shown(page, ".place"), f"1 of {len(back) + len(told.moved) + 4}")


def test_an_eight_by_lenet(open_step: Callable[[api.TrainingStep], Any]) -> None:
    told = cnnspec.step("lenet5", data="digits", label="8")
    page = open_step(told)
    page.keyboard.press("6")
    until(page, lambda: shown(page, "main h2"), "The same image again")
    page.keyboard.press("4")
    until(page, lambda: shown(page, "main h2"), "Backward: OUTPUT")
    page.keyboard.press("PageDown")
    until(page, lambda: shown(page, "main h2"), lambda head: head.startswith("The update: C1.weight"))
    page.get_by_role("button", name="The error").click()
    until(page, lambda: shown(page, "main .formula"), "error = −Σ target · ln(probability)")
    until(page, lambda: texts(page, ".terms tbody .right td:last-child"), [f"{told.error:.6f}"])
