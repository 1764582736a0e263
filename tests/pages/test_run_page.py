"""The page of a run, of two runs, of two networks, and the calculator, in a real browser."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from waiting import until

from cnnspec import api

Open = Callable[..., Any]
SPEC = (
    "cnnspec: 1\nname: tiny\ninput: [1, 8, 8]\nlayers:\n  c: Conv2d(4, 3)\n  r: ReLU\n  f: Flatten\n  out: Linear(10)\n"
)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[api.Run]:
    folder = tmp_path_factory.mktemp("runs")
    found = []
    for name, rate in (("one", 0.05), ("two", 0.01)):
        api.train(
            api.loads(SPEC), name=name, runs=folder, progress=None, data="digits", epochs=3, threads=1, batch_size=128,
            channels_last=False, lr=rate, device="cpu",
        )  # fmt: skip
        found.append(api.open_run(folder / name))
    return found


def test_curves_say_the_figures_of_an_epoch(runs: list[api.Run], open_page: Open) -> None:
    page = open_page(runs[0])
    chart = page.get_by_role("img", name="Loss by epoch")
    chart.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    page.get_by_text("epoch 2:").first.wait_for()
    said = page.locator(".said").first.inner_text()
    wanted = runs[0].metrics[1]
    assert f"training {wanted.train_loss:.3f}, validation {wanted.val_loss:.3f}" in said


def test_a_cell_of_the_matrix_shows_its_images(runs: list[api.Run], open_page: Open) -> None:
    page = open_page(runs[0])
    matrix = page.evaluate("cnnspec.data.runs[0].judged.confusion")
    row, column = max(
        ((i, j) for i in range(10) for j in range(10) if i != j), key=lambda place: matrix[place[0]][place[1]]
    )
    assert page.locator(".images li canvas").first.is_visible()
    page.get_by_role("button", name=f"{row} taken for {column}: {matrix[row][column]}").click()
    kept = [each for each in page.evaluate("cnnspec.data.runs[0].judged.pictures") if each["true"] == row]
    until(page, page.locator(".images li canvas").count, sum(each["predicted"] == column for each in kept))
    texts = page.locator(".images li span:first-of-type").all_inner_texts()
    assert set(texts) == {f"{row} → {column}"}
    page.keyboard.press("ArrowRight")
    expected = f"{row} {min(9, column + 1)}"
    until(page, "document.activeElement.dataset.cell", expected)


def test_the_walk_shows_each_sample(runs: list[api.Run], open_page: Open) -> None:
    page = open_page(runs[0])
    page.get_by_role("tab", name="What it computes").click()
    page.wait_for_selector(".walk .layers canvas")
    assert page.locator(".walk .samples button").count() == 10
    page.locator(".walk .samples button", has_text="8").click()
    until(page, "cnnspec.view.values.seen.recorded.sample.label", 8)
    page.get_by_role("button", name="3", exact=True).last.click()
    until(page, "cnnspec.view.values.reason", 3)
    page.get_by_role("button", name="occlusion").click()
    page.get_by_text("Occlusion: red where").wait_for()


def test_two_runs_stand_side_by_side(runs: list[api.Run], open_page: Open) -> None:
    page = open_page(runs[0], beside=runs[1])
    assert page.locator(".run thead th", has_text="two").count() >= 2
    row = page.locator("tr.differ", has=page.get_by_role("rowheader", name="lr", exact=True))
    assert row.locator("td").all_inner_texts() == ["0.05", "0.01"]
    assert page.locator("path.line.run1").count() == 4


def test_what_is_not_there_is_told_and_the_rest_is_shown(runs: list[api.Run], tmp_path: Path) -> None:
    import shutil

    copy = tmp_path / "copy"
    shutil.copytree(runs[0].path, copy)
    (copy / "best.safetensors").unlink()
    told: list[str] = []
    page = api.draw(copy, tmp_path / "n.html", report=told.append).read_text("utf-8")
    assert '"runs":' in page
    assert '"computed"' not in page.partition('id="data">')[2]
    assert len(told) == 2


def test_changes_are_marked_in_both_networks(browser: Any, tmp_path: Path) -> None:
    path = api.draw_diff("resnet18", "resnet34", tmp_path / "both.html")
    changes = api.diff("resnet18", "resnet34").changes
    page = browser.new_page(viewport={"width": 1400, "height": 900})
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(path.as_uri())
    page.wait_for_selector(".changes li")
    assert page.locator(".changes li").count() == len(changes)
    added = next(change for change in changes if change.kind == "added")
    assert added.after is not None
    page.locator(".changes li button", has_text=added.after.name).first.click()
    until(page, "cnnspec.views[1].data.layers[cnnspec.views[1].layer]?.name", added.after.name)
    assert page.evaluate("[...cnnspec.views[1].marks.values()].includes('added')")
    assert asked == [path.as_uri()]
    page.set_viewport_size({"width": 390, "height": 844})
    page.get_by_role("tab", name="resnet34").click()
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    page.close()


def test_the_calculator_is_that_of_calc(open_page: Open) -> None:
    page = open_page("lenet5")
    page.evaluate("cnnspec.view.reveal(0)")
    page.get_by_role("tab", name="Sizes").click()
    page.get_by_role("button", name="take those of C1").click()
    page.get_by_text("28 units along each axis").wait_for()
    page.get_by_label("stride as a number").fill("3")
    wanted = api.calculate([api.Layer("conv2d", {"kernel_size": 5, "stride": 3, "padding": 2}, 28)]).steps[0].output[-1]
    page.get_by_text(f"{wanted} units along each axis").wait_for()
    page.get_by_label("kernel as a number").fill("40")
    page.get_by_text("The window does not fit").wait_for()


SIGNAL = """\
cnnspec: 1
name: ink
input: [1, 32]
task: {type: regression, numbers: [level]}
layers: ['Conv1d(4, 5)', ReLU, Flatten, 'Linear(1)']
"""


def test_a_run_of_another_task_has_its_figures_and_no_accuracy(open_page: Open, tmp_path: Path) -> None:
    x = np.random.default_rng(0).standard_normal((80, 1, 32)).astype(np.float32)
    api.train(
        api.loads(SIGNAL), name="ink", runs=tmp_path, progress=None, data=(x, x.mean(2)), epochs=2, threads=1,
        batch_size=16, device="cpu",
    )  # fmt: skip
    run = api.open_run(tmp_path / "ink")
    page = open_page(run, values=False)
    page.get_by_role("img", name="R² by epoch").wait_for()
    assert page.locator(".charts figcaption b").all_inner_texts() == ["Loss", "R²", "MAE"]
    assert run.result is not None
    told = f"{run.result['val_r2']:.4f}".replace("-", "−")
    assert page.get_by_role("row", name="R², validation").locator("td").inner_text() == told
    shown = page.locator(".run").inner_html()
    assert "ccuracy" not in shown
    assert "images" not in page.locator(".run > :not(table)").all_inner_texts()
