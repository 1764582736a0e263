"""The files that `draw` writes: well formed, harmless whatever names hold, and of the kind that their ending says."""

from __future__ import annotations

import io
import re
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest

import cnnspec
from cnnspec import api
from cnnspec.cli import main
from cnnspec.drawing.boxes import Scene
from cnnspec.drawing.write import drawn
from cnnspec.graph import INPUT

SVG = "{http://www.w3.org/2000/svg}"
EVIL = '"</title><script>alert(1)</script>\u202e\x1b[31m"]);-->'


@pytest.mark.parametrize(
    "name", ["lenet5", "googlenet", "unet", "resnet50", "efficientnet_b7", "m5", "c3d", "densenet121"]
)
def test_an_svg_is_well_formed_and_holds_no_script_and_no_address(name: str) -> None:
    for depth in (None, 1, 9):
        text = api.draw_bytes(name, depth=depth).decode()
        root = ElementTree.fromstring(text)
        assert {element.tag.removeprefix(SVG) for element in root.iter()} <= {
            "svg", "title", "style", "defs", "marker", "path", "rect", "text",
        }  # fmt: skip
        assert not re.search(r"(?:https?:)?//(?!www\.w3\.org/2000/svg)", text)


def test_shapes_stand_beside_the_lines() -> None:
    texts = ElementTree.fromstring(api.draw_bytes("lenet5")).iter(f"{SVG}text")
    shapes = [element.text for element in texts if element.get("class") == "shape"]
    assert shapes == ["6×28×28", "6×14×14", "16×10×10", "16×5×5", "120×1×1", "120", "84", "10"]


def test_auxiliary_heads_are_drawn_where_they_are_asked_for() -> None:
    assert b"aux1" not in api.draw_bytes("googlenet")
    assert b"output in training" in api.draw_bytes("googlenet", purpose="train")


@pytest.mark.parametrize("kind", ["svg", "mmd", "dot", "pdf", "png"])
def test_a_hostile_name_does_nothing(kind: str) -> None:
    graph = cnnspec.load("mlp").graph
    nodes = tuple(replace(node, name=f"{EVIL}{node.name}", inputs=(INPUT,)) for node in graph.nodes[:1])
    data = drawn(Scene.of(replace(graph, name=EVIL, nodes=nodes, outputs=(nodes[0].name,))), kind)
    if kind in ("svg", "mmd", "dot"):
        text = data.decode()
        assert "<script" not in text or kind == "dot"  # where it is letters between quotes
        assert "\u202e" not in text
        assert "\x1b" not in text
    if kind == "svg":
        ElementTree.fromstring(data)


def test_pdf_and_png_are_what_they_are_called() -> None:
    from PIL import Image

    pdf = api.draw_bytes("lenet5", "pdf")
    assert pdf.startswith(b"%PDF-")
    assert pdf == api.draw_bytes("lenet5", "pdf")
    image = Image.open(io.BytesIO(api.draw_bytes("lenet5", "png")))
    assert image.format == "PNG"
    colours = {colour for _, colour in image.convert("RGB").getcolors(2**24) or []}
    assert (227, 237, 251) in colours  # the ground of convolutions


def test_mermaid_groups_what_stays_together() -> None:
    text = api.draw_bytes("resnet18", "mmd", depth=2).decode()
    assert text.startswith("flowchart TB\n")
    assert text.count("subgraph") == text.count("\n  end\n") == 4
    assert '["layer1 BasicBlock × 2"]' in text


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["lenet5", "-o", "a.gif"], 2, "`gif` is no kind of picture"),
        (["lenet5", "-o", "a.pfd"], 2, "`pfd` is no kind of picture"),
        (["lenet5", "-o", "a"], 2, "has no ending"),
        (["lenet5", "--format", "svgg"], 2, "did you mean `svg`?"),
        (["lenet5", "-o", "no/where.svg"], 1, "cannot write"),
        (["lenet9"], 2, "did you mean `lenet5`?"),
    ],
)
def test_wrong_calls(
    arguments: list[str],
    code: int,
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as caught:
        main(["draw", *arguments])
    assert caught.value.code == code
    assert said in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_the_command_writes_the_file_that_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    monkeypatch.chdir(tmp_path)
    for arguments in (
        ["lenet5"],
        ["lenet5", "-o", "net.mmd"],
        ["resnet34", "-o", "r.dot"],
        ["lenet5", "--format", "mmd", "-o", "-"],
    ):
        with pytest.raises(SystemExit) as caught:
            main(["draw", *arguments])
        assert caught.value.code == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["lenet5.svg", "net.mmd", "r.dot"]
    assert capfdbinary.readouterr().out == (tmp_path / "net.mmd").read_bytes()
