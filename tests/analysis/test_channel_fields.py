"""Receptive fields of channels that see different things, and of units where the arithmetic is not that of one path."""

from __future__ import annotations

from fractions import Fraction

import pytest

import cnnspec
from cnnspec import UsageError


def one(text: str, input_shape: str, outputs: str = "") -> cnnspec.Spec:
    declared = f"outputs: {outputs}\n" if outputs else ""
    return cnnspec.loads(f"cnnspec: 1\ninput: {input_shape}\n{declared}layers:\n{text}")


def parts(report: cnnspec.Report, layer: str) -> dict[tuple[tuple[int, int, int], ...], tuple[int, ...]]:
    """The fields of a layer by channels."""
    return {part.channels: part.figures.receptive_field for part in report.layer(layer).channel_fields}


BRANCHES = "  a: Conv2d(4, 1)\n  b: Conv2d(4, 7, padding=3)(input)\n  cat: Concat(a, b)\n"


@pytest.mark.parametrize(
    ("layer", "field", "least"),
    [
        ("Slice(0, 4)", (1, 1), (1, 1)),
        ("Slice(-4)", (7, 7), (7, 7)),
        ("Slice(2, 6)", (7, 7), (1, 1)),
        ("Conv2d(8, 3, groups=2)", (9, 9), (3, 3)),
        ("Conv2d(8, 3, groups=8)", (9, 9), (3, 3)),
        ("Conv2d(8, 3)", (9, 9), (3, 3)),
        ("PixelShuffle(2)", (7, 7), (1, 1)),
        ("LocalResponseNorm(3)", (7, 7), (1, 1)),
    ],
)
def test_a_layer_behind_a_concatenation_sees_what_its_channels_saw(
    layer: str, field: tuple[int, ...], least: tuple[int, ...]
) -> None:
    row = one(f"{BRANCHES}  last: {layer}\n", "[3, 16, 16]").analyze().layer("last")
    assert (row.receptive_field, row.min_receptive_field) == (field, least)


def test_channels_that_are_cut_with_other_axes_are_told_apart_along_a_new_one() -> None:
    report = one(f"{BRANCHES}  tokens: Reshape([-1, 10])\n  mixed: Reshape([7, -1])(cat)\n", "[3, 15, 14]").analyze(
        purpose="train"
    )
    assert report.layer("tokens").output_shape == (168, 10)
    assert parts(report, "tokens") == {((0, 84, 1),): (15, 14), ((84, 168, 1),): (21, 20)}
    assert parts(report, "mixed") == {}  # the fourth of seven holds numbers of both
    assert report.layer("mixed").receptive_field == (21, 20)


def test_the_channels_of_a_concatenation_are_told_apart() -> None:
    text = BRANCHES + "  shuffle: ChannelShuffle(2)\n  part: Slice(0, 4)\n  deep: Conv2d(8, 3, groups=8)(shuffle)\n"
    spec = one(text, "[3, 16, 16]", "[part, deep]")
    report = spec.analyze()
    assert parts(report, "cat") == {((0, 4, 1),): (1, 1), ((4, 8, 1),): (7, 7)}
    assert parts(report, "shuffle") == {((0, 7, 2),): (1, 1), ((1, 8, 2),): (7, 7)}
    assert parts(report, "part") == {((0, 3, 2),): (1, 1), ((1, 4, 2),): (7, 7)}
    assert parts(report, "deep") == {((0, 7, 2),): (3, 3), ((1, 8, 2),): (9, 9)}
    assert parts(report, "a") == {}
    plain = report.layer("cat").to_dict()["channel_fields"]
    assert [(part["channels"], part["receptive_field"]) for part in plain] == [
        ([[0, 4, 1]], [1, 1]),
        ([[4, 8, 1]], [7, 7]),
    ]
    assert spec.field("shuffle", (8, 8), channel=0).clipped == ((8, 8), (8, 8))
    assert spec.field("shuffle", (8, 8), channel=1).clipped == ((5, 11), (5, 11))
    assert spec.field("shuffle", (8, 8)).clipped == ((5, 11), (5, 11))


def test_the_halves_of_shufflenet_see_different_things() -> None:
    report = cnnspec.load("shufflenet_v2_x1_0").analyze()
    assert any(row.field_parts for row in report.layers if row.op == "ChannelShuffle")
    assert report.layer("conv5.1").channel_fields == ()


def test_a_gate_beside_maps_is_context_for_what_reads_both() -> None:
    text = (
        "  pool: AdaptiveAvgPool2d(1)\n  gate: Mul(input, pool)\n  cat: Concat(gate, input)\n"
        "  all: Mul(pool, pool)\n  last: Conv2d(2, 3)(cat)\n"
    )
    report = one(text, "[3, 16, 16]").analyze()
    assert [part.figures.global_context for part in report.layer("cat").channel_fields] == [True, False]
    last = report.layer("last")
    assert (last.receptive_field, last.global_context, last.sees_everything) == ((3, 3), True, False)


def test_features_that_were_flattened_are_told_apart() -> None:
    text = BRANCHES + "  flat: Flatten\n  part: Slice(0, 1024)\n  rest: Slice(1024)(flat)\n"
    report = one(text, "[3, 16, 16]", "[part, rest]").analyze()
    assert parts(report, "flat") == {((0, 1024, 1),): (1, 1), ((1024, 2048, 1),): (7, 7)}
    assert report.layer("part").receptive_field == (1, 1)
    assert report.layer("rest").receptive_field == (7, 7)


def test_features_of_channels_that_lie_last_are_told_apart() -> None:
    text = (
        BRANCHES + '  p: "Permute([0, 2, 3, 1])"\n  flat: Flatten\n  part: Slice(8, 12)\n  rest: Slice(12, 16)(flat)\n'
    )
    report = one(text, "[3, 6, 6]", "[part, rest]").analyze()
    assert report.layer("part").receptive_field == (1, 1)  # the second pixel's first four channels
    assert report.layer("rest").receptive_field == (7, 7)


def test_so_many_channels_are_taken_together() -> None:
    text = (
        "  a: Conv2d(2147483000, 1)\n  b: Conv2d(400, 3, padding=1)(input)\n  cat: Concat(a, b)\n  part: Slice(0, 4)\n"
    )
    row = one(text, "[3, 8, 8]").analyze().layer("part")
    assert (row.receptive_field, row.channel_fields) == ((3, 3), ())


@pytest.mark.parametrize(
    ("text", "shape", "field", "padding"),
    [
        ("  - AdaptiveAvgPool1d(6)\n  - Upsample(scale_factor=1.3)\n  - Conv1d(1, 3, padding=1)\n", "[1, 40]", 21, 7),
        ("  - AdaptiveAvgPool1d(6)\n  - Upsample(size=7)\n  - Conv1d(1, 3, padding=1)\n", "[1, 40]", 21, 7),
        ("  - Upsample(scale_factor=1.3)\n  - Conv1d(1, 3, padding=1)\n", "[1, 8]", 3, 1),
        ("  - Upsample(size=10)\n  - Conv1d(1, 3, padding=1)\n", "[1, 8]", 3, 1),
    ],
)
def test_units_in_the_padding_behind_upsampling(text: str, shape: str, field: int, padding: int) -> None:
    row = one(text, shape).analyze().layers[-1]
    assert (row.receptive_field, row.effective_padding) == ((field,), (padding,))


def test_the_smallest_path_may_be_another_one_later() -> None:
    text = (
        "  c5: Conv2d(1, 5, padding=2)\n  pool: MaxPool2d(4)(input)\n  up: Upsample(scale_factor=4)\n"
        "  add: Add(c5, up)\n  last: Conv2d(1, 3, padding=1)\n"
    )
    report = one(text, "[1, 32, 32]").analyze()
    assert report.layer("add").min_receptive_field == (4, 4)  # through the pool
    assert report.layer("last").min_receptive_field == (7, 7)  # through c5
    assert report.layer("last").receptive_field == (8, 8)


def test_the_smallest_path_may_lie_between_the_units_that_are_read_later() -> None:
    text = (
        "  gaps: ConvTranspose1d(1, 1, stride=2, padding=1)\n  pool: AvgPool1d(2)\n  up: Upsample(scale_factor=2)\n"
        "  pad: ZeroPad1d([0, 1])\n  add: Add(gaps, pad)\n  rare: Upsample(scale_factor=0.5)\n"
    )
    report = one(text, "[1, 8]").analyze()
    assert report.layer("add").min_receptive_field == (1,)
    assert report.layer("rare").min_receptive_field == (1,)  # reads the gaps alone: the other path


def test_a_path_that_is_left_out_on_one_axis_is_the_smallest_on_none() -> None:
    text = (
        "  gaps: ConvTranspose2d(1, 1, stride=[2, 1], padding=[1, 0])\n"
        "  pool: AvgPool2d([2, 3], stride=[2, 1], padding=[0, 1])\n"
        "  up: Upsample(scale_factor=[2, 1])\n  pad: ZeroPad2d([0, 0, 0, 1])\n  add: Add(gaps, pad)\n"
        "  rare: MaxPool2d(1, stride=[2, 1])\n"
    )
    report = one(text, "[1, 8, 8]").analyze()
    assert report.layer("add").min_receptive_field == (1, 1)  # through the gaps
    assert report.layer("rare").min_receptive_field == (1, 3)  # whose rows it leaves out, so that only the pool is read


def test_behind_a_global_pool_what_is_never_read_is_left_out() -> None:
    field = cnnspec.load("squeezenet1_0").field("classifier.3", (0, 0))
    assert field.clipped == ((0, 222), (0, 222))  # no window reaches row 223, of which W301 warns
    assert field.pixels == (223, 223)


def test_pixels_are_counted_over_all_units() -> None:
    text = "  a: Conv1d(1, 2, dilation=8)\n  b: Conv1d(1, 1, stride=2)(input)\n  add: Add(a, b)\n"
    row = one(text, "[1, 17]").analyze().layer("add")
    assert row.pixels_read == (3,)  # unit 4 reads 4, 12 and 8; the first and the last read two


CROP = "  skip: Conv1d(1, 3, padding=1)\n  pool: MaxPool1d(2)\n  up: Upsample(scale_factor=2)\n"


@pytest.mark.parametrize(
    ("text", "aligned"),
    [
        (CROP + '  s: "ZeroPad1d([5, -5])"\n  add: Add(skip, s)\n', False),
        (CROP + "  add: Add(skip, up)\n", True),
        (CROP + "  up2: ConvTranspose1d(1, 2, stride=2)(pool)\n  add: Concat(skip, up2)\n", True),
        (CROP + "  up2: Upsample(scale_factor=2, mode=linear)(pool)\n  add: Concat(skip, up2)\n", True),
    ],
)
def test_branches_behind_upsampling_are_aligned_by_their_mean_centres(text: str, aligned: bool) -> None:
    spec = one(text, "[1, 16]")
    assert spec.analyze().layer("add").aligned is aligned
    assert [finding.code for finding in spec.lint(select=["W314"])] == ([] if aligned else ["W314"])


def test_align_corners_has_a_stride_of_its_own_and_the_same_size_is_a_copy() -> None:
    row = one("  - Upsample(scale_factor=3, mode=bilinear, align_corners=True)\n", "[1, 8, 8]").analyze().layers[-1]
    assert row.effective_stride == (Fraction(7, 23), Fraction(7, 23))
    row = one("  - Upsample(scale_factor=1.05, mode=bilinear)\n", "[1, 8, 8]").analyze().layers[-1]
    assert (row.receptive_field, row.effective_stride) == ((1, 1), (1, 1))


def test_a_branch_that_was_transposed_meets_the_other_in_every_combination() -> None:
    spec = one('  conv: Conv2d(2, 3, padding=1)\n  t: "Permute([0, 1, 3, 2])"\n  add: Add(conv, t)\n', "[1, 6, 6]")
    row = spec.analyze().layer("add")
    assert row.receptive_field == (8, 8)  # unit (0, 5) reads rows -1..1 and 4..6
    assert spec.field("add", (0, 5)).clipped == ((0, 5), (0, 5))


def test_of_channels_that_take_turns_in_space_each_is_read_where_it_is() -> None:
    text = (
        "  wide: Conv2d(2, 5, padding=2)\n  one: Conv2d(2, 1)(input)\n  cat: Concat(wide, one)\n"
        '  shuffle: PixelShuffle(2)\n  last: "Conv2d(4, 4, stride=[2, 1], padding=1, dilation=2)"\n'
    )
    row = one(text, "[3, 10, 7]").analyze().layer("last")
    assert row.receptive_field == (4, 4)  # its taps meet odd rows alone, which come from the 1x1


def test_a_unit_is_named_in_the_order_of_the_layers_axes() -> None:
    spec = one('  p: "Permute([0, 1, 3, 2])"\n  c: "Conv2d(2, [3, 1])"\n', "[3, 8, 12]")  # 2x10x8
    assert spec.field("c", (9, 0)).clipped == ((0, 0), (9, 11))
    with pytest.raises(UsageError, match="no unit 0,9"):
        spec.field("c", (0, 9))


def test_a_flatten_of_one_axis_changes_nothing() -> None:
    text = '  pool: "MaxPool2d([3, 1])"\n  flat: Flatten(2, end_dim=2)\n  grown: AdaptiveAvgPool2d(4)\n'
    assert one(text, "[2, 3, 6]").field("grown", (1, 1)).clipped == ((0, 2), (1, 2))


def test_a_batch_norm_without_running_statistics_depends_on_all_of_its_channel() -> None:
    report = one("  - BatchNorm1d(track_running_stats=False)\n  - BatchNorm1d\n", "[1, 8]").analyze()
    assert [row.field_text for row in report.layers] == ["1*", "1*"]
    assert one("  - BatchNorm1d\n", "[1, 8]").analyze().layers[0].field_text == "1"


@pytest.mark.parametrize(
    "text",
    ['  a: "ZeroPad1d([3, -3])"\n  b: Add(input, a)\n', '  a: "ZeroPad1d([3, -3])"\n  b: Concat(a, input)\n'],
)
def test_the_input_itself_is_a_branch(text: str) -> None:
    (finding,) = one(text, "[2, 60]").lint(select=["W314"])
    assert "centred 3 pixels apart" in finding.message
