"""The arithmetic of a layer and the sums of a block: what is on the left of each `=` is what is on its right."""

from __future__ import annotations

import re
from math import prod

import pytest

import cnnspec
from cnnspec.cli.render.report import render_explanation
from cnnspec.errors import UsageError


def value(arithmetic: str) -> int:
    """What `2*117,600 + 6x28x28 outputs` comes to: words are units."""
    total = 0
    for term in re.sub(r"[a-z_]{2,}", "", arithmetic.replace(",", "")).split("+"):
        total += prod(int(factor) for factor in re.split(r"[*x]", term.replace(" ", "")))
    return total


@pytest.mark.parametrize("name", ["lenet5", "resnet18", "mobilenet_v3_small", "convnext_tiny", "googlenet", "alexnet"])
def test_flops_and_buffers_come_with_their_arithmetic(name: str) -> None:
    network = cnnspec.load(name)
    report = network.analyze()
    checked = 0
    for row in report.layers[:60]:
        lines = dict(network.explain(row.name).lines)
        for heading, figure in (("FLOPs", row.flops), ("buffers", row.buffers)):
            if figure:
                left, _, right = lines[heading].rpartition(" = ")
                assert (value(left), right) == (figure, f"{figure:,}"), row.name
                checked += 1
    assert checked > 7


def test_pools_and_norms() -> None:
    network = cnnspec.load("alexnet")
    assert dict(network.explain("features.2").lines)["FLOPs"] == "64x27x27 outputs * 9 = 419,904"
    lines = dict(cnnspec.load("resnet18").explain("bn1").lines)
    assert lines["buffers"] == "64 running_mean + 64 running_var + 1 num_batches_tracked = 129"
    assert lines["FLOPs"] == "64x112x112 outputs * 2 = 1,605,632"


def test_an_adaptive_pool_whose_windows_differ() -> None:
    text = "cnnspec: 1\ninput: [3, 5, 5]\nlayers:\n  pool: AdaptiveAvgPool2d(3)\n"
    # torch's windows are 2, 3 and 2 wide: 7 on each axis, of which 9 outputs have no equal share.
    assert dict(cnnspec.loads(text).explain("pool").lines)["FLOPs"] == "3 channels * 49 = 147"


def test_a_layer_that_widens_nothing_says_so_and_notes_stand_below_the_field() -> None:
    network = cnnspec.load("resnet18")
    lines = network.explain("bn1").lines
    assert ("receptive field", "7, as before  (on every axis)") in lines
    assert ("effective stride", "2  (on every axis)") in lines
    lines = network.explain("avgpool").lines
    at = lines.index(("receptive field", "435, as before  (on every axis)"))
    assert lines[at + 1] == ("", "the path that sees least: 11x11")
    assert lines[at + 3] == ("effective stride", "32  (on every axis)")
    assert dict(network.explain("conv1").lines)["effective stride"] == "1*2 = 2  (on every axis)"


@pytest.mark.parametrize(
    ("name", "block"), [("resnet18", "layer1.0"), ("googlenet", "inception3a.branch2"), ("googlenet", "aux1")]
)
def test_a_block_is_explained_by_its_sums_and_its_layers(name: str, block: str) -> None:
    network = cnnspec.load(name)
    explanation = network.explain(block)
    rows = [row for row in network.analyze(purpose="train").layers if row.name.startswith(f"{block}.")]
    assert explanation.call == f"{len(rows)} layers"
    lines = dict(explanation.lines)
    for heading, figure in (("parameters", "params"), ("buffers", "buffers"), ("MACs", "macs"), ("FLOPs", "flops")):
        total = sum(getattr(row, figure) for row in rows)
        left, _, right = lines.get(heading, "0").rpartition(" = ")
        assert right == f"{total:,}"
        assert not left or value(left) == total
    named = [text.split()[0] for heading, text in explanation.lines[-len(rows) :]]
    assert named == [row.name for row in rows]


def test_what_a_block_reads_and_gives() -> None:
    lines = dict(cnnspec.load("unet").explain("up1").lines)
    assert lines["reads"] == "drop4 1024x28x28, drop3 512x64x64"
    assert lines["gives"] == "up1.conv.relu2 512x52x52"


def test_a_join_with_the_name_of_its_block_has_the_sums_too() -> None:
    # Szegedy et al. 2015, table 1, without biases and with batch norm: torchvision's inception3a.
    lines = dict(cnnspec.load("googlenet").explain("inception3a").lines)
    assert lines["output"] == "256x28x28"
    assert lines["block"] == "20 layers, 155,872 parameters, 121,626,624 MACs"


def test_an_explanation_fits_the_terminal() -> None:
    explanation = cnnspec.load("googlenet").explain("inception3a")
    assert max(map(len, render_explanation(explanation, 60).splitlines())) <= 60
    assert render_explanation(explanation, 60).split() == render_explanation(explanation).split()


def test_no_such_layer() -> None:
    network = cnnspec.load("resnet50")
    with pytest.raises(UsageError) as caught:
        network.explain("layer3.1..5")
    assert caught.value.hint == "a folded row stands for equal blocks; the first is `layer3.1`"
    with pytest.raises(UsageError, match="`layer3` is a block of resnet50") as caught:
        network.field("layer3")
    assert caught.value.hint == "its last layer is `layer3.5.relu3`"
    with pytest.raises(UsageError, match="has no layer `layer`"):
        network.explain("layer")
