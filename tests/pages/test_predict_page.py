"""A network served with `--predict`: a digit is drawn with the mouse and recognised, and other inputs are opened."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
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


def exported(root: Path, name: str, shape: str, layer: str, task: str = "") -> None:
    """A network of one layer, or two, with random weights, as `NAME.onnx`."""
    (root / f"{name}.yaml").write_text(f"cnnspec: 1\nname: {name}\ninput: {shape}\n{task}layers: [{layer}]\n")
    cnnspec.export(root / f"{name}.yaml", root / f"{name}.onnx", verify=False)


def npy(array: Any) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def test_a_mask_is_shown_beside_its_image(browser: Any, tmp_path: Path) -> None:
    exported(tmp_path, "shapes", "[3, 16, 16]", '"Conv2d(2, 3, padding=1)"', "task: segmentation\n")
    file = io.BytesIO()
    Image.fromarray(np.zeros((16, 16, 3), np.uint8)).save(file, "PNG")
    with served(browser, tmp_path, "", "--predict", "shapes.onnx") as page:
        until(page, lambda: "2 classes for every place" in shown(page, "#about"))
        page.locator("#file").set_input_files({"name": "a.png", "mimeType": "image/png", "buffer": file.getvalue()})
        until(page, "document.querySelector('#answers img')?.naturalWidth", 16)
        until(page, lambda: page.locator("#answers li .patch").count() > 0)


def test_a_signal_is_opened_as_an_array(browser: Any, tmp_path: Path) -> None:
    exported(tmp_path, "signal", "[1, 8]", '"Linear(3)", Flatten', "")
    with served(browser, tmp_path, "", "--predict", "signal.onnx") as page:
        until(page, lambda: "(N, 1, 8)" in shown(page, "#hint"))
        assert not page.locator("#pad").is_visible()
        array = npy(np.zeros((2, 1, 8), np.float32))
        page.locator("#file").set_input_files({"name": "a.npy", "mimeType": "", "buffer": array})
        until(page, lambda: texts(page, "#answers h2"), ["Sample 1 of 2", "Sample 2 of 2"])
