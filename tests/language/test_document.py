"""Rules 1 to 3, 9, 11 and 14: what may be written, and what is said of what may not."""

from __future__ import annotations

import json

import pytest
from speaking import HEAD, codes, found, graph, marked, rows

import cnnspec
from cnnspec.errors import SpecError
from cnnspec.language.names import RESERVED
from cnnspec.language.read_body import JOIN_NAMES


def test_reserved_names_are_torchs() -> None:
    import torch

    module = torch.fx.GraphModule(torch.nn.Module(), torch.fx.Graph())
    kept = set(dir(torch.nn.Module)) | set(dir(module)) | set(vars(module)) | {"True", "False", "None", "input"}
    wanted = {name for name in kept if not name.startswith("__")}
    allowed_beside = {name for name in RESERVED if name.startswith("_")}  # private names come and go between versions
    assert wanted - allowed_beside <= RESERVED
    assert {name for name in RESERVED if not name.startswith("_")} <= wanted


def test_joins_are_the_operators_with_many_reads() -> None:
    assert JOIN_NAMES == ("Add", "Sub", "Mul", "Div", "Concat")


# Rule 1: the header


def test_a_whole_header() -> None:
    net = graph(
        """
        cnnspec: 1
        name: tiny-1.0_x
        description: A text
        reference: "Somebody 2020"
        input: {shape: [c, 8, 8], mean: [0.5], std: 0.25}
        classes: [cat, dog]
        params: {c: 3}
        outputs: [fc]
        aux_outputs: [body.a]
        train: {epochs: 3, anything: [1, {a: b}]}
        layers:
          body:
            layers:
              a: Conv2d(4, 3)
              b: ReLU
          flatten: Flatten
          fc: Linear(2)
        """,
        head="",
    )
    assert (net.name, net.input_shape, net.outputs, net.aux_outputs) == ("tiny-1.0_x", (3, 8, 8), ("fc",), ("body.a",))
    assert (net.mean, net.std, net.classes) == ((0.5,) * 3, (0.25,) * 3, ("cat", "dog"))


@pytest.mark.parametrize("shape", ["7", "[7]", "[2, 9]", "[2, 9, 9]", "[2, 9, 9, 9]", "(2, 9)", "[1 + 1, 3 * 3]"])
def test_shapes_have_one_to_four_dimensions(shape: str) -> None:
    assert 1 <= len(graph("layers: [ReLU]", head=f"cnnspec: 1\ninput: {shape}\n").input_shape) <= 4


@pytest.mark.parametrize(
    ("text", "marks"),
    [
        ("layers: [ReLU]\ninput: 3\n", [("E107", "l")]),
        ("cnnspec: 2\ninput: 3\nlayer: [x]\n", [("E107", "2")]),
        ("cnnspec: '1'\ninput: 3\nlayers: [ReLU]\n", [("E107", "'1'")]),
        ("cnnspec: true\ninput: 3\nlayers: [ReLU]\n", [("E107", "true")]),
        ("cnnspec: 1.0\ninput: 3\nlayers: [ReLU]\n", [("E107", "1.0")]),
        ("services: {web: 1}\n", [("E107", "s")]),
        ("- ReLU\n", [("E107", "-")]),
        ("just words\n", [("E107", "just words")]),
        ("cnnspec: 1\nlayers: [ReLU]\n", [("E107", "c")]),
        ("cnnspec: 1\ninput: 3\n", [("E107", "c")]),
        ("cnnspec: 1\ninputs: [3]\nlayers: [ReLU]\n", [("E107", "inputs")]),
        ("cnnspec: 1\ninput: 3\nlayer: [ReLU]\n", [("E107", "layer")]),
        ("cnnspec: 1\ninput: 3\nlayers: [ReLU]\nadd: [ReLU]\n", [("E107", "add")]),
        ("cnnspec: 1\ninput: 3\nlayers: []\n", [("E107", "[")]),
        ("cnnspec: 1\ninput: 3\nlayers: ReLU\n", [("E107", "ReLU")]),
        ("cnnspec: 1\ninput: [3, -1]\nlayers: [ReLU]\n", [("E107", "[")]),
        ("cnnspec: 1\ninput: [3, 0]\nlayers: [ReLU]\n", [("E107", "[")]),
        ("cnnspec: 1\ninput: [3, 2.0]\nlayers: [ReLU]\n", [("E107", "[")]),
        ("cnnspec: 1\ninput: [1, 2, 3, 4, 5]\nlayers: [ReLU]\n", [("E107", "[")]),
        ("cnnspec: 1\ninput: []\nlayers: [ReLU]\n", [("E107", "[")]),
        ("cnnspec: 1\ninput: 3x8x8\nlayers: [ReLU]\n", [("E107", "3x8x8")]),
        ("cnnspec: 1\ninput: {mean: 1, std: 1}\nlayers: [ReLU]\n", [("E107", "{")]),
        ("cnnspec: 1\ninput: {shape: 3, mean: 1}\nlayers: [ReLU]\n", [("E107", "{")]),
        ("cnnspec: 1\ninput: {shape: 3, mean: 1, std: 0}\nlayers: [ReLU]\n", [("E107", "{")]),
        ("cnnspec: 1\ninput: {shape: 3, mean: x, std: 1}\nlayers: [ReLU]\n", [("E107", "x")]),
        ("cnnspec: 1\ninput: {shape: 3, mean: .nan, std: 1}\nlayers: [ReLU]\n", [("E107", ".nan")]),
        ("cnnspec: 1\ninput: {shape: 3, std: 1, means: 1}\nlayers: [ReLU]\n", [("E107", "means")]),
        ("cnnspec: 1\ninput: {shape: [3, 8], mean: [1, 2], std: [1, 2]}\nlayers: [ReLU]\n", [("E206", "input")]),
        ("cnnspec: 1\ninput: 3\nclasses: [0, 1, 2]\nlayers: [ReLU]\n", [("E107", "0")]),
        ("cnnspec: 1\ninput: 3\nlint: {ignore: [W305, W30]}\nlayers: [ReLU]\n", [("E107", "W30")]),
        ("cnnspec: 1\ninput: 3\nlint: {ignore: W305}\nlayers: [ReLU]\n", [("E107", "W305")]),
        ("cnnspec: 1\ninput: 3\nclasses: [a, b]\nlayers: [ReLU]\n", [("E206", "classes")]),
        ("cnnspec: 1\ninput: [3, 8, 8]\nclasses: [a, b]\nlayers: [ReLU]\n", [("E206", "classes")]),
        ("cnnspec: 1\ninput: 3\nname: a/b\nlayers: [ReLU]\n", [("E107", "a/b")]),
        ("cnnspec: 1\ninput: 3\nname: ../x\nlayers: [ReLU]\n", [("E107", "../x")]),
        ("cnnspec: 1\ninput: 3\ntrain: [1]\nlayers: [ReLU]\n", [("E107", "[")]),
        ("cnnspec: 1\ninput: 3\noutputs: a\nlayers: {a: ReLU}\n", [("E107", "a")]),
        ("cnnspec: 1\ninput: 3\noutputs: [b]\nlayers: {a: ReLU}\n", [("E109", "b")]),
        ("cnnspec: 1\ninput: 3\nlayers: [ReLU]\nstuff: 1\n", [("E107", "stuff")]),
        ("cnnspec: 1\ninput: 3\nlayers: [ReLU]\nblocks: [1]\n", [("E107", "[")]),
        ("cnnspec: 1\ninput: 3\nlayers: [ReLU]\nvariants: {a: 3}\n", [("E107", "3")]),
        ("cnnspec: 1\ninput: 3\nlayers: [ReLU]\nblocks: {B: [ReLU]}\n", [("E107", "[")]),
        ("cnnspec: 1\ninput: 3\nlayers: [ReLU]\nblocks: {B: {params: {a: 1}}}\n", [("E107", "B")]),
        ("cnnspec: 1\ninput: 3\nlayers: [ReLU]\nConvBN: {layers: [ReLU]}\n", [("E107", "ConvBN")]),
    ],
)
def test_headers_that_are_refused(text: str, marks: list[tuple[str, str]]) -> None:
    assert marked(text) == marks


# Rules 2 and 3: bodies and nodes

SHORT = """
params: {n: 2, act: ReLU}
blocks:
  B:
    inputs: [below, skip]
    params: {out: int, k: [3, 3], act: layer}
    layers:
      conv: Conv2d(out, k, padding='same', bias=False)
      act: act
      add: Concat(skip, act)
layers:
  stem: Conv2d(8, 3, padding=1)
  rest: Conv2d(8, (1, 3), padding=(0, 1)) * n if i != 1
  both:
    concat:
      - ReLU
      - [Tanh, Sigmoid]
  up: B(4 * n, act=act)(both, stem)
  old: Identity()(stem) if n == 2
  end: Add(old, stem)
"""
LONG = {
    "cnnspec": 1,
    "input": [3, 32, 32],
    "params": {"n": 2, "act": "ReLU"},
    "blocks": {
        "B": {
            "inputs": ["below", "skip"],
            "params": {"out": "int", "k": [3, 3], "act": "layer"},
            "layers": {
                "conv": {"type": "Conv2d", "out_channels": "out", "kernel_size": "k", "padding": "same", "bias": False},
                "act": {"type": "act"},
                "add": {"type": "Concat", "in": ["skip", "act"]},
            },
        }
    },
    "layers": {
        "stem": {"type": "Conv2d", "out_channels": 8, "kernel_size": 3, "padding": 1},
        "rest": {
            "type": "Conv2d",
            "out_channels": 8,
            "kernel_size": [1, 3],
            "padding": [0, 1],
            "repeat": "n",
            "when": "i != 1",
        },
        "both": {"concat": [{"type": "ReLU"}, {"layers": [{"type": "Tanh"}, {"type": "Sigmoid"}]}]},
        "up": {"type": "B", "out": "4 * n", "act": "act", "in": ["both", "stem"]},
        "old": {"type": "Identity", "in": "stem", "when": "n == 2"},
        "end": {"type": "Add", "in": ["old", "stem"]},
    },
}


def test_lines_and_the_long_form_say_the_same() -> None:
    short = graph(SHORT)
    assert short.nodes == graph(json.dumps(LONG), head="", path="net.json").nodes
    assert [node.name for node in short] == [
        "stem", "rest.0", "both.0", "both.1.0", "both.1.1", "both", "up.conv", "up.act", "up.add", "old", "end",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("body", "marks"),
    [
        ("layers:\n  - 3\n", [("E107", "3")]),
        ("layers:\n  - \n", [("E107", " ")]),
        ("layers:\n  - {out_channels: 3}\n", [("E107", "{")]),
        ("layers:\n  - {type: ReLU, layers: [ReLU]}\n", [("E107", "layers")]),
        ("layers:\n  - {type: ReLU()}\n", [("E107", "ReLU()")]),
        ("layers:\n  - {type: }\n", [("E107", "}")]),
        ("layers:\n  - {tpye: ReLU}\n", [("E107", "tpye")]),
        ("layers:\n  - {layers: [ReLU], out_channels: 3}\n", [("E107", "out_channels")]),
        ("layers:\n  - {type: ReLU, in: {a: b}}\n", [("E109", "{")]),
        ("layers:\n  - {type: ReLU, inplace: {a: b}}\n", [("E106", "{")]),
        ("layers:\n  - Conv2d: {out_channels: 3}\n", [("E107", "C")]),
        ("layers:\n  - conv: ReLU\n", [("E107", "c")]),
        ("layers: [Conv2d(8, 3), ReLU]\n", [("E110", "Conv2d(8")]),
        ("layers: {a: Conv2d(8, 3), b: Reul}\n", [("E110", "Conv2d(8"), ("E103", "Reul")]),
        ("layers:\n  - {type: Conv2d, out_channels: max(3, 4), kernel_size: 1}\n", [("E110", "("), ("E104", "4)")]),
    ],
)
def test_nodes_that_are_refused(body: str, marks: list[tuple[str, str]]) -> None:
    assert marked(HEAD + body) == [(code, mark) for code, mark in marks]


def test_hints_for_common_slips() -> None:
    assert "drop the `- `" in str(found("layers:\n  - conv: ReLU\n")[0].help)
    assert "type: Conv2d" in str(found("layers:\n  - Conv2d: {out_channels: 3}\n")[0].help)
    assert "quote" in str(found("layers: [Conv2d(8, 3), ReLU]\n")[0].help)
    assert "quote" in str(found("let: {w: max(1, 2)}\nlayers: [ReLU]\n")[0].help)


# Rule 9: names are torch's


@pytest.mark.parametrize(
    ("line", "mark", "label"),
    [
        ("Dense(8)", ("E103", "Dense"), "Linear"),
        ("conv2d(8, 3)", ("E103", "conv2d"), "Conv2d"),
        ("Conv2D(8, 3)", ("E103", "Conv2D"), "Conv2d"),
        ("MaxPooling2D(2)", ("E103", "MaxPooling2D"), "MaxPool2d"),
        ("BatchNorm", ("E103", "BatchNorm"), "BatchNorm2d"),
        ("relu", ("E103", "relu"), "ReLU"),
        ("Conv2d(filters=8, kernel_size=3)", ("E104", "filters"), "out_channels"),
        ("Conv2d(8, kernal_size=3)", ("E104", "kernal_size"), "kernel_size"),
        ("Conv2d(8, 3, strides=2)", ("E104", "strides"), "stride"),
        ("Conv2d(8, 3, padding=SAME)", ("E106", "SAME"), "same"),
        ("Conv2d(8, 3, bias=false)", ("E110", "false"), "False"),
    ],
)
def test_did_you_mean(line: str, mark: tuple[str, str], label: str) -> None:
    body = f"layers:\n  - {line}\n"
    assert marked(HEAD + body) == [mark]
    assert found(body)[0].label == f"did you mean `{label}`?"


def test_a_pasted_torch_call_says_why_it_is_wrong() -> None:
    (diagnostic,) = found("layers:\n  - Conv2d(3, 6, 5)\n")
    assert diagnostic.code == "E105"
    assert diagnostic.help == "`in_channels` follows from the input: write `Conv2d(6, 5)`"
    (diagnostic,) = found("layers:\n  - Flatten\n  - Linear(3072, 10)\n")
    assert diagnostic.help == "`in_features` follows from the input: write `Linear(10)`"


@pytest.mark.parametrize(
    ("line", "way_out"),
    [
        ("Conv2d(64, 3, 2)", "write the others by name: `Conv2d(64, 3, stride=2)`"),
        ("Conv2d(64, 3, 2, 1)", "write the others by name: `Conv2d(64, 3, stride=2, padding=1)`"),
        ("Conv2d(64, 3, 2, bias=False)", "write the others by name: `Conv2d(64, 3, stride=2, bias=False)`"),
        ("Conv2d(w, 2 * w, 1)", "write the others by name: `Conv2d(w, 2 * w, stride=1)`"),
        ("Conv2d(in_channels, 2 * w, 3)", "`in_channels` follows from the input: write `Conv2d(2 * w, 3)`"),
        ("Conv2d(in_ch, 64, 3)", "`in_channels` follows from the input: write `Conv2d(64, 3)`"),
        ("Conv2d(3, 64, 7, 2, 3)", "`in_channels` follows from the input: write `Conv2d(64, 7, stride=2, padding=3)`"),
        ("BatchNorm2d(64)", "`num_features` follows from the input: write `BatchNorm2d()`"),
        ("MaxPool2d(3, 2, 1, 2)", "write the others by name: `MaxPool2d(3, stride=2, padding=1, dilation=2)`"),
    ],
)
def test_too_many_positions_get_the_call_that_is_meant(line: str, way_out: str) -> None:
    (diagnostic,) = [one for one in found(f"params: {{w: 16}}\nlayers:\n  - {line}\n") if one.code == "E105"]
    assert diagnostic.help == way_out


def test_in_channels_is_checked_where_it_is_written() -> None:
    assert rows("layers:\n  - Conv2d(6, 5, in_channels=3)\n")
    assert marked(HEAD + "layers:\n  - Conv2d(6, 5, in_channels=4)\n") == [("E203", "Conv2d")]
    assert codes("layers:\n  - Flatten\n  - Linear(6, in_features=3071)\n") == ["E203"]
    assert codes("layers:\n  - BatchNorm2d(num_features=4)\n") == ["E203"]


@pytest.mark.parametrize(
    ("line", "code", "mark"),
    [
        ("Conv2d", "E105", "Conv2d"),
        ("Conv2d(8)", "E105", "Conv2d"),
        ("Conv2d(8, 3, kernel_size=3)", "E104", "kernel_size"),
        ("Conv2d(8.0, 3)", "E106", "8.0"),
        ("Conv2d(True, 3)", "E106", "True"),
        ("Conv2d(0, 3)", "E106", "0"),
        ("Conv2d(-1, 3)", "E106", "-1"),
        ("Conv2d(None, 3)", "E106", "None"),
        ("Conv2d(8, (3, 3, 3))", "E106", "(3, 3, 3)"),
        ("Conv2d(8, [3, 3.0])", "E106", "[3, 3.0]"),
        ("Conv2d(8, 0)", "E106", "0"),
        ("Conv2d(8, 3, bias=1)", "E106", "1"),
        ("Conv2d(8, 3, padding=-1)", "E106", "-1"),
        ("Conv2d(8, 3, padding='full')", "E106", "'full'"),
        ("Conv2d(8, 3, padding_mode='wrap')", "E106", "'wrap'"),
        ("Conv2d(ReLU, 3)", "E106", "ReLU"),
        ("Conv2d('8', 3)", "E106", "'8'"),
        ("Conv2d(3000000000, 3)", "E106", "3000000000"),
        ("Dropout(1.5)", "E106", "1.5"),
        ("ReLU(inplace=None)", "E106", "None"),
        ("Conv2d(8, 33)", "E201", "Conv2d"),
        ("Conv1d(8, 3)", "E202", "Conv1d"),
        ("Conv2d(8, 3, groups=2)", "E204", "Conv2d"),
        ("Conv2d(8, 3, 1)", "E105", "1"),
        ("ReLU(x=1)", "E104", "x"),
    ],
)
def test_arguments_that_are_refused(line: str, code: str, mark: str) -> None:
    assert marked(f"{HEAD}layers:\n  - {line}\n") == [(code, mark)]


def test_a_window_that_does_not_fit_points_to_the_sizes() -> None:
    (diagnostic,) = found("layers:\n  pool: MaxPool2d(40)\n")
    assert diagnostic.notes == ("pool reads 3x32x32 from input",)
    assert "cnnspec sizes net.yaml" in str(diagnostic.help)


# Rule 11: names


@pytest.mark.parametrize("name", ["conv1", "0", "a-b", "_x", "C3_2", "10x", "a" * 100])
def test_names_of_nodes(name: str) -> None:
    assert rows(f'layers:\n  "{name}": ReLU\n') == [(name, "ReLU", ("input",))]


@pytest.mark.parametrize(
    "name",
    ["input", "type", "train", "forward", "a.b", "a b", "\u0441onv", "a/b", "", "a" * 101, "{", "bfloat{16}", "{i}"],
)
def test_names_that_no_node_may_have(name: str) -> None:
    text = HEAD + f'layers:\n  "{name}": ReLU\n'
    with pytest.raises(SpecError) as caught:
        cnnspec.loads(text)
    assert {diagnostic.code for diagnostic in caught.value.diagnostics} <= {"E108", "E110"}


def test_a_name_with_a_dash_is_read_through_in() -> None:
    body = "layers:\n  a-b: ReLU\n  c: Tanh\n  d: {type: Sigmoid, in: a-b}\n"
    assert rows(body)[2] == ("d", "Sigmoid", ("a-b",))


@pytest.mark.parametrize("name", ["i", "input", "in_channels", "in_features", "a-b", "1a", "None", ""])
def test_names_that_no_parameter_may_have(name: str) -> None:
    assert codes(f'params: {{"{name}": 1}}\nlayers: [ReLU]\n') == ["E108"]
    assert codes(f'let: {{"{name}": 1}}\nlayers: [ReLU]\n') == ["E108"]


def test_layers_are_not_shadowed() -> None:
    assert codes("blocks: {ReLU: {layers: [Tanh]}}\nlayers: [ReLU]\n") == ["E108"]
    assert codes("params: {ReLU: 1}\nlayers: [Tanh]\n") == ["E108"]
    assert codes("params: {B: 1}\nblocks: {B: {layers: [Tanh]}}\nlayers: [Tanh]\n") == ["E108"]


def test_a_node_does_not_take_the_name_of_an_input() -> None:
    body = """
    blocks:
      B: {inputs: [a, b], layers: {a: ReLU}}
    layers: {x: ReLU, y: "B(x, x)"}
    """
    assert "E108" in codes(body)
    assert codes("blocks: {B: {inputs: [a, a], layers: [ReLU]}}\nlayers: [ReLU]\n") == ["E108"]
    assert codes("blocks: {B: {inputs: [a, input], layers: [ReLU]}}\nlayers: [ReLU]\n") == ["E108"]


# Rule 14: limits, each with its own error


def test_limits_of_the_network() -> None:
    assert len(graph("layers:\n  - ReLU * 20000\n")) == 20_000
    (diagnostic,) = found("layers:\n  - ReLU * 20001\n")
    assert diagnostic.code == "E113"
    assert "--max-nodes" in str(diagnostic.help)
    assert len(graph("layers:\n  - ReLU * 20001\n", max_nodes=20_001)) == 20_001
    assert codes("layers:\n  - {layers: [ReLU, ReLU], repeat: 10001}\n") == ["E113"]
    assert codes("layers:\n  - ReLU * 3\n", max_nodes=2) == ["E113"]


def test_work_without_nodes_has_an_end() -> None:
    assert codes("layers:\n  - {layers: [{type: ReLU, repeat: 20000, when: False}], repeat: 20000}\n") == ["E113"]
    doubling = "".join(f"  B{n}: {{layers: [B{n + 1}, B{n + 1}]}}\n" for n in range(40))
    assert codes(f"blocks:\n{doubling}  B40: {{layers: [ReLU * 0]}}\nlayers: [B0]\n") == ["E113"]


def test_nesting_has_an_end() -> None:
    chain = "".join(f"  B{n}: {{layers: [B{n + 1}]}}\n" for n in range(100))
    assert codes(f"blocks:\n{chain}  B100: {{layers: [ReLU]}}\nlayers: [B0]\n") == ["E118"]


def test_sizes_have_an_end() -> None:
    huge = "  - ConvTranspose2d(1, 1, stride=2147483647)\n"
    assert codes("layers:\n" + huge) == ["E207"]
    assert codes("layers: [ReLU]\n", head="cnnspec: 1\ninput: [2147483647, 2147483647, 2147483647]\n") == ["E207"]


def test_a_bracket_that_stays_open_swallows_nothing() -> None:
    body = "layers:\n  - Conv2d(8, 3\n  - Reul\n  - MaxPool2d(2\n  - Thanh\n"
    assert marked(HEAD + body) == [("E110", "("), ("E103", "Reul"), ("E110", "("), ("E103", "Thanh")]
    assert marked(HEAD + "layers: [Conv2d(8, 3, padding=(1, 1)), Reul]\n") == [("E110", "Conv2d(8"), ("E103", "Reul")]


def test_a_missing_comma_is_guessed() -> None:
    assert found("layers:\n  - Conv2d(8 3)\n")[0].help == "a comma may be missing"
    assert "a comma may be missing" in str(found("layers:\n  - {type: Conv2d out_channels: 3}\n")[0].help)


def test_classes_of_a_map_are_its_channels() -> None:
    head = "cnnspec: 1\ninput: [3, 8, 8]\nclasses: [cat, dog]\n"
    (error,) = found("layers: ['Conv2d(4, 3)', Linear(2)]\n", head=head)
    assert error.message == "`classes` names 2, but the output is 4x6x2: 4 channels"
    assert error.help is not None
    assert "`Flatten`" in error.help
    assert graph("layers: ['Conv2d(2, 1)']\n", head=head).output_shape == (2, 8, 8)  # a class for every pixel


@pytest.mark.parametrize(
    ("shape", "layer", "code", "meant"),
    [
        ("[28, 28, 1]", "Conv2d(8, 3)", "E201", "[1, 28, 28]"),
        ("[28, 28, 1]", "{a: 'Conv2d(8, 3, padding=1)', b: MaxPool2d(2)}", "E201", "[1, 28, 28]"),
        ("[28, 28]", "Conv2d(8, 3)", "E202", "[1, 28, 28]"),
        ("[16, 16, 16, 3]", "Conv3d(8, 5)", "E201", "[3, 16, 16, 16]"),
        ("{shape: [64, 48, 3], mean: [0, 0, 0], std: [1, 1, 1]}", "ReLU", "E206", "[3, 64, 48]"),
        ("[64, 3, 3]", "Conv2d(8, 5)", "E201", None),
        ("[3, 28, 2]", "Conv2d(8, 5)", "E201", None),
        ("[28]", "Conv2d(8, 3)", "E202", None),
    ],
)
def test_channels_that_stand_last(shape: str, layer: str, code: str, meant: str | None) -> None:
    layers = layer if layer.startswith("{") else f"['{layer}']"
    (error,) = found(f"layers: {layers}\n", head=f"cnnspec: 1\ninput: {shape}\n")
    assert error.code == code
    assert ("channels come first" in (error.help or "")) == (meant is not None)
    assert (meant or "") in (error.help or "")


def test_what_is_wrong_with_a_list_of_the_header_is_said_once() -> None:
    (error,) = found("classes: [zero, 1, 2, yes]\nlayers: [ReLU]\n")
    assert error.help == 'quote the names that YAML takes for something else: `"1"`'
    (error,) = found("lint: {ignore: [W30]}\nlayers: [ReLU]\n")
    assert error.label == "`W30` is no code of a warning, as `W305` is"


@pytest.mark.parametrize(
    ("line", "meant"),
    [
        ("lint: {ingore: [W305]}", "ignore"),
        ("task: {type: segmentation, ingore: 3}", "ignore"),
        ("task: {typ: segmentation, type: segmentation}", "type"),
        ("task: segmentatoin", "segmentation"),
    ],
)
def test_a_misspelt_word_of_the_header_is_known(line: str, meant: str) -> None:
    (error,) = found(f"{line}\nlayers: [ReLU]\n")
    assert (error.code, str(error.label)) == ("E107", f"did you mean `{meant}`?")


def test_other_slips_get_hints() -> None:
    assert found("layers:\n  - Dropout 0.5\n")[0].help == "write `Dropout(0.5)`"
    assert found("layers:\n  - Conv2d 64, 3\n")[0].help == "write `Conv2d(64, 3)`"
    assert found("layers:\n  - Nothing 64\n")[0].help is None
    assert "without a module: `Conv2d`" in str(found("layers:\n  - nn.Conv2d(8, 3)\n")[0].help)
    assert "without a module: `ReLU`" in str(found("layers:\n  - torch.nn.ReLU\n")[0].help)
    assert "every line is `name: layer`" in str(found("layers:\n  conv: ReLU\n  BatchNorm2d\n")[0].help)
