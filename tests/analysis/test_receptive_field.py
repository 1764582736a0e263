"""Receptive fields against gradients, against published figures, and against each other."""

from __future__ import annotations

from random import Random

import pytest
import torch
from gradients import pixels_with_gradient
from random_graphs import random_spec

import cnnspec
from cnnspec import SpecError
from cnnspec.analysis.band_figures import hull
from cnnspec.analysis.receptive_field import fields
from cnnspec.analysis.unit_field import unit_field
from cnnspec.graph import Graph
from cnnspec.ops.pad import CircularPad, ReflectionPad, ReplicationPad

COPYING = (CircularPad, ReflectionPad, ReplicationPad)


def check_last_node(graph: Graph) -> bool:
    """Compare every unit of the last node with its gradient. False where the node's units see everything."""
    name = graph.nodes[-1].name
    state = fields(graph)[name]
    if state.through_global:
        return False
    copies = any(isinstance(node.op, COPYING) for node in graph)  # at the border they are of pixels elsewhere
    for unit, mask in pixels_with_gradient(graph, name).items():
        found = unit_field(graph, name, unit)
        where = mask.nonzero()
        bounds = [(int(where[:, a].min()), int(where[:, a].max())) for a in range(mask.ndim)] if len(where) else None
        assert (found.clipped and list(found.clipped)) == bounds, (unit, graph)
        assert list(found.pixels) == [int(where[:, axis].unique().numel()) for axis in range(mask.ndim)], (unit, graph)
        if bounds is not None and not copies:  # the arithmetic, clipped to the input, holds what is really read
            assert found.unclipped is not None
            for (first, last), (low, high) in zip(bounds, found.unclipped, strict=True):
                assert low <= first <= last <= high
    return True


def check_seeds(seeds: range) -> tuple[int, int]:
    """How many random specs were valid, and how many were compared."""
    torch.set_num_threads(1)
    valid = compared = 0
    for seed in seeds:
        try:
            graph = cnnspec.loads(random_spec(Random(seed)), path="random.json").graph
        except SpecError:
            continue
        valid += 1
        compared += check_last_node(graph)
    return valid, compared


@pytest.mark.parametrize("start", range(0, 600, 150))
def test_every_unit_reads_the_pixels_that_have_a_gradient(start: int) -> None:
    valid, compared = check_seeds(range(start, start + 150))
    assert valid >= 75
    assert compared >= 70


@pytest.mark.long
@pytest.mark.parametrize("start", range(600, 4200, 300))
def test_many_random_graphs(start: int) -> None:
    valid, compared = check_seeds(range(start, start + 300))
    assert valid >= 150
    assert compared >= 140


# Araujo, Norris and Sim, Distill 2019, table of receptive fields: (network, last local layer, field, stride, padding).
# AlexNet there does not pad its first convolution by 2: 64 there, 66 here. TensorFlow pads less before a stride of 2:
# 126 for MobileNet there, 157 here. ResNet-50 there strides in the last unit of a stage (483); torchvision's strides in
# the first (427), so that they are two networks.
PUBLISHED = [
    ("vgg16", "features.30", 212, 32, 90),
    ("alexnet", "features.12", 195, 32, 66),
    ("inception_v3", "Mixed_7c.cat", 1311, 32, 618),
    ("mobilenet_v1", "features.12.relu2", 315, 32, 157),
]


@pytest.mark.parametrize(("name", "layer", "size", "stride", "padding"), PUBLISHED)
def test_published_fields(name: str, layer: str, size: int, stride: int, padding: int) -> None:
    row = cnnspec.load(name).analyze().layer(layer)
    assert row.receptive_field == (size, size)
    assert row.effective_stride == (stride, stride)
    assert row.effective_padding == (padding, padding)


def one(text: str, input_shape: str = "[1, 64]") -> cnnspec.Spec:
    return cnnspec.loads(f"cnnspec: 1\ninput: {input_shape}\nlayers:\n{text}")


def test_dilation_with_holes_says_how_many_pixels_are_read() -> None:
    row = one("  - Conv1d(1, 3)\n  - Conv1d(1, 3, dilation=3)\n").analyze().layers[-1]
    assert (row.receptive_field, row.pixels_read) == ((9,), (9,))
    row = one("  - Conv1d(1, 3, dilation=4)\n").analyze().layers[-1]
    assert (row.receptive_field, row.pixels_read) == ((9,), (3,))
    row = one("  - Conv1d(1, 3, dilation=2)\n  - Conv1d(1, 3, dilation=2)\n").analyze().layers[-1]
    assert (row.receptive_field, row.pixels_read) == ((9,), (5,))


def test_a_squeeze_and_excitation_gate_is_context_beside_the_local_path() -> None:
    report = one(
        "  conv: Conv2d(4, 3, padding=1)\n  pool: AdaptiveAvgPool2d(1)\n  fc: Conv2d(4, 1)\n  gate: Sigmoid\n"
        "  scale: Mul(conv, gate)\n  out: Conv2d(4, 3, padding=1)\n",
        "[3, 16, 16]",
    ).analyze()
    assert report.layer("fc").sees_everything
    scale, out = report.layer("scale"), report.layer("out")
    assert (scale.receptive_field, scale.global_context, scale.sees_everything) == ((3, 3), True, False)
    assert (out.receptive_field, out.global_context) == ((5, 5), True)


def test_the_path_that_sees_least_goes_through_the_skips() -> None:
    row = cnnspec.load("resnet18").analyze().layer("layer4.1.relu2")
    assert row.min_receptive_field == (11, 11)  # the stem: 7 by 7, stride 2, and a pool of 3
    assert row.aligned


def test_branches_that_are_not_aligned_are_reported_and_the_span_is_right() -> None:
    text = "  a: Conv1d(2, 3, stride=2)\n  b: Conv1d(2, 32)(input)\n  add: Add(a, b)\n  c: Conv1d(2, 3)\n"
    spec = one(text, "[1, 61]")
    row = spec.analyze().layer("add")
    assert not row.aligned
    assert row.receptive_field == (32,)  # 2i..2i+2 and i..i+31
    # Units 27 to 29 of the join read 54..60 through one branch, and 27..60 through the other.
    assert spec.field("c", (27,)).clipped == ((27, 60),)
    assert spec.analyze().layer("c").receptive_field == (34,)


def test_the_padding_of_a_join_does_not_depend_on_the_order_of_its_branches() -> None:
    text = "  a: Conv1d(2, 3, stride=2, padding=1)\n  b: Conv1d(2, 7)(input)\n  one: Add(a, b)\n  other: Add(b, a)\n"
    report = one(text, "[1, 12]").analyze(purpose="train")  # `one` is read by nothing
    assert report.layer("one").effective_padding == report.layer("other").effective_padding == (1,)


def test_a_pool_over_one_axis_gives_strips() -> None:
    spec = one(
        '  conv: Conv2d(2, 3, padding=1)\n  strip: "AdaptiveAvgPool2d([1, None])"\n  gated: Mul(conv, strip)\n'
        "  rest: AdaptiveAvgPool2d(1)\n",
        "[3, 8, 10]",
    )
    report = spec.analyze()
    strip, gated = report.layer("strip"), report.layer("gated")
    assert (strip.receptive_field, strip.sees_everything, strip.global_context) == ((10, 3), False, False)
    assert spec.field("strip", (0, 4)).clipped == ((0, 7), (3, 5))
    assert (gated.receptive_field, gated.min_receptive_field, gated.aligned) == ((10, 3), (3, 3), True)
    assert spec.field("gated", (0, 4)).clipped == ((0, 7), (3, 5))
    assert report.layer("rest").sees_everything


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ("  - Conv2d(8, 8)\n  - Flatten\n  - Flatten\n  - Linear(4)\n", "8x8"),
        ('  - Conv2d(8, 8)\n  - Flatten(2)\n  - "Permute([0, 2, 1])"\n  - Linear(4)\n', "8x8"),
        ('  - Conv2d(8, 3)\n  - Flatten(2)\n  - "Permute([0, 2, 1])"\n  - Linear(4)\n', "3x3"),
        ("  - Conv2d(8, 3)\n  - Flatten(2)\n  - Conv1d(4, 1)\n", "3x3"),
        ("  - Conv2d(8, 3)\n  - Flatten(2)\n  - Conv1d(4, 3)\n", "all"),
        ("  - Conv2d(8, 3)\n  - Flatten(2)\n  - AdaptiveAvgPool1d(1)\n", "all"),
        ("  - Conv2d(8, 3)\n  - Flatten\n  - LayerNorm\n", "all"),
        ('  - Conv2d(8, 3)\n  - Flatten(2)\n  - "Permute([0, 2, 1])"\n  - Softmax\n', "all"),
        ("  - AdaptiveAvgPool2d(7)\n  - Flatten\n", "2x2"),  # the unit in the corner reads 2, others too
        ("  - Conv2d(8, 3)\n  - AdaptiveAvgPool2d(4)\n  - Flatten\n", "4x4"),
        ("  - Upsample(scale_factor=2, mode=bilinear)\n  - Flatten\n", "2x2"),
        ('  - "Permute([0, 2, 1, 3])"\n  - Softmax\n', "8x1"),  # over the rows alone
    ],
)
def test_flattened_axes(text: str, field: str) -> None:
    assert one(text, "[3, 8, 8]").analyze().layers[-1].field_text == field


def test_flattening_does_not_change_what_units_see() -> None:
    rows = one("  - AdaptiveAvgPool1d(7)\n  - Conv1d(2, 3)\n  - Flatten\n", "[2, 30]").analyze().layers
    assert rows[-1].receptive_field == rows[-2].receptive_field


def test_transposed_convolutions_depend_on_the_phase() -> None:
    row = one("  - ConvTranspose1d(1, 3, stride=2)\n", "[1, 8]").analyze().layers[-1]
    assert row.receptive_field == (2,)  # odd units read two pixels, even ones one
    assert [str(stride) for stride in row.effective_stride] == ["1/2"]
    assert row.to_dict()["effective_stride"] == [0.5]


def test_a_dense_layer_after_features_of_one_pixel_sees_no_more() -> None:
    rows = cnnspec.load("lenet5").analyze()
    assert rows.layer("OUTPUT").receptive_field == (32, 32)
    assert not rows.layer("OUTPUT").sees_everything
    assert cnnspec.load("mlp").analyze().layers[-1].sees_everything


@pytest.mark.parametrize(
    "text",
    [
        "  - Conv1d(1, 2)\n  - Conv1d(1, 100, dilation=7)\n",
        "  - Conv1d(1, 3, dilation=4)\n  - Conv1d(1, 90, dilation=3)\n",
        "  - ConvTranspose1d(1, 3, stride=2)\n  - Conv1d(1, 80, dilation=5)\n",
        "  - ConvTranspose1d(1, 2, stride=3)\n  - Conv1d(1, 99, dilation=9, stride=2)\n",
        "  - ConvTranspose1d(1, 200, stride=2, dilation=3)\n",
    ],
)
def test_many_taps_are_worked_out_as_few(text: str) -> None:
    spec = one(text, "[1, 2000]")
    name = spec.graph.nodes[-1].name
    state = fields(spec.graph)[name]
    middle = spec.graph.nodes[-1].shape[1] // 2
    for unit in range(middle, middle + 12):  # far from the border
        reads = hull(state.states[0].wide[0], unit)
        exact = spec.field(name, (unit,))
        assert exact.clipped == (reads and ((reads.low, reads.high),))  # None: all its taps land between
        assert exact.pixels == (reads.bits.bit_count() if reads else 0,)


def test_a_huge_kernel_is_no_work() -> None:
    text = "  - Conv1d(8, 9999999, dilation=3)\n  - ConvTranspose1d(8, 99999, stride=3)\n"
    row = one(text, "[1, 40000000]").analyze().layers[-1]
    assert row.receptive_field == (29_999_995 + 33_332,)
