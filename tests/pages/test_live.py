"""The live editor in a real browser: typing, hints, a mistake and its fix by key, saving, and the network beside it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from served_page import served
from waiting import shown, texts, until

SPEC = "cnnspec: 1\nname: small\ninput: [1, 8, 8]\nlayers:\n  conv: Conv2d(4, 3)\n"
HINTS = ".cm-hint"


@pytest.fixture
def live(browser: Any, tmp_path: Path) -> Iterator[Any]:
    """The page of `cnnspec serve` for a folder with one spec, which at the end has said nothing is wrong."""
    (tmp_path / "net.yaml").write_text(SPEC)
    with served(browser, tmp_path) as page:
        page.wait_for_selector(".cm-hint")
        yield page


def test_a_spec_is_typed_mended_and_saved(live: Any, tmp_path: Path) -> None:
    until(live, lambda: texts(live, HINTS), ["→ 4x6x6 rf 3x3"])
    live.locator(".cm-content").click()
    live.keyboard.press("Control+End")
    live.keyboard.insert_text("  pool: MaxPol2d(2)\n")
    live.wait_for_selector(".cm-lintRange-error")
    until(live, lambda: shown(live, ".errors"), "1 error")
    until(live, lambda: texts(live, HINTS)[:1], ["→ 4x6x6 rf 3x3"])  # the rest is not darkened
    live.keyboard.press("ArrowUp")
    live.keyboard.press("Control+.")
    until(live, lambda: texts(live, HINTS), ["→ 4x6x6 rf 3x3", "→ 4x3x3 rf 4x4"])
    until(live, lambda: shown(live, ".cm-content"), lambda text: "MaxPool2d(2)" in text)
    live.get_by_role("tab", name="Table").click()
    until(live, live.locator(".rows .row").count, 2)
    live.locator(".cm-content").focus()
    live.keyboard.press("Control+s")
    until(live, live.locator(".dirty").count, 0)
    assert (tmp_path / "net.yaml").read_text() == SPEC + "  pool: MaxPool2d(2)\n"


def test_a_file_that_changed_on_the_disk_is_not_written_over(live: Any, tmp_path: Path) -> None:
    (tmp_path / "net.yaml").write_text(SPEC + "# theirs\n")
    live.locator(".cm-content").click()
    live.keyboard.press("Control+End")
    live.keyboard.insert_text("# mine\n")
    live.keyboard.press("Control+s")
    live.get_by_role("alert").wait_for()
    assert (tmp_path / "net.yaml").read_text() == SPEC + "# theirs\n"
    live.get_by_role("button", name="Take the one on the disk").click()
    until(live, lambda: shown(live, ".cm-content"), lambda text: "# theirs" in text)


def test_a_layer_is_selected_in_text_and_graph_alike(live: Any) -> None:
    live.locator(".cm-line", has_text="conv:").click()
    live.wait_for_selector("svg .layer.selected")
    until(live, lambda: shown(live, ".inspector h2"), "conv")


def test_a_bundled_network_opens_as_a_copy(live: Any, tmp_path: Path) -> None:
    live.get_by_label("Open", exact=True).select_option("zlenet5")
    until(live, live.locator(".cm-hint").count, lambda count: count > 10)
    until(live, lambda: shown(live, ".file"), "lenet5.yaml")
    live.get_by_role("button", name="Save").click()
    live.get_by_role("button", name="Save", exact=True).last.click()
    until(live, (tmp_path / "lenet5.yaml").is_file)
    until(live, live.locator(".dirty").count, 0)
    assert re.match("cnnspec: 1", (tmp_path / "lenet5.yaml").read_text())


def test_hints_of_the_active_line_alone(live: Any) -> None:
    shown = live.locator(".cm-hint:visible")
    live.locator(".cm-line", has_text="conv:").click()
    live.get_by_label("hints").select_option("line")
    until(live, shown.count, 1)
    live.locator(".cm-line", has_text="name:").click()
    until(live, shown.count, 0)
    live.get_by_label("hints").select_option("all")
    until(live, shown.count, 1)
