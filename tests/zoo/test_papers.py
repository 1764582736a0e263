"""Networks that differ from their papers really do, and say so wherever they are listed."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

import cnnspec
from cnnspec import api, zoo
from cnnspec.analysis.papers import DIFFERENCES
from cnnspec.language import read_spec

sys.path.insert(0, str(Path(__file__).parents[1] / "cli"))
from cli_calls import call

PAPERS: list[dict[str, Any]] = yaml.safe_load((Path(__file__).parents[1] / "golden" / "papers.yaml").read_text())
UNITS = {"M": 1e6, "B": 1e9}


def rounded(value: int, figure: str) -> str:
    return f"{value / UNITS[figure[-1]]:.{len(figure[:-1].partition('.')[2])}f}{figure[-1]}"


@pytest.mark.parametrize("paper", PAPERS, ids=lambda paper: paper["name"])
def test_the_figures_are_not_the_papers(paper: dict[str, Any]) -> None:
    text = DIFFERENCES[paper["name"]]
    totals = cnnspec.load(paper["name"]).analyze().totals
    for key in {"params", "macs"} & set(paper):
        assert rounded(getattr(totals, key), paper[key]) != paper[key]
        assert f"{paper[key][:-1]} {paper[key][-1]}" in text  # the text has the paper's figure
    if "settings" in paper:
        theirs = cnnspec.load(paper["name"], params=paper["settings"]).analyze().totals
        for key in {"params", "macs"} & set(paper):
            assert rounded(getattr(theirs, key), paper[key]) == paper[key]


@pytest.mark.parametrize("name", DIFFERENCES)
def test_a_figure_in_the_text_is_the_network_s_or_the_papers(name: str) -> None:
    totals = cnnspec.load(name).analyze().totals
    published = [paper[key] for paper in PAPERS if paper["name"] == name for key in ("params", "macs") if key in paper]
    for number, unit in re.findall(r"(\d+(?:\.\d+)?) ([MB])\b", DIFFERENCES[name]):
        figure = number + unit
        assert figure in (*published, rounded(totals.params, figure), rounded(totals.macs, figure))


def test_structures_are_as_the_texts_say() -> None:
    graph = cnnspec.load("googlenet").graph
    kernels = {node.op.kernel_size for node in graph if hasattr(node.op, "kernel_size")}
    assert (5, 5) not in kernels
    pools = [node.op.kernel_size for node in graph if node.op.op_name == "MaxPool2d" and node.op.stride == (2, 2)]
    assert pools == [(3, 3)] * 3 + [(2, 2)]
    convs = [node for node in cnnspec.load("alexnet").graph if node.op.op_name == "Conv2d"]
    assert [node.shape[0] for node in convs] == [64, 192, 384, 256, 256]
    convs = [node for node in cnnspec.load("alexnet_2012").graph if node.op.op_name == "Conv2d"]
    assert [node.shape[0] for node in convs] == [96, 256, 384, 384, 256]
    assert cnnspec.load("squeezenet1_0").graph.nodes[0].shape == (96, 109, 109)
    assert cnnspec.load("lenet5").analyze().totals.params == 61_706


def test_every_listing_says_it(capsys: pytest.CaptureFixture[str]) -> None:
    entries = {entry.name: entry for entry in api.bundled_networks()}
    assert set(DIFFERENCES) <= set(entries)
    for name, entry in entries.items():
        assert entry.to_dict()["differs"] == DIFFERENCES.get(name)
    assert call("zoo") == 0
    starred = {line.split()[0] for line in capsys.readouterr().out.splitlines() if line.split()[1:2] == ["*"]}
    assert starred == set(DIFFERENCES)
    for name in ("googlenet", "regnet_y_8gf", "resnet18"):
        assert call("zoo", name, "--format", "json") == 0
        assert json.loads(capsys.readouterr().out)["differs"] == DIFFERENCES.get(name)


@pytest.mark.parametrize("file", sorted({zoo.names()[name][0].stem for name in DIFFERENCES} - {"m5", "unet"}))
def test_the_description_of_a_network_says_it_too(file: str) -> None:
    description = read_spec(zoo.bundled()[file]).document.header.description
    assert description
    assert re.search("paper|2012", description)
