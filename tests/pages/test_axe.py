"""Nothing on the pages that axe finds fault with: names, roles, contrast, order, in light and dark, wide and narrow."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from waiting import painted, texts, until

from cnnspec import api

AXE = Path(__file__).parents[2] / "web" / "node_modules" / "axe-core" / "axe.min.js"
Open = Callable[..., Any]

SPEC = """
cnnspec: 1
name: tiny
input: [1, 8, 8]
layers:
  c: Conv2d(4, 3)
  r: ReLU
  r2: ReLU
  m: MaxPool2d(2)
  f: Flatten
  out: Linear(10)
"""
ASK = """async () => (await axe.run(document, {resultTypes: ['violations']})).violations
    .flatMap((found) => found.nodes.map((node) => `${found.id}: ${node.target.join(' ')}: ${node.failureSummary}`))"""


@pytest.fixture(scope="module")
def axe() -> str:
    if not AXE.is_file():
        pytest.skip("axe-core is not there: `make web` installs it")
    return AXE.read_text("utf-8")


def faults(page: Any, axe: str, where: str) -> list[str]:
    painted(page)
    page.evaluate(f"() => {{ {axe}; globalThis.axe = axe ?? globalThis.axe; }}")
    return [f"{where}: {fault}" for fault in page.evaluate(ASK)]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> api.Run:
    folder = tmp_path_factory.mktemp("runs")
    api.train(
        api.loads(SPEC), name="tiny", runs=folder, progress=None, data="digits", epochs=1, threads=1, batch_size=256,
        channels_last=False, device="cpu",
    )  # fmt: skip
    return api.open_run(folder / "tiny")


@pytest.mark.parametrize(("width", "theme"), [(1400, "light"), (1400, "dark"), (390, "dark")])
def test_no_part_of_the_page_has_faults(width: int, theme: str, run: api.Run, axe: str, open_page: Open) -> None:
    page = open_page(run, width=width, height=900, theme=theme)
    found: list[str] = []
    for pane in ("run", "walk", "table", "calc", "source", "findings", "graph"):
        page.evaluate("pane => { cnnspec.view.pane = pane; }", pane)
        found += faults(page, axe, pane)
    page.evaluate("() => { cnnspec.view.pane = 'layer'; cnnspec.view.reveal(0); }")
    for about in ("values", "arithmetic", "field"):
        page.evaluate("about => { cnnspec.view.wanted = about; }", about)
        found += faults(page, axe, about)
    assert not found, "\n\n".join(found)


@pytest.mark.parametrize(("width", "theme"), [(1400, "light"), (390, "dark")])
def test_a_page_that_is_drawn_on_has_no_faults(width: int, theme: str, run: api.Run, axe: str, open_page: Open) -> None:
    page = open_page(run, width=width, height=900, theme=theme, live=True)
    until(page, lambda: texts(page, ".pad p"), ["Draw here, or drop or paste an image."])
    assert faults(page, axe, "live") == []


@pytest.mark.parametrize("name", ["googlenet", "lenet5"])  # of groups; and of so little that nothing else scrolls
def test_a_page_of_a_network_has_no_faults(name: str, axe: str, open_page: Open) -> None:
    page = open_page(name)
    assert faults(page, axe, name) == []


def test_two_networks_have_no_faults(browser: Any, axe: str, tmp_path: Path) -> None:
    path = api.draw_diff("resnet18", "resnet34", tmp_path / "both.html")
    page = browser.new_page(viewport={"width": 1400, "height": 900})
    page.goto(path.as_uri())
    page.wait_for_selector(".changes li")
    found = faults(page, axe, "diff")
    page.close()
    assert not found, "\n\n".join(found)
