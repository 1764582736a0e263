"""The page in a real browser: what it shows, what its keys do, and that it needs and does nothing else."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from waiting import painted, shown, texts, until

import cnnspec
from cnnspec.drawing.page import built, data_of, embedded

ROOT = Path(__file__).parents[2]
Open = Callable[..., Any]


def test_the_page_is_small_and_forbids_all_else() -> None:
    page = built("page")
    assert len(page.encode()) <= 250_000
    assert "default-src 'none'" in page
    assert "unsafe" not in page.partition("<style>")[0]


def test_graph_and_table_show_the_network(open_page: Open) -> None:
    page = open_page("lenet5")
    assert page.title() == "lenet5"
    report = cnnspec.load("lenet5").analyze()
    until(page, lambda: texts(page, "svg .layer .name"), [row.op for row in report.layers])
    until(page, lambda: texts(page, ".rows .first .label"), [row.name for row in report.layers])
    params = [f"{row.params:,}" if row.params else "–" for row in report.layers]
    until(page, lambda: texts(page, ".rows .row > :nth-child(5) .value"), params)


def test_a_layer_that_is_selected_shows_its_arithmetic_in_every_part(open_page: Open) -> None:
    spec = cnnspec.load("lenet5")
    page = open_page(spec)
    page.locator("svg .layer", has_text="16").first.click()
    until(page, lambda: shown(page, ".rows .selected .label"), "C3")
    wanted = {(head, " ".join(line.split())) for head, line in spec.explain("C3").lines if head}
    told = lambda: {*zip(texts(page, ".inspector dt"), texts(page, ".inspector dd"), strict=True)}  # noqa: E731
    until(page, told, wanted.issubset)
    page.get_by_role("tab", name="Source").click()
    until(page, lambda: shown(page, "li.current"), lambda line: "C3" in line)


def test_keys_go_from_box_to_box_and_open_groups(open_page: Open) -> None:
    page = open_page("resnet18")
    graph = page.get_by_role("application")
    page.get_by_role("button", name="Close all groups").click()
    graph.focus()
    until(page, "cnnspec.view.open.size", 0)
    for _ in range(5):
        page.keyboard.press("ArrowDown")
    until(page, "cnnspec.view.group", "layer1")
    page.keyboard.press("Enter")
    until(page, "[...cnnspec.view.open]", ["layer1"])
    page.keyboard.press("ArrowDown")
    until(page, "cnnspec.data.layers[cnnspec.view.layer]?.name", "layer1.0.conv1")
    page.keyboard.press("Escape")
    until(page, "cnnspec.view.selected", None)


def test_search_opens_what_it_finds(open_page: Open) -> None:
    page = open_page("resnet50")
    page.keyboard.press("/")
    page.keyboard.type("layer3.4.conv2")
    page.keyboard.press("Enter")
    until(page, lambda: shown(page, ".inspector h2"), "layer3.4.conv2")
    until(page, lambda: shown(page, ".turn"), "‹ copy 4 of 5 ›")
    until(page, page.locator("svg .layer.selected").count, 1)  # the graph pans there first


def test_a_column_sorts_all_layers(open_page: Open) -> None:
    page = open_page("googlenet")
    page.get_by_role("button", name="params").click()
    rows = sorted(cnnspec.load("googlenet").analyze().layers, key=lambda row: -row.params)
    until(page, lambda: texts(page, ".rows .first .label")[:3], [row.name for row in rows[:3]])


def test_only_what_is_in_sight_is_drawn(open_page: Open) -> None:
    page = open_page("efficientnet_b7")
    page.get_by_role("button", name="Open all groups").click()
    until(page, "cnnspec.view.scene.boxes.length", lambda boxes: boxes > 250)
    painted(page)
    until(page, page.locator("svg .layer").count, lambda drawn: 0 < drawn < 250)


def test_a_group_that_opens_stays_where_it_is(open_page: Open) -> None:
    page = open_page("googlenet")
    title = page.locator("svg .title", has_text="inception3a")
    before = title.bounding_box()
    title.click()
    until(page, lambda: title.locator("title").text_content(), lambda said: ", open," in said)
    until(page, title.bounding_box, lambda after: after is not None and abs(before["y"] - after["y"]) < 12)


def test_the_window_of_a_unit_follows_its_keys(open_page: Open) -> None:
    page = open_page("lenet5")
    page.evaluate("cnnspec.view.reveal(3)")
    page.get_by_role("tab", name="Window and field").click()
    spec = cnnspec.load("lenet5")
    page.locator("canvas.active").first.focus()
    for key, unit in (("ArrowRight", (5, 6)), ("ArrowUp", (4, 6))):
        page.keyboard.press(key)
        rows, columns = spec.field("C3", unit).clipped or ()
        parts = (f"Unit {unit[0]}, {unit[1]} ", f"rows {rows[0]} … {rows[1]}, columns {columns[0]} … {columns[1]}.")
        until(page, lambda: shown(page, ".lead"), lambda said, parts=parts: all(part in said for part in parts))


def test_a_pixel_says_which_units_see_it(open_page: Open) -> None:
    spec = cnnspec.load("lenet5")
    page = open_page(spec)
    page.evaluate("cnnspec.view.reveal(3)")
    page.get_by_role("tab", name="Window and field").click()
    page.locator("canvas.active").nth(1).focus()
    page.keyboard.press("ArrowUp")  # from the middle, 14, 14
    seers = 0
    for row in range(10):
        for column in range(10):
            (top, bottom), (left, right) = spec.field("C3", (row, column)).clipped or ()
            seers += top <= 13 <= bottom and left <= 14 <= right
    until(page, lambda: shown(page, ".inspector"), lambda said: f"Pixel 13, 14 is seen by {seers} units." in said)


def test_warnings_have_their_page(open_page: Open) -> None:
    text = "cnnspec: 1\ninput: [1, 8, 8]\nlayers: ['Conv2d(4, 3)', ReLU, ReLU, Flatten, Linear(2)]\n"
    page = open_page(cnnspec.loads(text))
    page.get_by_role("tab", name="Warnings").click()
    code = cnnspec.loads(text).lint()[0].code
    page.get_by_role("button", name=f"What {code} means").click()
    until(page, lambda: shown(page, ".page h3"), lambda heads: heads.startswith(f"{code}:"))


def test_it_follows_the_systems_colours_and_a_key_changes_them(open_page: Open) -> None:
    page = open_page("lenet5", theme="dark")
    until(page, "document.documentElement.dataset.theme", "dark")
    page.get_by_role("button", name="Light colours").click()
    until(page, "document.documentElement.dataset.theme", "light")


@pytest.mark.parametrize("name", ["lenet5", "unet", "m5", "c3d", "mlp"])
def test_a_narrow_page_has_all_parts_and_does_not_scroll_sideways(name: str, open_page: Open) -> None:
    page = open_page(name, width=390, height=844)
    for tab in ("Table", "Layer", "Source", "Warnings", "Graph"):
        page.get_by_role("tab", name=tab).click()
        until(page, lambda tab=tab: page.get_by_role("tab", name=tab).get_attribute("aria-selected"), "true")
        painted(page)
        until(page, "document.documentElement.scrollWidth", 390)


def test_hostile_words_do_nothing(browser: Any, tmp_path: Path) -> None:
    evil = "</script><script>document.title='evil'</script><img src=x onerror=\"document.title='evil'\">\u202e\x1b[31m"
    network = cnnspec.loads("cnnspec: 1\ninput: [1, 8, 8]\nlayers: ['Conv2d(2, 3)', ReLU]\n")
    data = data_of(replace(network, graph=replace(network.graph, name=evil)))
    data["description"] = data["reference"] = data["source"]["text"] = evil
    data["layers"][0] |= {"name": evil, "call": evil, "details": evil, "kind": data["layers"][0]["kind"]}
    data["findings"] = [
        {"code": "W999", "severity": "warning", "message": evil, "layers": [evil], "help": evil, "line": 1}
    ]
    data["pages"] = {"W999": f"# {evil}\n\n{evil}\n\n- {evil}"}
    text = built("page").replace('id="data">null<', f'id="data">{embedded(data)}<')
    assert text.count("<script") == built("page").count("<script")
    path = tmp_path / "evil.html"
    path.write_text(text, "utf-8")
    asked: list[str] = []
    page = browser.new_page()
    page.on("request", lambda request: asked.append(request.url))
    page.goto(path.as_uri())
    page.wait_for_selector("svg .layer")
    page.locator("svg .layer").first.click()
    for tab in ("Source", "Warnings"):
        page.get_by_role("tab", name=tab).click()
    page.get_by_role("button", name="What W999 means").click()
    page.wait_for_selector(".page h3")
    painted(page)
    assert page.locator("img").count() == 0
    assert page.title().startswith("</script>")
    assert asked == [path.as_uri()]
    page.close()


def test_nothing_runs_but_what_the_page_was_built_with(browser: Any, tmp_path: Path) -> None:
    path = tmp_path / "forged.html"
    forged = "<script>document.title='forged'</script>"
    data = embedded(data_of(cnnspec.load("lenet5")))
    path.write_text(
        built("page").replace('id="data">null<', f'id="data">{data}<').replace("</body>", f"{forged}</body>")
    )
    page = browser.new_page()
    page.goto(path.as_uri())
    page.wait_for_selector("svg .layer")
    painted(page)
    assert page.title() == "lenet5"
    page.close()


def test_the_sources_name_no_address() -> None:
    for path in (ROOT / "web").glob("src/**/*"):
        assert not re.search(r"https?://", path.read_text("utf-8")), path
    lock = (ROOT / "web" / "package-lock.json").read_text("utf-8")
    assert '"resolved"' not in lock
