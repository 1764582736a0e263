"""The report: figures that are published, sums, folding and formats."""

from __future__ import annotations

import json

import pytest

import cnnspec
import cnnspec.analysis
from cnnspec.analysis import CONVENTION
from cnnspec.cli.render.report import render


def test_lenet5_by_hand() -> None:
    report = cnnspec.load("lenet5").analyze()
    # LeCun et al. 1998, section II.B, with full connections between S2 and C3.
    figures = {"C1": (156, 117_600), "C3": (2_416, 240_000), "C5": (48_120, 48_000), "F6": (10_164, 10_080)}
    for name, expected in figures.items():
        row = report.layer(name)
        assert (row.params, row.macs) == expected
    assert (report.totals.params, report.totals.macs) == (61_706, 416_520)
    assert report.layer("C1").flops == 2 * 117_600 + 6 * 28 * 28


def test_a_line_is_printed_and_not_the_whole_graph() -> None:
    spec = cnnspec.load("lenet5")
    assert repr(spec) == "<Spec of lenet5: 1x28x28 to 10, 12 layers>"
    assert str(spec.analyze()) == "<Report of lenet5: 12 layers, 61,706 parameters, 416,520 MACs>"


def test_pandas_gets_a_row_for_each_layer() -> None:
    report = cnnspec.load("lenet5").analyze()
    frame = report.to_pandas()
    assert list(frame["name"]) == [row.name for row in report.layers]
    assert frame["macs"].sum() == report.totals.macs
    assert frame.set_index("name").loc["C3", "output_shape"] == [16, 10, 10]


def test_json_has_the_promised_keys() -> None:
    data = json.loads(json.dumps(cnnspec.load("lenet5").analyze(batch=3).to_dict()))
    assert set(data) >= {"cnnspec", "name", "input", "batch", "layers", "totals", "findings"}
    assert (data["cnnspec"], data["batch"], data["input"]) == (1, 3, [1, 28, 28])
    row = data["layers"][0]
    assert row["output_bytes"] == 3 * 4 * 6 * 28 * 28
    promised = "name op inputs input_shapes output_shape params trainable_params buffers macs flops receptive_field"
    promised += " effective_stride effective_padding min_receptive_field global_context output_bytes line"
    assert set(row) >= set(promised.split())
    promised = "layers params trainable_params buffers macs flops param_bytes peak_inference_bytes training_bytes"
    assert set(data["totals"]) >= set(promised.split())


def test_totals_are_the_sums_of_the_rows() -> None:
    for name in ("resnet50", "googlenet", "mobilenet_v2"):
        report = cnnspec.load(name).analyze()
        assert report.totals.params == sum(row.params for row in report.layers)
        assert report.totals.macs == sum(row.macs for row in report.layers)


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_folding_keeps_the_sums(depth: int) -> None:
    report = cnnspec.load("resnet50").analyze()
    folded = report.folded(depth)
    assert sum(row.params for row in folded.layers) == report.totals.params
    assert sum(row.macs for row in folded.layers) == report.totals.macs
    assert len(folded.layers) < len(report.layers)
    assert all(row.name.count(".") < depth for row in folded.layers if ".." not in row.name)


def test_equal_blocks_are_one_row() -> None:
    rows = {row.name: row for row in cnnspec.load("resnet50").analyze().folded(2).layers}
    assert rows["layer3.1..5"].op == "10 layers x5"
    assert rows["layer3.1..5"].output_shape == (1024, 14, 14)


def test_a_narrow_terminal_drops_columns_in_the_stated_order() -> None:
    report = cnnspec.load("lenet5").analyze()
    wide = render(report, "table", 200).splitlines()[2]
    assert wide.split() == ["layer", "operator", "output", "field", "stride", "params", "MACs", "share"]
    assert render(report, "table", 60).splitlines()[2].split()[-1] == "MACs"
    assert "params" in render(report, "table", 10).splitlines()[2]


@pytest.mark.parametrize("name", ["lenet5", "mobilenet_v3_small", "resnet152", "inception_v3"])
@pytest.mark.parametrize("width", [60, 80])
def test_the_table_fits_a_narrow_terminal(name: str, width: int) -> None:
    assert max(map(len, render(cnnspec.load(name).analyze(), "table", width).splitlines())) <= width


def test_a_narrow_terminal_says_what_it_does_not_show() -> None:
    report = cnnspec.load("lenet5").analyze()
    assert "not shown in 60 columns: share" in render(report, "table", 60).splitlines()
    assert "not shown" not in render(report, "table", 200)
    assert "not shown" not in render(report, "table")


def test_big_numbers_are_rounded_where_that_keeps_a_column() -> None:
    report = cnnspec.load("resnet18").analyze()
    head, *rows = (line.split() for line in render(report, "table", 80).splitlines()[2:-8])
    assert head == ["layer", "operator", "output", "field", "params", "MACs"]
    assert ["conv1", "Conv2d", "64x112x112", "7x7", "9.41", "k", "118", "M"] in rows  # 9,408 and 118,013,952
    assert ["total", "69", "layers", "11.7", "M", "1.81", "G"] in rows
    assert "118,013,952" in render(report, "table", 96)
    assert "118,013,952" not in render(report, "table", 40)


@pytest.mark.parametrize("form", ["markdown", "latex"])
def test_the_convention_stands_beside_the_macs(form: str) -> None:
    assert CONVENTION in render(cnnspec.load("lenet5").analyze(), form)


@pytest.mark.parametrize("form", ["table", "csv", "markdown", "latex"])
def test_every_format_has_every_layer(form: str) -> None:
    report = cnnspec.load("simple_cnn").analyze()
    text = render(report, form)
    for row in report.layers:
        assert row.name in text


def test_the_arithmetic_has_the_numbers_in() -> None:
    spec = cnnspec.load("lenet5")
    lines = dict(spec.explain("C1").lines)
    assert lines["output size"].startswith("(28 - 5 + 2*2)/1 + 1 = 28")
    assert lines["parameters"] == "1*6*5² + 6 = 156"
    assert lines["receptive field"].startswith("1 + (5 - 1)*1 = 5")
    lines = dict(spec.explain("S4").lines)
    assert lines["receptive field"].startswith("14 + (2 - 1)*2 = 16")


def test_a_network_of_a_trillion_parameters_is_only_arithmetic() -> None:
    text = "cnnspec: 1\ninput: [1000000]\nlayers:\n  - Linear(1000000)\n"
    assert cnnspec.loads(text).analyze().totals.params == 10**12 + 10**6


def test_notebooks_get_a_table() -> None:
    html = cnnspec.load("lenet5").analyze()._repr_html_()
    assert html.startswith("<table>")
    assert "61,706" in html
    assert CONVENTION in html
    assert "<td>all</td>" in cnnspec.load("resnet18").analyze()._repr_html_()


# Stanford CS231n, Convolutional Networks, "VGGNet in detail": numbers in each output, and weights without biases. The
# page's total of 24M numbers is not the sum of its rows, which is 15.2M.
CS231N = {
    "features.0": (224 * 224 * 64, 1_728),
    "features.2": (224 * 224 * 64, 36_864),
    "features.4": (112 * 112 * 64, 0),
    "features.5": (112 * 112 * 128, 73_728),
    "features.7": (112 * 112 * 128, 147_456),
    "features.9": (56 * 56 * 128, 0),
    "features.10": (56 * 56 * 256, 294_912),
    "features.12": (56 * 56 * 256, 589_824),
    "features.17": (28 * 28 * 512, 1_179_648),
    "features.19": (28 * 28 * 512, 2_359_296),
    "features.30": (7 * 7 * 512, 0),
    "classifier.0": (4096, 102_760_448),
    "classifier.3": (4096, 16_777_216),
    "classifier.6": (1000, 4_096_000),
}


@pytest.mark.parametrize("layer", CS231N)
def test_the_vgg_table_of_cs231n(layer: str) -> None:
    numbers, weights = CS231N[layer]
    row = cnnspec.load("vgg16").analyze().layer(layer)
    assert row.output_bytes == 4 * numbers
    assert row.params == (weights + row.output_shape[0] if weights else 0)


def test_small_published_cases() -> None:
    def last(layer: str, shape: str) -> cnnspec.analysis.LayerReport:
        return cnnspec.loads(f"cnnspec: 1\ninput: {shape}\nlayers: [{layer}]\n").analyze().layers[-1]

    # Transposed convolutions count over their input grid: 2*2 positions, 3 channels, 1 output, 2*2 taps.
    assert last("'ConvTranspose2d(1, 2, stride=2)'", "[3, 2, 2]").macs == 48
    # A window that would start in the padding at the far end is dropped (torch's rule for ceil_mode).
    assert last("'MaxPool1d(1, stride=2, ceil_mode=True)'", "[1, 4]").output_shape == (1, 2)
    assert last("'MaxPool1d(2, stride=3, padding=1, ceil_mode=True)'", "[1, 5]").output_shape == (1, 2)
