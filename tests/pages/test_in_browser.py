"""A network that runs in its own page: what it is given there is what `predict` gives it, and so is what it answers."""

from __future__ import annotations

import base64
import math
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import PIL
import pytest
from PIL import Image
from waiting import texts, until

from cnnspec import api
from cnnspec.errors import UsageError
from cnnspec.exporting.subject import of_spec
from cnnspec.images import read_image
from cnnspec.pages.in_browser import check_live, in_browser, with_engine
from cnnspec.runtime.predictor import Predictor

Open = Callable[..., Any]

GREY = """
cnnspec: 1
name: grey
input: {shape: [1, 20, 16], mean: [0.13], std: [0.31]}
layers:
  c: Conv2d(4, 3)
  r: ReLU
  m: MaxPool2d(2)
  f: Flatten
  out: Linear(3)
"""
COLOUR = """
cnnspec: 1
name: colour
input: {shape: [3, 40, 48], mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225], fit: crop, resize: 50}
layers:
  c: Conv2d(20, 3)
  r: ReLU
  p: AdaptiveAvgPool2d(1)
  f: Flatten
  out: Linear(4)
"""
SIZES = ((16, 20), (64, 80), (131, 37), (9, 50), (3, 200))  # the input's own, and larger, wider, higher, smaller
EIGHT = [(0.5 + 0.17 * math.sin(2 * turn), 0.5 - 0.3 * math.cos(turn)) for turn in np.linspace(0, 2 * math.pi, 30)]


LAST_BIT = 0 if int(PIL.__version__.partition(".")[0]) >= 13 else 1  # older ones take the axes in another order


def with_weights(text: str, folder: Path) -> tuple[api.Spec, Path]:
    from safetensors.numpy import save_file

    spec = api.loads(text)
    path = folder / "w.safetensors"
    save_file(dict(of_spec(spec, None, 3).weights), path)
    return spec, path


def pictures(folder: Path) -> list[Path]:
    """Images of several sizes and kinds of pixels."""
    random = np.random.default_rng(0)
    found = []
    for number, (width, height) in enumerate(SIZES):
        kind = ("L", "RGB", "P")[number % 3]
        pixels = random.integers(0, 256, (height, width, 3) if kind == "RGB" else (height, width), np.uint8)
        image = Image.fromarray(pixels)
        found.append(folder / f"{number}.png")
        (image.convert("P") if kind == "P" else image).save(found[-1])
    found.append(folder / "clear.png")
    clear = random.integers(0, 256, (30, 30, 4), np.uint8)
    clear[..., 3] = np.where(clear[..., 3] > 128, 255, 0)  # of what is in between, a canvas loses the last bit
    Image.fromarray(clear).save(found[-1])
    found.append(folder / "turned.jpg")
    turned = Image.fromarray(random.integers(0, 256, (24, 60), np.uint8))
    exif = Image.Exif()
    exif[0x0112] = 6
    turned.save(found[-1], exif=exif, quality=95)
    return found


def started(page: Any) -> None:
    until(page, lambda: texts(page, ".pad p"), lambda said: said != [] and "Starting" not in said[0])


@pytest.mark.parametrize("text", [GREY, COLOUR])
def test_an_image_is_seen_and_answered_as_by_predict(text: str, open_page: Open, tmp_path: Path) -> None:
    spec, weights = with_weights(text, tmp_path)
    exported = api.export(spec, tmp_path / "net.onnx", weights=weights, verify=False)
    predictor = Predictor(exported.path)
    page = open_page(spec, weights=weights, live=True)
    assert texts(page, ".samples button") == ["nothing"]
    started(page)
    for path in pictures(tmp_path):
        page.set_input_files(".walk input[type=file]", str(path))
        until(page, "cnnspec.view.values.seen.recorded.sample.name", path.name)
        seen = page.evaluate("[[...cnnspec.view.values.seen.picture.values], cnnspec.view.values.seen.probabilities]")
        wanted = predictor.pixels(path)
        off = np.abs(np.array(seen[0]) - wanted.transpose(2, 0, 1).ravel()).max()
        assert off <= LAST_BIT, path.name
        assert off or np.abs(np.array(seen[1]) - predictor.probabilities(wanted[None])[0]).max() <= 1e-5, path.name
    page.get_by_label("invert").check()
    inverted = predictor.pixels(path, invert=True).transpose(2, 0, 1).ravel().tolist()
    until(page, "[...cnnspec.view.values.seen.picture.values]", inverted)
    page.set_input_files(".walk input[type=file]", str(weights))
    until(page, lambda: texts(page, ".pad p"), ["That is no image that this browser reads."])


def test_all_follows_what_is_drawn(open_page: Open, tmp_path: Path) -> None:
    spec, weights = with_weights(GREY, tmp_path)
    (image,) = pictures(tmp_path)[:1]
    page = open_page(spec, weights=weights, images=(str(image),), live=True)
    page.evaluate("cnnspec.view.reveal(0)")
    started(page)
    maps = "[...cnnspec.view.values.seen.recorded.tensors.get(cnnspec.view.index.number('m')).values]"
    before, result = page.evaluate(maps), page.locator(".result").inner_text()
    box = page.get_by_label("Draw here").bounding_box()
    points = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in EIGHT]
    page.mouse.move(*points[0])
    page.mouse.down()
    for point in points[1:]:
        page.mouse.move(*point)
    page.mouse.up()
    until(page, "cnnspec.view.values.seen.recorded.sample.name", "your drawing")
    until(page, maps, lambda after: after != before)
    until(page, page.locator(".result").inner_text, lambda text: text != result)
    until(page, lambda: texts(page, ".walk figcaption")[1], "your drawing")
    errors = page.evaluate(
        """() => {
          const { recorded } = cnnspec.view.values.seen;
          return cnnspec.data.layers.map((layer, number) => {
            const unit = layer.shape.map((length) => Math.floor(length / 2));
            const sum = recorded.sum(number, unit);
            return sum.computed === null ? 0 : Math.abs(sum.computed - sum.value);
          });
        }"""
    )
    assert max(errors) <= 1e-5
    page.get_by_role("button", name="0.png").click()
    until(page, maps, before)


def test_the_model_of_a_page_is_the_network(tmp_path: Path) -> None:
    spec, weights = with_weights(COLOUR, tmp_path)
    data = in_browser(of_spec(spec, weights, 0), [0, 4])
    model = onnx.load_model_from_string(zlib.decompress(base64.b64decode(data["model"]), -zlib.MAX_WBITS))
    assert [output.name for output in model.graph.output] == ["c", "out"]
    assert data["intake"]["resize"] == 50


def test_samples_are_fitted_as_the_spec_says(tmp_path: Path) -> None:
    from cnnspec.pages.samples import of_files

    spec, _ = with_weights(COLOUR, tmp_path)
    path = pictures(tmp_path)[1]
    wanted = read_image(path, spec.graph.input_shape, intake=spec.graph.intake)
    assert np.array_equal(of_files(spec.graph, [str(path)]).raw[0], wanted)


def test_the_engine_comes_with_no_more_than_it_needs() -> None:
    page = api.loads(GREY)._repr_html_()
    assert "wasm" not in page.partition("&lt;style&gt;")[0]
    from cnnspec.drawing.page import built

    live = with_engine(built("page"))
    policy = live.partition("<title>")[0]
    assert "'wasm-unsafe-eval'" in policy
    assert "'unsafe-" not in policy
    assert "default-src 'none'" in policy
    assert len(live) <= 5_500_000


def test_what_cannot_be_drawn_on_is_told(tmp_path: Path) -> None:
    spec, weights = with_weights(GREY, tmp_path)
    with pytest.raises(UsageError, match="only a page"):
        api.draw(spec, tmp_path / "n.svg", live=True)
    with pytest.raises(UsageError, match="no weights"):
        api.draw(spec, tmp_path / "n.html", live=True)
    with pytest.raises(UsageError, match="shows what the network computes"):
        api.draw(spec, tmp_path / "n.html", weights=weights, live=True, values=False)
    with pytest.raises(UsageError, match="reads 2x40"):
        api.draw(
            api.loads("cnnspec: 1\ninput: [2, 40]\nlayers: [Flatten, 'Linear(4)']\n"), tmp_path / "n.html", live=True
        )
    with pytest.raises(UsageError, match="138,357,544 weights"):
        check_live(api.load("vgg16").graph)
    assert not list(tmp_path.glob("n.*"))
