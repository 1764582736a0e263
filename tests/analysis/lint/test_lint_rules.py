"""Every rule has networks that it warns of, and networks close to them that it does not."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import cnnspec
from cnnspec.analysis.lint import CODES, RULES, Finding, Rule, lint
from cnnspec.errors import SpecError, UsageError

IMAGE = "[3, 32, 32]"

# code: (input, layers that trigger it, layers that do not). One line per layer, as in a spec.
CASES: dict[str, tuple[str, str, str]] = {
    "W301": (IMAGE, "Conv2d(8, 4, stride=3)", "Conv2d(8, 5, stride=3)"),
    "W302": (
        "[3, 16, 16]",
        "Conv2d(8, 3, padding=1)|MaxPool2d(2)|Conv2d(8, 5, padding=2)|MaxPool2d(2)|Conv2d(8, 3, padding=1)"
        "|Conv2d(8, 3, padding=1)",
        "Conv2d(8, 3, padding=1)|MaxPool2d(2)|Conv2d(8, 5, padding=2)|MaxPool2d(2)|Conv2d(8, 3, padding=1)"
        "|Conv2d(8, 1)",
    ),
    "W303": (
        IMAGE,
        "Conv2d(8, 3)|ReLU|AdaptiveAvgPool2d(1)|Flatten|Linear(10)",
        "Conv2d(8, 3)|ReLU|AdaptiveAvgPool2d(2)|Flatten|Linear(10)",
    ),
    "W304": (
        IMAGE,
        "Conv2d(8, 3, dilation=2)|ReLU|Conv2d(8, 3, dilation=2)",
        "Conv2d(8, 3, dilation=2)|ReLU|Conv2d(8, 3, dilation=3)|Conv2d(8, 3)",
    ),
    "W305": (IMAGE, "Conv2d(8, 3)|BatchNorm2d|ReLU", "Conv2d(8, 3, bias=False)|BatchNorm2d|ReLU"),
    "W306": (IMAGE, "Conv2d(8, 3)|ReLU|Dropout(0.2)|ReLU", "Conv2d(8, 3)|ReLU|Dropout(0.2)|Conv2d(8, 1)|ReLU"),
    "W307": ("[16]", "Linear(10)|Softmax", "Linear(10)|Softmax|Linear(10)"),
    "W308": (
        IMAGE,
        "Conv2d(64, 3)|ReLU|Flatten|Linear(100)",
        "Conv2d(64, 3)|ReLU|AdaptiveAvgPool2d(1)|Flatten|Linear(100)",
    ),
    "W309": (IMAGE, "Conv2d(8, 1, stride=2)|ReLU", "Conv2d(8, 2, stride=2)|ReLU"),
    "W310": (
        "[3, 64, 64]",
        "Conv2d(50, 3, padding=1)|ReLU|Conv2d(50, 3, padding=1)|ReLU",
        "Conv2d(48, 3, padding=1)|ReLU|Conv2d(48, 3, padding=1)|ReLU|Conv2d(48, 3, padding=1, groups=48)",
    ),
    "W311": (IMAGE, "Conv2d(8, 3, padding=2)", "Conv2d(8, 2, padding=1)"),
    "W312": (IMAGE, "a: Conv2d(8, 3)|b: ReLU|c: Sigmoid()(a)", "a: Conv2d(8, 3)|b: ReLU|c: Sigmoid()(a)|d: Mul(b, c)"),
    "W313": (
        "[3, 16, 16]",
        "Conv2d(8, 9, padding=4)|Conv2d(8, 9, padding=4)|Conv2d(8, 3, padding=1)|MaxPool2d(2)|Flatten|Linear(10)",
        "Conv2d(8, 9, padding=4)|Conv2d(8, 9, padding=4)|MaxPool2d(2)|Flatten|Linear(10)",
    ),
    "W314": (
        IMAGE,
        "a: Conv2d(8, 3)|c: ZeroPad2d([2, 0, 2, 0])(input)|d: Conv2d(8, 5)(c)|e: Add(a, d)",
        "a: Conv2d(8, 3)|c: ZeroPad2d([1, 1, 1, 1])(input)|d: Conv2d(8, 5)(c)|e: Add(a, d)",
    ),
    "W315": (
        IMAGE,
        "Conv2d(8, 3, bias=False)|Dropout(0.1)|BatchNorm2d",
        "Conv2d(8, 3, bias=False)|BatchNorm2d|Dropout",
    ),
    "W316": ("[16]", "Linear(32)|Dropout|Linear(10)", "Linear(4)|Linear(10)|ReLU|Linear(16)"),
    "W317": (IMAGE, "Conv2d(8, 4, padding=same)", "Conv2d(8, 5, padding=same)"),
    "W318": ("[8, 8, 8]", "ConvTranspose2d(4, 3, stride=2)", "ConvTranspose2d(4, 4, stride=2, padding=1)"),
    "W319": ("[8, 2, 2]", "Conv2d(8, 5, padding=2)", "Conv2d(8, 3, padding=1)"),
    "W320": (
        IMAGE,
        "Conv2d(8, 1)|Conv2d(8, 3, groups=2)|ReLU|Conv2d(8, 3, groups=2)",
        "Conv2d(8, 1)|Conv2d(8, 3, groups=2)|ReLU|ChannelShuffle(2)|Conv2d(8, 3, groups=2)",
    ),
    "W321": (
        IMAGE,
        "Conv2d(8, 3)|ReLU|AdaptiveAvgPool2d(1)|Dropout|Linear(10)|ReLU|Linear(3)",
        "Conv2d(8, 3)|ReLU|AdaptiveAvgPool2d(1)|Dropout|Flatten|Linear(10)|ReLU|Linear(3)",
    ),
    "W322": ("[4, 1, 2]", "MaxPool2d(3, stride=3, padding=1, dilation=[2, 1], ceil_mode=True)", "MaxPool2d(1)"),
    "W323": (
        "[4, 8, 8]",
        "map: Conv2d(4, 3, padding=1)|mean: AdaptiveAvgPool2d(1)|gate: Sigmoid|sum: Add(map, gate)",
        "map: Conv2d(4, 3, padding=1)|mean: AdaptiveAvgPool2d(1)|gate: Sigmoid|sum: Mul(map, gate)",
    ),
}


def find(shape: str, layers: str, head: str = "") -> list[Finding]:
    """The findings about a network that is written on one line."""
    lines = layers.split("|")
    mark = "" if ": " in lines[0] else "- "
    body = "\n".join(f"  {mark}{line}" for line in lines)
    spec = cnnspec.loads(f"cnnspec: 1\nname: net\ninput: {shape}\n{head}layers:\n{body}\n")
    return lint(spec.graph, spec.analyze())


def test_every_rule_has_a_case_and_there_are_enough_of_them() -> None:
    assert list(CASES) == list(CODES)
    assert len(set(CODES)) == len(RULES) >= 15


@pytest.mark.parametrize("code", CASES)
def test_it_warns(code: str) -> None:
    shape, bad, _ = CASES[code]
    found = [finding for finding in find(shape, bad) if finding.code == code]
    assert len(found) == 1
    finding = found[0]
    assert finding.severity == "warning"
    assert finding.place is not None
    assert finding.place.line >= 5
    assert finding.help
    assert finding.layers
    assert finding.to_dict()["layer"] == finding.layers[0]
    assert f"`{finding.layers[0]}`" in finding.message or code == "W305"


@pytest.mark.parametrize("code", CASES)
def test_it_does_not_warn(code: str) -> None:
    shape, _, good = CASES[code]
    assert code not in [finding.code for finding in find(shape, good)]


def test_what_is_only_padding_or_read_by_a_neighbour_is_not_lost() -> None:
    assert find("[3, 224, 224]", "Conv2d(64, 7, stride=2, padding=3)") == []
    both = "a: Conv2d(8, 3, stride=2, padding=1)|b: Conv2d(8, 1, stride=2)(input)|c: Add(a, b)"
    assert [finding.code for finding in find(IMAGE, both)] == []


def test_a_dead_node_reads_nothing() -> None:
    layers = "a: Conv2d(8, 1, stride=2)|b: Sigmoid()(input)|c: BatchNorm2d()(a)|d: Tanh()(a)|out: ReLU()(c)"
    assert [finding.code for finding in find(IMAGE, layers)] == ["W305", "W309", "W312", "W312"]


def test_layers_of_one_line_are_one_finding() -> None:
    text = (
        "cnnspec: 1\nname: net\ninput: [8, 8, 8]\nblocks:\n  Step:\n    layers:\n      - Conv2d(8, 1)\n"
        "      - BatchNorm2d\nlayers:\n  - Step * 6\n"
    )
    spec = cnnspec.loads(text)
    (finding,) = lint(spec.graph, spec.analyze())
    assert finding.layers == ("0.0", "1.0", "2.0", "3.0", "4.0", "5.0")
    assert finding.notes == ("the same line also gives 1.0, 2.0, 3.0 and 2 more",)
    assert finding.place is not None
    assert finding.place.line == 7


def test_codes_are_selected_and_ignored() -> None:
    lines = "- Conv2d(8, 3)\n- BatchNorm2d\n- ReLU\n- ReLU\n"
    spec = cnnspec.loads(f"cnnspec: 1\nname: net\ninput: [3, 8, 8]\nlayers:\n{lines}")
    report = spec.analyze()
    assert [finding.code for finding in lint(spec.graph, report)] == ["W305", "W306"]
    assert [finding.code for finding in lint(spec.graph, report, select=["w306"])] == ["W306"]
    assert [finding.code for finding in lint(spec.graph, report, ignore=["W306"])] == ["W305"]
    with pytest.raises(UsageError, match="no rule `W399`"):
        lint(spec.graph, report, ignore=["W399"])


def test_where_the_holes_of_dilation_are_filled_later_nothing_is_said() -> None:
    assert [f.code for f in find(IMAGE, "Conv2d(8, 3)|ReLU|Conv2d(8, 3, dilation=2)|ReLU|Conv2d(8, 3)")] == []


def test_a_gate_is_no_classifier() -> None:
    gate = "a: Conv2d(8, 3)|pool: AdaptiveAvgPool2d(1)|fc: Conv2d(8, 1)|gate: Sigmoid|b: Mul(a, gate)|c: Conv2d(8, 3)"
    assert [finding.code for finding in find("[3, 64, 64]", gate)] == []


def test_three_dimensions_and_one() -> None:
    (finding,) = find("[2, 8, 9, 9]", "Conv3d(8, 2, stride=2)")
    assert finding.message == "`0` never reads the last pixels of its input: 1 of 9 on the height, 1 of 9 on the width"
    (finding,) = find("[2, 16]", "Conv1d(8, 3, padding=4)")
    assert finding.code == "W311"


@pytest.mark.parametrize(
    ("shape", "layers", "axis"),
    [
        ("[1, 28, 28]", "Linear(10)", "1x28x28, and acts on its last axis only, the width"),
        ("[4, 32]", "Conv1d(8, 3)|BatchNorm1d|ReLU|Linear(10)", "8x30, and acts on its last axis only, the length"),
        ("[3, 9, 9]", "a: Conv2d(8, 3)|b: Sigmoid|c: Mul(a, b)|d: Linear(4)", "8x7x7, and acts on"),
    ],
)
def test_a_dense_layer_on_a_map_is_asked_about(shape: str, layers: str, axis: str) -> None:
    (message,) = [finding.message for finding in find(shape, layers) if finding.code == "W321"]
    assert f"reads a feature map, {axis}" in message


@pytest.mark.parametrize(
    ("shape", "layers"),
    [
        ("[16]", "Linear(10)"),
        ("[16, 64]", "Linear(32)|GELU|Linear(64)"),  # tokens and their features
        ("[3, 32, 32]", "Conv2d(8, 4, stride=4)|Permute([0, 2, 3, 1])|LayerNorm|Linear(32)|GELU|Linear(8)"),
        ("[3, 32, 32]", "Conv2d(8, 4, stride=4)|Flatten(2)|Permute([0, 2, 1])|Linear(8)"),
        ("[3, 32, 32]", "Conv2d(8, 4, stride=4)|Flatten(2)|Linear(64)"),  # a mixer's dense layer over the patches
    ],
)
def test_a_dense_layer_on_features_is_not(shape: str, layers: str) -> None:
    assert "W321" not in [finding.code for finding in find(shape, layers)]


@pytest.mark.parametrize(
    ("shape", "layers", "told"),
    [
        ("[3, 32, 32]", "Conv2d(8, 3)|ReLU|StochasticDepth(0.1)|ReLU", {"W306"}),  # which does nothing at inference
        ("[8, 9, 9]", "Conv2d(8, 3, groups=2)|Flatten(2)|Conv1d(8, 3, groups=2)", {"W320"}),  # channels stay apart
        ("[8, 9, 9]", "Conv2d(8, 3, groups=2)|Slice(0, 4)|Conv2d(8, 3, groups=2)", set()),  # both read one old group
        ("[8, 9, 9]", "Conv2d(8, 3, groups=2)|LayerNorm2d|Conv2d(8, 3, groups=2)", {"W320"}),
    ],
)
def test_what_stands_between_two_layers_is_seen_for_what_it_does(shape: str, layers: str, told: set[str]) -> None:
    assert {finding.code for finding in find(shape, layers)} & {"W306", "W320"} == told


HEAD = "cnnspec: 1\nname: net\ninput: [3, 8, 8]\nlint: {ignore: [W306]}\n"


def test_a_spec_says_which_warnings_are_not_wanted() -> None:
    spec = cnnspec.loads(HEAD + "layers:\n- Conv2d(8, 3)\n- BatchNorm2d\n- ReLU\n- ReLU\n")
    assert [finding.code for finding in spec.lint()] == ["W305"]
    assert spec.lint(ignore=["W305"]) == []
    assert [finding.code for finding in spec.lint(select=["W306"])] == ["W306"]
    later = cnnspec.loads(HEAD.replace("W306", "W399") + "layers:\n- Conv2d(8, 3)\n- ReLU\n- ReLU\n")
    assert [finding.code for finding in later.lint()] == ["W306"]


@pytest.mark.parametrize(
    "lint", ["[W301]", "{ignore: W301}", "{ignore: [E101]}", "{select: [W301]}", "{ignore: [301]}"]
)
def test_a_faulty_list_of_warnings_is_an_error_with_its_place(lint: str) -> None:
    with pytest.raises(SpecError) as caught:
        cnnspec.loads(f"cnnspec: 1\nname: net\ninput: [3, 8, 8]\nlint: {lint}\nlayers:\n- ReLU\n")
    (diagnostic,) = caught.value.diagnostics
    assert diagnostic.code == "E107"
    assert diagnostic.message.startswith("`lint` lists the warnings")
    assert diagnostic.place is not None
    assert diagnostic.place.line == 4


@pytest.mark.parametrize("rule", RULES, ids=CODES)
def test_the_page_of_a_rule_shows_a_network_it_warns_of_and_one_mended(rule: Rule) -> None:
    page = (Path(__file__).parents[3] / "docs" / "codes" / f"{rule.code}.md").read_text("utf-8")
    assert page.startswith(f"# {rule.code}: {rule.title}\n")
    bad, good = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    codes = [{finding.code for finding in cnnspec.loads(f"cnnspec: 1\n{text}").lint()} for text in (bad, good)]
    assert rule.code in codes[0]
    assert codes[1] == set()


def test_numbers_beyond_counting_are_not_counted() -> None:
    lines = (
        "Conv1d(8, 100000000, stride=3)",
        "Conv1d(8, 3, padding=100000000)",
        "MaxPool1d(100000000, stride=99999999)",
    )
    for line in lines:
        found = find("[1, 1000000011]", line)
        assert {finding.code for finding in found} <= {"W301", "W304", "W309", "W311"}
