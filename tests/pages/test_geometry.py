"""What the page works out by itself is what Python works out: fields of units, and places of boxes."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from typing import Any

import pytest
from figures import TARGET, figures, layouts, sampled
from wide_graphs import load, wide_spec

import cnnspec
from cnnspec import zoo
from cnnspec.drawing.page import data_of
from cnnspec.errors import SpecError

SOME = ("lenet5", "unet", "googlenet", "shufflenet_v2_x0_5", "m5", "c3d", "mobilenet_v3_small", "densenet121")
ASK = """(text) => {  // as text: playwright takes longer to hand over a network than the page to answer
    const [data, asked] = JSON.parse(text);
    return JSON.stringify(asked.map(([layer, unit]) => {
        const field = cnnspec.unitField(data, layer, unit);
        return field && [field.unclipped, field.clipped, field.pixels, field.context];
    }));
}"""


def compare(page: Any, name: str, spec: cnnspec.Spec, count: int) -> int:
    data = data_of(spec)
    pairs = list(sampled(spec, data, count, seed=len(name)))
    answers = json.loads(page.evaluate(ASK, json.dumps([data, [asked for asked, _ in pairs]])))
    for (asked, wanted), answer in zip(pairs, answers, strict=True):
        where = (name, data["layers"][asked[0]]["name"], asked[1])
        unclipped, clipped, pixels, context = answer
        if wanted[0] is not None:
            assert unclipped == wanted[0], where
        assert clipped == wanted[1], where
        assert pixels == wanted[2] or clipped is None, where
        assert context == wanted[3], where
    return len(pairs)


@pytest.mark.parametrize("name", SOME)
def test_fields_of_units(name: str, open_page: Callable[..., Any]) -> None:
    assert compare(open_page("lenet5"), name, cnnspec.load(name), 2) >= 16


@pytest.mark.long
def test_fields_of_units_of_the_whole_zoo(open_page: Callable[..., Any]) -> None:
    page = open_page("lenet5")
    assert sum(compare(page, name, cnnspec.load(name), 3) for name in sorted(zoo.names())) > 20_000


def compare_wide(page: Any, seeds: range) -> int:
    """Random graphs of every operator: every rule of the page, and axes that lie elsewhere."""
    count = 0
    for seed in seeds:
        try:
            spec = load(wide_spec(random.Random(seed)))
            count += compare(page, f"wide {seed}", spec, 3)
        except SpecError:  # one in four is broken, and some are too irregular
            continue
    return count


def test_fields_of_units_of_random_graphs(open_page: Callable[..., Any]) -> None:
    assert compare_wide(open_page("lenet5"), range(40)) > 300


@pytest.mark.long
def test_fields_of_units_of_many_random_graphs(open_page: Callable[..., Any]) -> None:
    assert compare_wide(open_page("lenet5"), range(40, 1500)) > 10_000


REGROUPED = """
cnnspec: 1
input: [4, 6, 8]
layers:
  c: Conv2d(4, 3, padding=1, padding_mode='reflect')
  u: Unflatten(1, unflattened_size=(2, 2))
  m: Mean(2)
  r: Reshape([2, 6, 4, 2])
  k: Amax(4)
  p: ReplicationPad2d(2)
  d: Conv2d(3, 3)
  x: Amax(1, keepdim=True)
"""


def test_fields_behind_axes_that_are_cut_and_taken_away(open_page: Callable[..., Any]) -> None:
    page = open_page("lenet5")
    try:
        assert compare(page, "regrouped", cnnspec.loads(REGROUPED), 8) >= 20
    finally:
        page.close()


def test_boxes_stand_where_draw_puts_them(open_page: Callable[..., Any]) -> None:
    page = open_page("lenet5")
    for case in layouts(60):
        theirs = page.evaluate("(given) => cnnspec.arrange(...given)", case["given"])
        points = [*theirs["tops"], *(point for route in theirs["routes"] for point in route)]
        flat = [*((point["x"], point["y"]) for point in points), (theirs["width"], theirs["height"])]
        assert len(flat) == len(case["points"])
        for one, two in zip(flat, case["points"], strict=True):
            assert one == pytest.approx(two, abs=1e-6)


def test_the_figures_of_the_tests_in_typescript_are_of_now() -> None:
    assert TARGET.read_text("utf-8") == figures(), "python tests/pages/figures.py writes them"
