"""What layers compute, as a page is given it: held to torch, to onnxruntime, and in the browser to its own sums."""

from __future__ import annotations

import base64
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from waiting import until

import cnnspec
from cnnspec import api
from cnnspec.errors import UsageError
from cnnspec.exporting.subject import of_spec
from cnnspec.pages.computed import CHANNELS, SIDE, computed
from cnnspec.pages.packed import quantized, shrunk
from cnnspec.pages.samples import Samples, of_files
from cnnspec.pages.values import every_layer
from cnnspec.torch_backend import build_module

Open = Callable[..., Any]

# Every rule that a page knows: groups, strides, padding, dilation, a transposed one, pools of all kinds, joins.
MIXED = """
cnnspec: 1
name: mixed
input: [1, 14, 12]
layers:
  a: Conv2d(6, 3, padding=1, stride=2)
  n: BatchNorm2d
  r: ReLU(inplace=True)
  g: Conv2d(6, (3, 1), groups=3, padding=(2, 0), dilation=(2, 1), bias=False)
  s: Add(r, g)
  t: ConvTranspose2d(4, 3, stride=2, padding=1, groups=2)
  m: MaxPool2d(3, stride=2, padding=1)
  v: AvgPool2d(3, stride=2, padding=1)
  w: AvgPool2d(2, stride=1, padding=1, count_include_pad=False)
  c: Concat(w, w)
  p: Mul(c, c)
  k: AdaptiveAvgPool2d((2, 3))
  x: AdaptiveMaxPool2d(2)
  h: Tanh
  q: Sigmoid
  e: GELU
  f: Flatten
  d: Dropout
  out: Linear(5)
"""


def noise(spec: Any, count: int = 2) -> Samples:
    raw = np.random.default_rng(1).integers(0, 256, (count, *spec.graph.input_shape[1:], spec.graph.input_shape[0]))
    return Samples(raw.astype(np.uint8), tuple(map(str, range(count))), (None,) * count)


@pytest.fixture
def spec() -> Any:
    return cnnspec.loads(MIXED)


def test_values_are_those_of_torch_and_of_onnxruntime(spec: Any) -> None:
    weights = of_spec(spec, None, 3).weights
    inputs = noise(spec).inputs(spec.graph)
    ours = every_layer(spec.graph, weights, engine="torch")(inputs)
    theirs = every_layer(spec.graph, weights, engine="onnx")(inputs)
    module = build_module(spec.graph).eval()
    module.load_state_dict({name: torch.from_numpy(array) for name, array in weights.items()}, strict=False)
    found = {}

    class Watch(torch.fx.Interpreter):
        def run_node(self, n: torch.fx.Node) -> Any:
            value = super().run_node(n)
            if "layer" in n.meta:
                found[n.meta["layer"]] = value.detach().clone()  # before an activation writes over it
            return value

    with torch.no_grad():
        Watch(module).run(torch.from_numpy(inputs))
    assert list(ours) == [node.name for node in spec.graph] == list(theirs)
    for name, wanted in found.items():
        assert np.abs(ours[name] - wanted.numpy()).max() <= 1e-5, name
        assert np.abs(theirs[name] - wanted.numpy()).max() <= 1e-5, name


def test_exact_layers_are_kept_bit_for_bit_and_others_to_half_a_step() -> None:
    spec = cnnspec.loads(
        "cnnspec: 1\ninput: [3, 70, 50]\nlayers: ['Conv2d(20, 3)', 'AdaptiveAvgPool2d(2)', Flatten, 'Linear(4)']\n"
    )
    subject = of_spec(spec, None, 0)
    samples = noise(spec, 1)
    data = computed(subject, samples)
    values = every_layer(spec.graph, subject.weights)(samples.inputs(spec.graph))
    names = [node.name for node in spec.graph]
    raw = zlib.decompress(base64.b64decode(data["samples"][0]["data"]), -zlib.MAX_WBITS)
    exact = [each for each in data["tensors"] if each["exact"] and not each["follows"]]
    assert [each["layer"] for each in data["tensors"] if each["follows"]] == []  # what the pool reads is in eight bits
    start = 0
    for each in exact:
        count = int(np.prod(each["shape"]))
        kept = np.frombuffer(raw, "<f4", count, start)
        assert np.array_equal(kept, values[names[each["layer"]]][0].ravel()), each
        start += 4 * count
    assert [each["shape"] for each in data["tensors"] if not each["exact"]] == [[3, SIDE, SIDE], [CHANNELS, SIDE, SIDE]]
    for each, (low, high) in zip(
        (e for e in data["tensors"] if not e["exact"]), data["samples"][0]["ranges"], strict=True
    ):
        count = int(np.prod(each["shape"]))
        steps = np.frombuffer(raw, np.uint8, count, start).astype(np.float64)
        start += count
        whole = samples.inputs(spec.graph)[0] if each["layer"] < 0 else values[names[each["layer"]]][0]
        wanted = shrunk(whole[:CHANNELS], SIDE).ravel()
        assert np.abs(low + steps / 255 * (high - low) - wanted).max() <= (high - low) / 510 * 1.001


def test_quantized_values_span_the_whole_range() -> None:
    steps, low, high = quantized(np.array([-1.0, 0.0, np.nan, 3.0], np.float32))
    assert (low, high) == (-1.0, 3.0)
    assert steps.tolist() == [0, 64, 64, 255]
    assert quantized(np.zeros(3, np.float32))[0].tolist() == [0, 0, 0]


def test_shrunk_maps_keep_their_mean_where_cells_are_equal() -> None:
    values = np.random.default_rng(0).random((2, 96, 64)).astype(np.float32)
    small = shrunk(values, 32)
    assert small.shape == (2, 32, 32)
    np.testing.assert_allclose(small, values.reshape(2, 32, 3, 32, 2).mean((2, 4)), rtol=1e-5)


def write_weights(spec: Any, path: Path) -> Path:
    from safetensors.numpy import save_file

    save_file(dict(of_spec(spec, None, 3).weights), path)
    return path


def write_images(folder: Path, shape: tuple[int, ...]) -> Path:
    from PIL import Image

    folder.mkdir()
    random = np.random.default_rng(2)
    for number in range(2):
        Image.fromarray(random.integers(0, 256, shape[1:], np.uint8)).save(folder / f"{number}.png")
    return folder


def test_every_sum_of_every_unit_comes_to_its_value(spec: Any, open_page: Open, tmp_path: Path) -> None:
    weights = write_weights(spec, tmp_path / "w.safetensors")
    images = write_images(tmp_path / "images", spec.graph.input_shape)
    page = open_page(spec, weights=weights, images=(str(images),))
    until(page, "cnnspec.view.values.seen !== null")
    found = page.evaluate(
        """() => {
          const { recorded } = cnnspec.view.values.seen;
          return cnnspec.data.layers.map((layer, number) => {
            let [worst, count, summed] = [0, 0, 0];
            const visit = (unit) => {
              if (unit.length < layer.shape.length) {
                for (let place = 0; place < layer.shape[unit.length]; place++) visit([...unit, place]);
                return;
              }
              const sum = recorded.sum(number, unit);
              count++;
              if (sum && sum.computed !== null) {
                summed++;
                worst = Math.max(worst, Math.abs(sum.computed - sum.value));
              }
            };
            visit([]);
            return [layer.name, worst, count, summed];
          });
        }"""
    )
    for name, worst, count, summed in found:
        assert worst <= 1e-5, name
        assert summed == (0 if name == "e" else count), name  # of most functions only the value is known


# What the page has worked out: the names of layers, and their values.
WORKED_OUT = """() => cnnspec.data.computed.tensors.filter((each) => each.follows).map(({ layer }) => [
  cnnspec.data.layers[layer].name, [...cnnspec.view.values.seen.recorded.tensor(layer).values]])"""


def worked_out(page: Any, spec: Any, weights: Path, images: Path) -> list[str]:
    """The layers that the page works out, each held to torch."""
    until(page, "cnnspec.view.values.seen !== null")
    values = every_layer(spec.graph, of_spec(spec, weights, 0).weights)(
        of_files(spec.graph, [str(images)]).inputs(spec.graph)
    )
    found = page.evaluate(WORKED_OUT)
    for name, ours in found:
        np.testing.assert_allclose(ours, values[name][0].ravel(), rtol=0, atol=1e-5, err_msg=name)
    return [name for name, _ in found]


def test_layers_that_follow_from_others_are_those_of_torch(spec: Any, open_page: Open, tmp_path: Path) -> None:
    weights = write_weights(spec, tmp_path / "w.safetensors")
    images = write_images(tmp_path / "images", spec.graph.input_shape)
    found = worked_out(open_page(spec, weights=weights, images=(str(images),)), spec, weights, images)
    others = {"e", "f", "d", "out"}  # a function that the page does not know, what only hands on, and the output
    assert found == [node.name for node in spec.graph if node.name not in others]


def test_an_image_of_lenet5_is_small_and_all_its_layers_are_those_of_torch(open_page: Open, tmp_path: Path) -> None:
    spec = cnnspec.load("lenet5")
    weights = write_weights(spec, tmp_path / "w.safetensors")
    images = write_images(tmp_path / "images", spec.graph.input_shape)
    page = open_page(spec, weights=weights, images=(str(images),))
    assert len(worked_out(page, spec, weights, images)) == 10
    assert page.evaluate("Math.max(...cnnspec.data.computed.samples.map(({ data }) => data.length))") <= 20_000


def test_a_unit_shows_its_numbers_and_pooling_its_winner(spec: Any, open_page: Open, tmp_path: Path) -> None:
    weights = write_weights(spec, tmp_path / "w.safetensors")
    images = write_images(tmp_path / "images", spec.graph.input_shape)
    page = open_page(spec, weights=weights, images=(str(images),))
    until(page, "cnnspec.view.values.seen !== null")
    page.evaluate("cnnspec.view.reveal(cnnspec.view.index.number('m'))")
    page.locator(".inspector .cells td.winner").wait_for()
    page.evaluate("cnnspec.view.reveal(0)")
    page.get_by_text("kernel", exact=True).wait_for()
    canvas = page.locator(".inspector canvas.active").nth(1)
    before = page.locator(".result").inner_text()
    canvas.focus()
    page.keyboard.press("ArrowLeft")
    until(page, page.locator(".result").inner_text, lambda text: text != before)
    page.evaluate("cnnspec.view.reveal(cnnspec.view.index.number('out'))")
    page.get_by_text("Its strongest connections").wait_for()
    assert page.locator(".walk .probabilities tr").count() == 5
    page.get_by_role("button", name="1.png").click()
    until(page, "cnnspec.view.values.seen.recorded.sample.name", "1.png")


def test_images_that_are_not_there_are_told(spec: Any, tmp_path: Path) -> None:
    weights = write_weights(spec, tmp_path / "w.safetensors")
    with pytest.raises(UsageError, match="on which images"):
        api.draw(spec, tmp_path / "n.html", weights=weights)
    with pytest.raises(UsageError, match="no weights"):
        api.draw(spec, tmp_path / "n.html", data="digits")
    with pytest.raises(UsageError, match="only a page"):
        api.draw(spec, tmp_path / "n.svg", weights=weights)
    assert not list(tmp_path.glob("n.*"))


def test_a_network_of_no_images_is_shown_on_noise(tmp_path: Path) -> None:
    spec = cnnspec.loads("cnnspec: 1\ninput: [2, 40]\nlayers: ['Conv1d(3, 5)', ReLU, Flatten, 'Linear(4)']\n")
    path = api.draw(spec, tmp_path / "n.html", weights=write_weights(spec, tmp_path / "w.safetensors"))
    assert '"noise 1"' in path.read_text("utf-8")
