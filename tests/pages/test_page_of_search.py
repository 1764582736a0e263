"""The page of a search in a real browser."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
from waiting import until

import cnnspec
from cnnspec.pages.search_page import search_data, search_page
from cnnspec.search.folder import SearchPlan
from cnnspec.search.judge import Figures
from cnnspec.search.records import TrialRecord
from cnnspec.search.space import Candidate
from cnnspec.search.start import SearchResult
from cnnspec.training.config import resolve_config

SPEC = """\
cnnspec: 1
name: net
input: [1, 8, 8]
params: {width: 4, act: ReLU}
layers: ["Conv2d(width, 3)", act, Flatten, Linear(10)]
search: {space: {width: {int: [2, 16]}, act: [ReLU, SiLU], train.lr: {log: [0.01, 0.2]}}, trials: 12}
"""


@pytest.fixture
def result(tmp_path: Path) -> SearchResult:
    """A search as it would be after twelve trials, one of which failed, and one in four ended early."""
    return searched(SPEC, tmp_path)


def searched(text: str, folder: Path) -> SearchResult:
    spec = cnnspec.loads(text, purpose="train")
    section = spec.source.document.search
    assert section is not None
    plan = SearchPlan(spec, section, resolve_config(), False)
    draw = random.Random(3)
    records = []
    for number in range(12):
        width, act = draw.randint(2, 16), draw.choice(("ReLU", "SiLU"))
        candidate = Candidate({"width": width, "act": act, "train.lr": 10 ** draw.uniform(-2, -0.7)})
        figures = Figures.of(cnnspec.loads(text).with_params({"width": width, "act": act}).analyze())
        failed = number == 5
        status = "failed" if failed else "pruned" if number % 4 == 2 else "complete"
        score = None if failed else 0.5 + 0.02 * width + draw.uniform(0, 0.1)
        records.append(
            TrialRecord(
                number,
                status,
                candidate,
                figures,
                score,
                3,
                1.5,
                None,
                folder / f"t{number:04}",
                "</script><b>the loss is nan" if failed else None,
                figure=plan.figure,
            )
        )
    return SearchResult(folder / "small", plan, tuple(records))


def test_the_data_are_those_of_the_search(result: SearchResult) -> None:
    data = search_data(result, "params")
    assert data["front"] == [record.name for record in result.front("params")]
    assert data["logarithmic"] == ["train.lr"]
    assert json.loads(json.dumps(data)) == data


def test_front_lines_and_table_show_what_is_kept(result: SearchResult, browser: Any, tmp_path: Path) -> None:
    path = tmp_path / "search.html"
    path.write_text(search_page(result), "utf-8")
    assert "unsafe" not in path.read_text("utf-8").partition("<style>")[0]
    wrong: list[str] = []
    page = browser.new_page(viewport={"width": 1400, "height": 1000})
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("console", lambda said: wrong.append(said.text) if said.type in ("error", "warning") else None)
    page.on("request", lambda asked: wrong.append(asked.url) if asked.url != path.as_uri() else None)
    page.goto(path.as_uri())
    rows = page.locator("tbody tr")
    until(page, rows.count, 12)
    best = result.best
    assert best is not None
    assert rows.first.locator("th").inner_text() == max(result.trials, key=lambda each: each.accuracy or 0).name
    for cost in ("macs", "params"):
        page.get_by_role("combobox").select_option(cost)
        front = sorted(record.name for record in result.front(cost))
        until(page, lambda: sorted(page.locator("svg[role=img] text.name").all_text_contents()), front)
    page.get_by_role("slider", name="What is kept of width").focus()
    for _ in range(10):  # the upper half goes
        page.keyboard.press("ArrowDown")
    least, most = (pick(record.candidate.values["width"] for record in result.trials) for pick in (min, max))
    kept = [record for record in result.trials if record.candidate.values["width"] <= (least + most) / 2]
    until(page, rows.count, len(kept))
    until(page, page.locator("svg[role=img] circle.left").count, 11 - sum(each.accuracy is not None for each in kept))
    page.get_by_role("button", name="Keep all").click()
    until(page, rows.count, 12)
    assert page.evaluate("document.documentElement.scrollWidth") == 1400
    page.close()
    assert wrong == []


def test_the_score_of_another_task_is_called_and_written_as_it_is(browser: Any, tmp_path: Path) -> None:
    text = SPEC.replace("params:", "task: {type: regression, numbers: [ink]}\nparams:").replace("(10)", "(1)")
    path = tmp_path / "search.html"
    found = searched(text, tmp_path)
    path.write_text(search_page(found), "utf-8")
    page = browser.new_page(viewport={"width": 1400, "height": 1000})
    page.goto(path.as_uri())
    row = page.locator("tbody tr").first
    row.wait_for()
    assert row.locator("td").first.inner_text() == f"{max(each.score or 0 for each in found.trials):.4f}"
    shown = page.locator("body").inner_text() + page.locator("main").inner_html()
    assert "R² against cost" in shown
    assert "accura" not in shown
    page.close()
