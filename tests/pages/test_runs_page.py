"""The runs of a folder in `cnnspec serve`: listed, opened, compared, and followed while one goes on."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from served_page import served
from waiting import shown, texts, until

import cnnspec


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run that has ended, and one that has come half way."""
    root: Path = tmp_path_factory.mktemp("folder")
    cnnspec.train("mlp", name="ended", runs=root / "runs", epochs=4, threads=1, progress=None)
    going = root / "runs" / "going"
    shutil.copytree(root / "runs" / "ended", going)
    (going / "result.json").unlink()
    lines = (going / "metrics.jsonl").read_text().splitlines(keepends=True)
    (going / "metrics.jsonl").write_text("".join(lines[:2]))
    (root / "runs" / "broken").mkdir()
    (root / "runs" / "broken" / "config.yaml").write_text("no: run")
    return root


def test_runs_are_listed_compared_and_followed(browser: Any, folder: Path) -> None:
    with served(browser, folder, "runs#ended") as page:
        until(page, lambda: sorted(texts(page, "li .name")), ["broken", "ended", "going"])
        until(page, lambda: shown(page, ".lead"), lambda lead: "ended: mlp" in lead and "4 of 4 epochs" in lead)
        going = page.locator("li", has=page.get_by_text("going", exact=True))
        until(page, going.inner_text, lambda text: "2 of 4 epochs" in text)
        page.get_by_label("going beside").check()
        until(page, lambda: texts(page, ".lead b"), ["ended", "going"])
        until(page, page.locator("path.line.run1").count, 4)
        line = page.locator("path.line.run1").nth(1)
        before = line.get_attribute("d")
        rows = (folder / "runs" / "ended" / "metrics.jsonl").read_text()
        (folder / "runs" / "going" / "metrics.jsonl").write_text("".join(rows.splitlines(keepends=True)[:3]))
        until(page, going.inner_text, lambda text: "3 of 4 epochs" in text)
        until(page, lambda: line.get_attribute("d"), lambda after: after != before)
        page.get_by_role("button", name="going").click()
        until(page, lambda: texts(page, ".lead b"), ["going"])
        until(page, lambda: shown(page, ".lead"), lambda lead: "3 of 4 epochs, not finished" in lead)
