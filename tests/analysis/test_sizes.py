"""Sizes are what elaborating the spec anew at every size gives."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest
import torch
from random_graphs import random_spec
from torchvision import models

import cnnspec
from cnnspec import api
from cnnspec.analysis.axis_sizes import FURTHEST, SizeRange, size_ranges
from cnnspec.analysis.sizes import Sizes, sizes
from cnnspec.analysis.skeleton import Skeleton
from cnnspec.errors import ShapeError, SpecError, UsageError
from cnnspec.graph import PURPOSES, Graph, Purpose
from cnnspec.language import Source, read_spec

UNET = """
cnnspec: 1
name: unet
input: [1, 32, 32]
layers:
  down1: Conv2d(4, 3, padding=1)
  pool1: MaxPool2d(2)
  down2: Conv2d(8, 3, padding=1)
  pool2: MaxPool2d(2)
  bottom: Conv2d(8, 3, padding=1)
  up2: ConvTranspose2d(8, 2, stride=2)
  cat2: Concat(up2, down2)
  up1: ConvTranspose2d(4, 2, stride=2)(cat2)
  cat1: Concat(up1, down1)
  head: Conv2d(2, 1)
"""

SMALL = """
cnnspec: 1
name: small
input: [3, {size}, {size}]
layers:
  a: Conv2d(8, 3)
  b: MaxPool2d(2)
  c: Conv2d(8, 3)
  d: MaxPool2d(2)
  e: Flatten
  f: Linear(10)
"""


def read(text: str) -> Source:
    return read_spec("spec.yaml" if text.startswith("\n") else "spec.json", text.encode())


def elaborated(source: Source, shape: tuple[int, ...], purpose: Purpose = "train") -> Graph | None:
    try:
        return source.elaborate(input_shape=shape, purpose=purpose)
    except SpecError:
        return None


def members(found: tuple[SizeRange, ...] | None) -> list[int]:
    assert found is not None
    return [size for run in found for size in range(run.first, run.last + 1, run.step)]


def test_a_skeleton_gives_what_elaboration_gives() -> None:
    rng = Random(3)
    checked = refused = 0
    while checked < 60:
        source = read(random_spec(rng, nodes=10))
        try:
            graph = source.elaborate()
        except SpecError:
            continue
        checked += 1
        layer = rng.choice(graph.nodes).name
        skeleton = Skeleton(graph, layer)
        for _ in range(8):
            shape = (graph.input_shape[0], *(rng.randint(1, 30) for _ in graph.input_shape[1:]))
            anew = elaborated(source, shape)
            try:
                seen = skeleton.at(shape, skeleton.widths)
            except ShapeError:
                assert anew is None, shape
                refused += 1
                continue
            assert anew is not None, shape
            assert seen.out == anew.shape_of(layer), (shape, layer)
    assert refused > 20


@pytest.mark.parametrize(
    "name", ["lenet5", "resnet18", "googlenet", "shufflenet_v2_x0_5", "mobilenet_v3_small", "convnext_tiny", "unet"]
)
def test_a_skeleton_of_a_classic_gives_what_elaboration_gives(name: str) -> None:
    spec = cnnspec.load(name)
    skeleton = Skeleton(spec.graph, spec.graph.nodes[-1].name)
    for size in (17, 28, 33, 97, 224):
        shape = (spec.graph.input_shape[0], size, size + 3)
        try:
            anew = spec.source.elaborate(variant=spec.variant, input_shape=shape)
        except SpecError:
            with pytest.raises(ShapeError):
                skeleton.at(shape, skeleton.widths)
            continue
        assert skeleton.at(shape, skeleton.widths).out == anew.nodes[-1].shape
    assert len(skeleton.steps) < len(spec.graph)


@pytest.mark.parametrize("purpose", PURPOSES)
def test_the_smallest_input_is_the_first_that_elaborates(purpose: Purpose) -> None:
    rng = Random(8)
    checked = 0
    while checked < 25:
        source = read(random_spec(rng))
        try:
            graph = source.elaborate()
        except SpecError:
            continue
        checked += 1
        found = sizes(source, purpose=purpose)
        shape = graph.input_shape
        assert elaborated(source, (shape[0], *found.smallest), purpose) is not None
        for axis, answer in enumerate(found.axes, start=1):
            anew = {
                size: elaborated(source, (*shape[:axis], size, *shape[axis + 1 :]), purpose)
                for size in range(1, answer.span[1] + 1)
            }
            valid = [size for size, one in anew.items() if one is not None]
            assert answer.smallest == valid[0]
            assert members(answer.outputs) == [size for size in valid if size >= answer.span[0]]
            for run in answer.outputs:
                one = anew[run.first]
                assert one is not None
                assert one.shape_of(found.layer)[axis] == run.output


# torchvision's own figures (`meta["min_size"]` of its weights); one of its entries is not about sizes that run:
# efficientnet_v2_s (33) runs on a single pixel.
PUBLISHED = (
    "alexnet", "convnext_tiny", "densenet121", "efficientnet_b0", "googlenet", "inception_v3", "mnasnet0_5",
    "mobilenet_v2", "mobilenet_v3_large", "regnet_x_400mf", "resnet18", "resnet152", "shufflenet_v2_x0_5",
    "squeezenet1_0", "squeezenet1_1", "vgg11", "vgg16_bn",
)  # fmt: skip


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_smallest_input_is_the_published_one(name: str) -> None:
    (weights, *_) = models.get_model_weights(name)
    assert api.sizes(name).smallest == weights.meta["min_size"]


@pytest.mark.parametrize("name", ["squeezenet1_0", "densenet121"])
def test_torch_runs_on_the_smallest_input_and_on_no_smaller(name: str) -> None:
    model = models.get_model(name).eval()
    height, width = api.sizes(name).smallest
    with torch.no_grad():
        assert model(torch.zeros(1, 3, height, width)).shape == (1, 1000)
        for size in ((height - 1, width), (height, width - 1)):
            with pytest.raises(RuntimeError):
                model(torch.zeros(1, 3, *size))


def test_a_wanted_output_and_the_inputs_that_give_it() -> None:
    found = api.sizes("resnet18", output=(7, 10))
    assert [members(axis.wanted) for axis in found.axes] == [list(range(193, 225)), list(range(289, 321))]
    assert found.layer == "layer4.1.relu2"
    assert found.smallest == (1, 1)
    source = read(SMALL.format(size=32))
    (axis, _) = sizes(source, output=(6,)).axes
    assert members(axis.wanted) == [30, 31, 32, 33]
    assert axis.nearest == ()


def test_where_branches_must_meet_the_valid_sizes_are_a_comb() -> None:
    found = sizes(read(UNET), span=(1, 50), output=(18,))
    axis = found.axes[0]
    assert found.smallest == (4, 4)
    assert members(axis.outputs) == list(range(4, 51, 4))
    assert axis.wanted == ()
    assert axis.nearest == (16, 20)
    assert sizes(read(UNET), output=(640,)).axes[0].wanted == (SizeRange(640, 640),)
    assert axis.outputs[0] == SizeRange(4, 4, 1, 4)


def test_an_output_that_every_input_gives_has_no_end() -> None:
    layers = "{a: 'Conv2d(2, 3)', b: AdaptiveAvgPool2d(2), c: 'Conv2d(2, 1)'}"
    text = f"\ncnnspec: 1\nname: a\ninput: [1, 9, 9]\nlayers: {layers}\n"
    (axis, _) = sizes(read(text), layer="c", output=(2,)).axes
    assert axis.wanted == (SizeRange(3, FURTHEST),)
    assert sizes(read(text)).layer == "a"


def test_weights_of_a_dense_layer_fit_only_some_sizes() -> None:
    found = sizes(read(SMALL.format(size=32)))
    assert found.tied == ("f",)
    assert members(found.axes[0].fitting) == [30, 31, 32, 33]
    assert found.smallest == (10, 10)
    assert api.sizes("resnet18").tied == ()
    assert api.sizes("resnet18").axes[0].fitting is None


def test_sizes_at_which_no_pixel_is_dropped() -> None:
    (axis, _) = sizes(read(SMALL.format(size=32)), span=(10, 40)).axes
    # a 3x3 convolution takes 2, each pool wants an even number: 10 -> 8 -> 4 -> 2 -> 1
    assert members(axis.clean) == list(range(10, 41, 4))


def test_a_spec_whose_declared_input_is_too_small(tmp_path: Path) -> None:
    path = tmp_path / "net.yaml"
    path.write_text(SMALL.format(size=6) + "classes: [a, b, c, d, e, f, g, h, i, j]\n")
    with pytest.raises(SpecError):
        cnnspec.load(path)
    found = api.sizes(path)
    assert not found.valid
    assert found.input == (3, 6, 6)
    assert found.smallest == (10, 10)
    assert found.axes[0].fitting is None
    path.write_text(SMALL.format(size=6).replace("Flatten", "Flaten"))
    with pytest.raises(SpecError) as caught:
        api.sizes(path)
    assert {diagnostic.code for diagnostic in caught.value.diagnostics} == {"E103", "E201"}


def test_layers_that_depend_on_the_size_are_elaborated_anew() -> None:
    text = """
cnnspec: 1
name: a
input: [1, 16]
layers:
  a: Conv1d(2, 3) if in_features > 8
  b: Conv1d(2, 5)
"""
    (axis,) = sizes(read(text), span=(1, 12)).axes
    assert axis.smallest == 5
    assert {run.first: run.output for run in axis.outputs} == {5: 1, 6: 2, 7: 3, 8: 4, 9: 3, 10: 4, 11: 5, 12: 6}


def test_wrong_usage() -> None:
    with pytest.raises(UsageError, match="2 axes, and 3 sizes"):
        api.sizes("lenet5", output=(1, 2, 3))
    with pytest.raises(UsageError, match="no layer `F7`"):
        api.sizes("lenet5", layer="F7")
    with pytest.raises(UsageError, match="has no axes left"):
        api.sizes("lenet5", layer="F6")
    with pytest.raises(UsageError, match="reads 8 features"):
        sizes(read("\ncnnspec: 1\nname: a\ninput: [8]\nlayers: [Linear]\n".replace("Linear", "'Linear(3)'")))


def test_json_has_the_smallest_input() -> None:
    plain = api.sizes("lenet5").to_dict()
    assert plain["smallest_input"] == [28, 28]
    assert plain["smallest_input_shape"] == [1, 28, 28]
    assert plain["axes"][0]["outputs"][0] == {"from": 28, "to": 31, "step": 1, "output": 1}


def test_numbers_as_runs() -> None:
    rng = Random(2)
    for _ in range(200):
        numbers = sorted(rng.sample(range(60), rng.randint(0, 30)))
        assert members(size_ranges(numbers)) == numbers
    assert size_ranges([3, 4, 5, 9, 13, 17, 40, 50]) == (
        SizeRange(3, 5),
        SizeRange(9, 17, 4),
        SizeRange(40, 40),
        SizeRange(50, 50),
    )


def test_large_networks_and_long_signals_answer_without_a_scan_of_everything() -> None:
    found: Sizes = api.sizes("resnet152", output=(100,))
    assert members(found.axes[0].wanted) == list(range(3169, 3201))
    text = """
cnnspec: 1
name: audio
input: [1, 160000]
layers:
  - Conv1d(8, 80, stride=4)
  - MaxPool1d(4)
  - Conv1d(8, 3, padding=1)
  - MaxPool1d(4)
"""
    (axis,) = sizes(read(text)).axes
    assert axis.smallest == 80 + 15 * 4
    assert axis.span == (159000, 160999)


def test_a_window_of_a_hundred_million_pixels_is_no_reason_to_count_to_it() -> None:
    text = "\ncnnspec: 1\nname: a\ninput: [1, 2000000000]\nlayers:\n- Conv1d(2, 100000000)\n- MaxPool1d(2)\n"
    (axis,) = sizes(read(text)).axes
    assert axis.smallest == 100000001
