"""Rules 4 to 8, 10 and 12: reads, absence, repetition, scope, parameters, expressions in place, variants."""

from __future__ import annotations

from textwrap import dedent
from typing import Any

import pytest
from speaking import HEAD, codes, found, graph, marked, rows

import cnnspec
from cnnspec.errors import UsageError

# Rule 2: bodies


def test_names_nest_with_dots_and_lists_count() -> None:
    body = """
    layers:
      a:
        - ReLU
        - [Tanh, ReLU]
        - layers: {x: ReLU}
      b:
        add: {p: ReLU, q: [Tanh]}
    """
    assert rows(body) == [
        ("a.0", "ReLU", ("input",)),
        ("a.1.0", "Tanh", ("a.0",)),
        ("a.1.1", "ReLU", ("a.1.0",)),
        ("a.2.x", "ReLU", ("a.1.1",)),
        ("b.p", "ReLU", ("a.2.x",)),
        ("b.q.0", "Tanh", ("a.2.x",)),
        ("b", "Add", ("b.p", "b.q.0")),
    ]


@pytest.mark.parametrize(("kind", "op", "shape"), [("add", "Add", 3), ("mul", "Mul", 3), ("concat", "Concat", 6)])
def test_bodies_side_by_side(kind: str, op: str, shape: int) -> None:
    net = graph(f"{kind}: [ReLU, Tanh]\n")
    assert [(node.name, node.op.op_name, node.inputs) for node in net] == [
        ("0", "ReLU", ("input",)),
        ("1", "Tanh", ("input",)),
        (kind, op, ("0", "1")),
    ]
    assert net.output_shape == (shape, 32, 32)
    assert net.outputs == (kind,)


def test_a_block_with_a_join_as_its_body() -> None:
    body = """
    blocks:
      Fire:
        params: {a: int}
        concat:
          left: Conv2d(a, 1)
          right: [ReLU, "Conv2d(a * 2, 1)"]
    layers:
      fire: Fire(4)
    """
    assert [name for name, _, _ in rows(body)] == ["fire.left", "fire.right.0", "fire.right.1", "fire"]
    assert graph(body).output_shape == (12, 32, 32)


# Rule 4: reads


def test_reads_and_the_node_before() -> None:
    body = """
    layers:
      a: ReLU
      b: Tanh()(input)
      c: Sigmoid
      d: Add(a, c)
      e: {type: Mul, in: [d, a, input]}
      f: [ReLU]
    """
    assert [reads for _, _, reads in rows(body)] == [
        ("input",), ("input",), ("b",), ("a", "c"), ("d", "a", "input"), ("e",),
    ]  # fmt: skip


def test_reads_stay_in_their_body() -> None:
    body = """
    blocks:
      B:
        layers:
          x: ReLU
          inner:
            layers:
              p: Tanh()(input)
              q: Add(p, input)
    layers:
      a: ReLU
      b: B
    """
    assert rows(body)[2:] == [("b.inner.p", "Tanh", ("a",)), ("b.inner.q", "Add", ("b.inner.p", "a"))]


@pytest.mark.parametrize(
    ("layers", "mark"),
    [
        ("{a: ReLU, b: Add(a c)}", ("E110", "a")),
        ("{a: ReLU, b: 'Add(a, c)'}", ("E109", "c")),
        ("{a: ReLU, b: 'Add(a, 1)'}", ("E109", "1")),
        ("{a: ReLU, b: 'Add(a, b)'}", ("E109", "b")),
        ("{a: 'Tanh()(b)', b: ReLU}", ("E109", "b")),
        ("{a: ReLU, b: 'Tanh()(a, input)'}", ("E109", "Tanh")),
        ("{a: ReLU, b: Add}", ("E109", "Add")),
        ("{a: ReLU, b: {type: Add}}", ("E109", "Add")),
        ("{a: ReLU, b: 'Add(a)(a)'}", ("E109", "Add")),
        ("{a: ReLU, b: 'Sub(a)'}", ("E109", "Sub")),
        ("{a: ReLU, b: 'Add(a, input, dim=2)'}", ("E104", "dim")),
        ("{a: ReLU, b: 'Concat(a, input, axis=2)'}", ("E104", "axis")),
        ("{a: ReLU, b: 'Concat(a, input, dim=0)'}", ("E204", "Concat")),
        ("{a: ReLU, b: 'Concat(dim=2)'}", ("E109", "Concat")),
        ("{a: ReLU, b: 'Div(a, a, a)'}", ("E109", "Div")),
        ("{a: {layers: {x: ReLU}}, b: Tanh()(x)}", ("E109", "x")),
        ("{a: {layers: {x: ReLU}}, b: Tanh()(a.x)}", ("E110", "a.x")),
        ("{a: {layers: {x: ReLU}}, b: {type: Tanh, in: a.x}}", ("E109", "a.x")),
        ("[ReLU, {type: Tanh, in: 0}]", ("E109", "0")),
        ("{a: ReLU, b: {layers: [ReLU], in: [a, input]}}", ("E109", "b")),
        ("{a: ReLU, b: ReLU(a)}", ("E110", "a")),
    ],
)
def test_reads_that_are_refused(layers: str, mark: tuple[str, str]) -> None:
    assert marked(f"{HEAD}layers: {layers}\n") == [mark]


def test_reads_among_the_arguments_get_a_hint() -> None:
    (diagnostic,) = found("layers:\n  stem: ReLU\n  b: Softmax(stem)\n")
    assert diagnostic.help == "`stem` is a node: reads have brackets of their own, `Layer()(stem)`"


def test_arguments_may_have_the_name_of_their_node() -> None:
    assert graph("params: {squeeze: 4}\nlayers:\n  squeeze: Conv2d(squeeze, 1)\n").output_shape == (4, 32, 32)


def test_a_concatenation_along_another_axis() -> None:
    line = graph("params: {axis: 2}\nlayers:\n  a: ReLU\n  b: Concat(a, input, dim=axis)\n")
    mapping = graph("layers:\n  a: ReLU\n  b: {type: Concat, dim: -2, in: [a, input]}\n")
    assert line.output_shape == mapping.output_shape == (3, 64, 32)


def test_shapes_of_joins() -> None:
    assert codes("layers:\n  a: Conv2d(3, 1)\n  b: Conv2d(4, 1)\n  c: Add(a, b)\n") == ["E205"]
    assert codes("layers:\n  a: Conv2d(3, 3)\n  c: Concat(a, input)\n") == ["E205"]
    body = "layers:\n  a: Conv2d(5, 1)\n  p: AdaptiveAvgPool2d(1)\n  c: Mul(a, p)\n"
    assert graph(body).output_shape == (5, 32, 32)


def test_several_inputs() -> None:
    body = """
    blocks:
      Up:
        inputs: [below, skip]
        params: {out: int}
        layers:
          up: ConvTranspose2d(in_channels // 2, 2, stride=2)
          cat: Concat(skip, up)
          first: Identity()(input)
          second: Identity()(below)
    layers:
      wide: Conv2d(8, 3, padding=1)
      low: MaxPool2d(2)
      up: Up(2)(low, wide)
    """
    assert rows(body)[2:] == [
        ("up.up", "ConvTranspose2d", ("low",)),
        ("up.cat", "Concat", ("wide", "up.up")),
        ("up.first", "Identity", ("low",)),
        ("up.second", "Identity", ("low",)),
    ]
    assert graph(body).by_name["up.up"].shape == (4, 32, 32)
    assert codes(body.replace("(low, wide)", "(low)")) == ["E109"]
    assert codes(body.replace("(low, wide)", "")) == ["E109"]
    assert codes(body.replace("Identity()(below)", "Identity()(under)")) == ["E109"]


# Rule 5: absence


def test_an_absent_node_is_what_it_would_have_read() -> None:
    body = """
    layers:
      a: ReLU
      b: Tanh
      c: Sigmoid()(a) if False
      d: Identity
      e: Add(d, c)
      f: Add(d, b) if 1 > 2
      g: Identity
    """
    assert rows(body)[2:] == [
        ("d", "Identity", ("a",)),
        ("e", "Add", ("d", "a")),
        ("g", "Identity", ("b",)),
    ]


def test_an_absent_child_of_a_list_takes_no_index() -> None:
    assert [name for name, _, _ in rows("layers:\n  - ReLU if False\n  - Tanh\n  - ReLU * 0\n  - Sigmoid\n")] == [
        "0",
        "1",
    ]
    body = "params: {norm: None}\nlayers:\n  - ReLU\n  - norm\n  - Tanh\n"
    assert rows(body) == [("0", "ReLU", ("input",)), ("1", "Tanh", ("0",))]


def test_an_absent_branch_is_the_identity() -> None:
    body = """
    params: {none: None}
    layers:
      - ReLU
      - concat: [Tanh if False, none, ReLU * 0, Tanh]
    """
    assert rows(body)[2] == ("1", "Concat", ("0", "0", "0", "1.0"))


def test_arguments_of_an_absent_node_are_checked_by_name_but_not_worked_out() -> None:
    assert rows("params: {d: 0}\nlayers:\n  - ReLU\n  - Conv2d(8 // d, 99) if d\n".replace("if d", "if d > 0"))
    assert marked(HEAD + "layers:\n  - ReLU\n  - Conv2d(8, kernal_size=3) if False\n") == [("E104", "kernal_size")]
    assert marked(HEAD + "layers:\n  - ReLU\n  - Conv2d(x, 3) if False\n") == [("E110", "x")]
    assert marked(HEAD + "layers:\n  - ReLU\n  - Reul if False\n") == [("E103", "Reul")]
    assert marked(HEAD + "layers:\n  - ReLU\n  - {layers: [Reul], when: False}\n") == [("E103", "Reul")]


@pytest.mark.parametrize("condition", ["1", "0", "None", "[1]", "1.0", "in_channels"])
def test_a_condition_is_a_truth_value(condition: str) -> None:
    assert marked(f"{HEAD}layers:\n  - ReLU if {condition}\n") == [("E111", condition)]


def test_residual_with_optional_projection() -> None:
    body = """
    blocks:
      Basic:
        params: {planes: int, stride: 1}
        layers:
          conv: Conv2d(planes, 3, stride=stride, padding=1)
          down: Conv2d(planes, 1, stride=stride)(input) if stride != 1 or in_channels != planes
          add: Add(conv, down)
    layers:
      a: Basic(3)
      b: Basic(8, stride=2)
    """
    assert [(name, reads) for name, _, reads in rows(body)] == [
        ("a.conv", ("input",)),
        ("a.add", ("a.conv", "input")),
        ("b.conv", ("a.add",)),
        ("b.down", ("a.add",)),
        ("b.add", ("b.conv", "b.down")),
    ]


# Rule 6: repetition


@pytest.mark.parametrize(
    ("layers", "names"),
    [
        ("[ReLU * 3]", ["0", "1", "2"]),
        ("[ReLU * 2, Tanh]", ["0", "1", "2"]),
        ("{a: ReLU * 3}", ["a.0", "a.1", "a.2"]),
        ("{a: ReLU * 1}", ["a.0"]),
        ("{'a{i}': ReLU * 3}", ["a0", "a1", "a2"]),
        ("{'a{i + 1}_{2 * i}': ReLU * 2}", ["a1_0", "a2_2"]),
        ("{a: ReLU * 4 if i % 2}".replace("i % 2", "i % 2 == 1"), ["a.0", "a.1"]),
        ("{'a{i}': ReLU * 4 if i % 2 == 1}", ["a1", "a3"]),
        ("[{layers: [ReLU, Tanh], repeat: 2}]", ["0.0", "0.1", "1.0", "1.1"]),
        ("{a: {layers: [ReLU, Tanh], repeat: 2}}", ["a.0.0", "a.0.1", "a.1.0", "a.1.1"]),
        ("{a: {layers: {'b{i}': 'ReLU * (i + 1)'}, repeat: 2}}", ["a.0.b0", "a.1.b0", "a.1.b1"]),
        ("[ReLU, ReLU * 0]", ["0"]),
    ],
)
def test_names_of_copies(layers: str, names: list[str]) -> None:
    assert [name for name, _, _ in rows(f"layers: {layers}\n")] == names


def test_reads_apply_to_the_first_copy() -> None:
    body = "layers:\n  a: ReLU\n  b: Tanh\n  c: Sigmoid()(a) * 3\n  d: Add(c, b)\n"
    assert [reads for _, _, reads in rows(body)][2:] == [("a",), ("c.0",), ("c.1",), ("c.2", "b")]
    body = "layers:\n  a: ReLU\n  b: Tanh\n  c: Sigmoid()(a) * 3 if i > 0\n"
    assert rows(body)[2:] == [("c.0", "Sigmoid", ("a",)), ("c.1", "Sigmoid", ("c.0",))]


def test_the_copies_of_a_named_node_can_be_read() -> None:
    body = "layers:\n  s{i+1}: ReLU * 3 if i != 1\n  t: Add(s1, s2, s3)\n"
    assert rows(body)[-1] == ("t", "Add", ("s1", "s1", "s3"))  # s2 is absent: it is what it would have read


def test_copies_side_by_side_are_branches() -> None:
    body = "layers:\n  a: ReLU\n  c: {concat: [Tanh * 2, 'ReLU * 2 if i == 1']}\n"
    assert rows(body)[1:] == [
        ("c.0", "Tanh", ("a",)),
        ("c.1", "Tanh", ("a",)),
        ("c.2", "ReLU", ("a",)),
        ("c", "Concat", ("c.0", "c.1", "a", "c.2")),
    ]


def test_i_is_seen_inside_and_the_innermost_wins() -> None:
    body = """
    layers:
      a:
        repeat: 2
        layers:
          - Conv2d(10 * (i + 1), 1)
          - layers: ["Conv2d(i + 1, 1)"]
            repeat: 2
    """
    channels = [node.shape[0] for node in graph(body)]
    assert channels == [10, 1, 2, 20, 1, 2]


def test_a_called_block_does_not_see_i() -> None:
    body = "blocks: {B: {layers: ['Conv2d(i + 1, 1)']}}\nlayers: {a: B * 2}\n"
    assert marked(HEAD + body) == [("E110", "i")]
    body = "blocks: {B: {params: {n: int}, layers: ['Conv2d(n, 1)']}}\nlayers: {a: 'B(i + 1) * 2'}\n"
    assert [node.shape[0] for node in graph(body)] == [1, 2]


def test_i_is_nothing_outside_of_a_repetition() -> None:
    assert marked(HEAD + "layers:\n  - Conv2d(i, 1)\n") == [("E110", "i")]
    assert marked(HEAD + "layers:\n  - ReLU * (i + 1)\n") == [("E110", "i")]
    assert marked(HEAD + "let: {a: i}\nlayers: [ReLU]\n") == [("E110", "i")]


@pytest.mark.parametrize(("count", "code"), [("-1", "E112"), ("1.0", "E112"), ("True", "E112"), ("None", "E112")])
def test_counts_that_are_refused(count: str, code: str) -> None:
    assert codes(f"layers:\n  - ReLU * {count}\n") == [code]
    assert codes(f"layers:\n  - {{type: ReLU, repeat: {count}}}\n") == [code]


def test_two_nodes_of_one_name() -> None:
    assert codes("layers:\n  'a{1}': ReLU\n  a1: Tanh\n") == ["E108"]
    assert codes("layers:\n  'a{0 * i}': ReLU * 2\n") == ["E108"]
    assert codes("layers:\n  'a{i / 2}': ReLU * 2\n") == ["E108"]


# Rule 7: scope


def test_scope_of_a_block() -> None:
    body = """
    params: {w: 4, x: 1}
    let: {y: w * 2, z: y + 1}
    blocks:
      B:
        params: {w: 5, v: w + x}
        let: {u: v + z, t: u * 2}
        layers: ["Conv2d(w, 1)", "Conv2d(v, 1)", "Conv2d(t, 1)"]
    layers:
      - Conv2d(w, 1)
      - B
      - B(7)
    """
    assert [node.shape[0] for node in graph(body)] == [4, 5, 6, 30, 7, 8, 34]


def test_a_block_does_not_see_its_caller() -> None:
    body = """
    blocks:
      Inner: {layers: ["Conv2d(secret, 1)"]}
      Outer: {params: {secret: 3}, layers: [Inner]}
    layers: [Outer]
    """
    assert marked(HEAD + dedent(body)) == [("E110", "secret")]
    assert codes("blocks: {B: {layers: {x: 'Tanh()(a)'}}}\nlayers: {a: ReLU, b: B}\n") == ["E109"]


def test_local_values_are_worked_out_top_to_bottom() -> None:
    assert marked(HEAD + "let: {a: b + 1, b: 2}\nlayers:\n  - Conv2d(a, 1)\n") == [("E110", "b")]


def test_in_channels_is_constant_throughout_a_block() -> None:
    body = """
    blocks:
      B:
        params: {half: in_channels // 2}
        let: {double: in_channels * 2}
        layers:
          - Conv2d(double, 1)
          - Conv2d(in_channels + half, 1)
          - layers: ["Conv2d(in_channels, 1)"]
    layers:
      - Conv2d(8, 1)
      - B
      - Conv2d(in_channels, 1)
      - Flatten
      - Linear(in_features)
    """
    assert [node.shape[0] for node in graph(body)] == [8, 16, 12, 8, 3, 3 * 32 * 32, 32]


def test_recursion() -> None:
    (diagnostic,) = found("blocks:\n  A: {layers: [B]}\n  B: {layers: [ReLU, A]}\nlayers: [A]\n")
    assert diagnostic.code == "E116"
    assert "A -> B -> A" in diagnostic.message
    assert [note.split(" (")[0] for note in diagnostic.notes] == ["in block B", "in block A"]
    body = "blocks: {A: {params: {n: int}, layers: ['A(n - 1) if n > 0', ReLU]}}\nlayers: ['A(3)']\n"
    assert codes(body) == ["E116"]
    assert codes("blocks: {A: {params: {l: layer}, layers: [l]}}\nlayers: ['A(A)']\n") == ["E116"]


# Rule 8: parameters


@pytest.mark.parametrize(
    ("kind", "good", "bad"),
    [
        ("int", ["3", "-1", "2 * 2"], ["3.0", "True", "None", "[3]", "ReLU"]),
        ("float", ["3", "0.5"], ["True", "None", "[1.0]"]),
        ("bool", ["True", "1 > 2"], ["1", "None"]),
        ("size", ["3", "(3, 1)", "[3, 1]"], ["3.5", "(3, 1.5)", "()", "True", "None"]),
        ("list", ["[1]", "(1, 2)", "[ReLU, None]"], ["1", "None"]),
        ("layer", ["ReLU", "None", "B", "Tanh if True else ReLU"], ["1", "True", "[ReLU]"]),
    ],
)
def test_types(kind: str, good: list[str], bad: list[str]) -> None:
    def body(value: str) -> str:
        blocks = f"blocks:\n  B: {{layers: [Tanh]}}\n  X: {{params: {{p: {kind}}}, layers: [ReLU]}}\n"
        return f"{HEAD}{blocks}layers:\n  - X({value})\n  - {{type: X, p: '{value}'}}\n"

    for value in good:
        assert cnnspec.loads(body(value))
    for value in bad:
        assert marked(body(value)) == [("E115", value), ("E115", value)]


def test_defaults_are_expressions() -> None:
    body = "params: {a: 3, b: a * 2, c: [a, b], d: None, e: 'b // 4'}\nlayers:\n  - Conv2d(c[1] + e, 1)\n"
    assert graph(body).output_shape == (7, 32, 32)


def test_arguments_of_blocks() -> None:
    block = "blocks: {B: {params: {a: int, b: 2}, layers: ['Conv2d(a * b, 1)']}}\n"
    assert [n.shape[0] for n in graph(block + "layers: ['B(3)', 'B(3, 4)', 'B(3, b=5)', 'B(b=1, a=7)']\n")] == [
        6,
        12,
        15,
        7,
    ]
    assert marked(HEAD + block + "layers: [B]\n") == [("E105", "B")]
    assert marked(HEAD + block + "layers: ['B(1, 2, 3)']\n") == [("E105", "3")]
    assert marked(HEAD + block + "layers: ['B(1, a=3)']\n") == [("E104", "a")]
    assert marked(HEAD + block + "layers: ['B(1, c=3)']\n") == [("E104", "c")]
    assert marked(HEAD + block + "layers: [\"B('3')\"]\n") == [("E106", "'3'")]


def test_parameters_that_hold_layers() -> None:
    body = """
    params: {act: ReLU, block: Plain, norm: None}
    blocks:
      Plain: {params: {n: int}, layers: ["Conv2d(n, 1)"]}
      Held:
        params: {a: layer, norm: layer}
        layers:
          a: a
          norm: norm
          last: Identity
    layers:
      one: block(4)
      two: act
      three: Held(act, norm)
      four: Held(Tanh, BatchNorm2d)
      five: {type: act, inplace: True}
    """
    assert [(name, op) for name, op, _ in rows(body)] == [
        ("one.0", "Conv2d"), ("two", "ReLU"), ("three.a", "ReLU"), ("three.last", "Identity"),
        ("four.a", "Tanh"), ("four.norm", "BatchNorm2d"), ("four.last", "Identity"), ("five", "ReLU"),
    ]  # fmt: skip
    assert codes("params: {n: 3}\nlayers: [n]\n") == ["E103"]
    assert codes("params: {act: Reul}\nlayers: [act]\n") == ["E110"]


def test_layers_can_be_compared_and_listed() -> None:
    body = """
    params: {acts: [ReLU, Tanh]}
    let: {first: "acts[0]", wide: first == ReLU and first != Tanh}
    layers: [first, Sigmoid if wide]
    """
    assert [op for _, op, _ in rows(body)] == ["ReLU", "Sigmoid"]


# Rule 10: words and expressions


def test_words_win_in_fields_that_take_words() -> None:
    body = """
    params: {same: 2}
    layers:
      - Conv2d(same, 3, padding=same)
      - {type: Conv2d, out_channels: same, kernel_size: 3, padding: same}
    """
    assert [node.shape for node in graph(body)] == [(2, 32, 32), (2, 32, 32)]
    assert graph("layers:\n  - Conv2d(4, 3, padding='same')\n").output_shape == (4, 32, 32)
    assert graph('layers:\n  - {type: Conv2d, out_channels: "2 + 2", kernel_size: 3, padding: "valid"}\n')


# Rule 12: variants and settings

VARIED = """
params: {w: 4, block: A, d: [1, 2]}
variants:
  wide: {w: 8}
  other: {block: B, d: [2, w]}
blocks:
  A: {params: {n: int}, layers: ["Conv2d(n, 1)"]}
  B: {params: {n: int}, layers: [ReLU, "Conv2d(n, 1)"]}
layers:
  a: block(w) * d[0]
"""


@pytest.mark.parametrize(
    ("settings", "channels"),
    [
        ({}, [4]),
        ({"variant": "wide"}, [8]),
        ({"variant": "other"}, [3, 4, 4, 4]),
        ({"params": {"w": 5}}, [5]),
        ({"params": {"w": "2 * 3"}}, [6]),
        ({"params": {"block": "B"}}, [3, 4]),
        ({"params": {"d": [2]}}, [4, 4]),
        ({"params": {"d": (2, 0)}}, [4, 4]),
        ({"variant": "wide", "params": {"w": 9}}, [9]),
        ({"input_shape": (7, 8, 8)}, [4]),
    ],
)
def test_variants_and_settings(settings: dict[str, Any], channels: list[int]) -> None:
    assert [node.shape[0] for node in graph(VARIED, **settings)] == channels


def test_the_name_of_a_variant_is_the_networks() -> None:
    assert graph(VARIED).name == "network"
    assert graph(VARIED, variant="wide").name == "wide"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"variant": "wid"}, "no variant `wid`"),
        ({"params": {"x": 1}}, "no parameter `x`"),
        ({"params": {"w": "foo"}}, "`foo` is not defined"),
        ({"params": {"w": "1 +"}}, "the value of `w`"),
        ({"params": {"w": "open('x')"}}, "the value of `w`"),
        ({"params": {"w": {}}}, "cannot be {}"),
        ({"params": {"w": object()}}, "cannot be"),
        ({"input_shape": (0, 1, 1)}, "no input shape"),
        ({"input_shape": (1, 2, 3, 4, 5)}, "no input shape"),
        ({"input_shape": (1.5,)}, "to be a valid integer"),
    ],
)
def test_settings_that_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message.replace("{", r"\{")):
        graph(VARIED, **settings)


def test_a_setting_of_another_type() -> None:
    body = "params: {w: int}\nlayers:\n  - Conv2d(w, 1)\n"
    assert graph(body, params={"w": 3}).output_shape[0] == 3
    assert codes(body) == ["E105"]
    with pytest.raises(UsageError, match=r"`w` is of type int, not 2\.5"):
        graph(body, params={"w": 2.5})


def test_variants_set_parameters_only() -> None:
    assert marked(HEAD + VARIED.replace("{w: 8}", "{width: 8}")) == [("E115", "width")]
    assert marked(HEAD + VARIED.replace("{w: 8}", "{w: eight}")) == [("E110", "eight")]


# No error that only follows from another


@pytest.mark.parametrize(
    ("body", "marks"),
    [
        ("layers:\n  a: Reul\n  b: Conv2d(8, 3)\n  c: Add(a, b)\n  d: MaxPool2d(99)\n", [("E103", "Reul")]),
        ("params: {n: x}\nlet: {m: n + 1}\nlayers:\n  - Conv2d(m, 3)\n  - Conv2d(n, m)\n  - B(m)\n"
         "blocks:\n  B: {params: {k: int}, layers: ['Conv2d(k, 3)']}\n", [("E110", "x")]),
        ("layers:\n  - Conv2d(8, 99)\n  - Conv2d(in_channels, 3)\n  - Linear(10)\n", [("E201", "Conv2d")]),
        ("layers:\n  - Conv2d(8, 99)\n  - B\n  - Conv2d(8, kernal_size=2)\n"
         "blocks: {B: {let: {c: in_channels}, layers: ['Conv2d(c, 3, groups=c)']}}\n",
         [("E201", "Conv2d"), ("E104", "kernal_size")]),
        ("blocks: {B: [ReLU]}\nlayers:\n  - B(1, 2, x=3)\n  - ReLU\n", [("E107", "[")]),
        ("blocks: {B: {layers: [ReLU], param: {a: int}}}\nlayers: ['B(3)']\n", [("E107", "param")]),
        ("bloks: {B: {parms: {a: int}, layer: ['Linear(a)']}}\nlayers: ['B(3)', {tpye: ReLU}, {layer: [Tanh]}]\n",
         [("E107", "bloks"), ("E107", "parms"), ("E107", "layer"), ("E107", "tpye"), ("E107", "layer")]),
        ("layers:\n  'a b': ReLU\n  c: ReLU\noutputs: [c]\n", [("E108", "'a b'")]),
        ("layers:\n  a: Conv2d(8, 3) * x\n  b: Add(a, input) if y\n", [("E110", "x"), ("E110", "y")]),
        ("outputs: [a.b, c]\nclasses: [x]\nlayers:\n  a: {layers: {b: Reul}}\n  c: Flatten\n", [("E103", "Reul")]),
    ],
)  # fmt: skip
def test_errors_do_not_follow_from_each_other(body: str, marks: list[tuple[str, str]]) -> None:
    assert marked(HEAD + body) == marks


def test_all_errors_of_a_file_at_once() -> None:
    body = """
    stuff: 1
    params: {n: integer}
    blocks:
      Unused: {layers: [Reul, "Conv2d(x, 3)", "Tanh()(y)"]}
      Used: {params: {k: int}, layers: ["Conv2d(k, 3, paddin=1)"]}
    variants: {v: {m: 1}}
    layers:
      a: Used(8)
      b: Conv2d(8)
      c: ReLU if 3
      d: ReLU * -1
      e: {tpye: ReLU}
    """
    assert codes(body) == [
        "E107", "E115", "E103", "E110", "E109", "E104", "E115", "E105", "E111", "E112", "E107",
    ]  # fmt: skip


def test_one_fault_of_a_block_is_told_once() -> None:
    body = "blocks: {B: {layers: ['Conv2d(8, kernal_size=3)']}}\nlayers:\n  - B * 50\n  - B\n"
    assert codes(body) == ["E104"]


def test_there_is_an_end_to_errors() -> None:
    assert len(found("layers:\n" + "  - Reul\n" * 500)) == 50
    assert len(found("layers: [ReLU]\n" + "".join(f"x{n}: 1\n" for n in range(500)))) == 50


# Layers of an inner list that take places of the list around it


def test_inline_layers_take_numbers_of_the_outer_list() -> None:
    body = """
    params: {plan: [4, 0, 6], norm: None}
    layers:
      features:
        - ReLU
        - repeat: len(plan)
          inline:
            - Conv2d(plan[i], 3) if plan[i] > 0
            - norm if plan[i] > 0
            - MaxPool2d(2) if plan[i] == 0
        - Tanh
    """
    assert rows(body) == [
        ("features.0", "ReLU", ("input",)),
        ("features.1", "Conv2d", ("features.0",)),
        ("features.2", "MaxPool2d", ("features.1",)),
        ("features.3", "Conv2d", ("features.2",)),
        ("features.4", "Tanh", ("features.3",)),
    ]
    assert [name for name, _, _ in rows(body, params={"norm": "BatchNorm2d"})][-1] == "features.6"


def test_inline_is_a_list_within_a_list() -> None:
    assert rows("layers: [{inline: [ReLU, Tanh]}, {inline: [ReLU], when: False}, Sigmoid]\n") == [
        ("0", "ReLU", ("input",)),
        ("1", "Tanh", ("0",)),
        ("2", "Sigmoid", ("1",)),
    ]
    assert rows("concat: [{inline: [ReLU, Tanh]}, Sigmoid]\n")[-1][2] == ("0", "1", "2")
    assert codes("layers: {a: {inline: [ReLU]}}\n") == ["E107"]
    assert codes("layers: [{inline: {a: ReLU}}]\n") == ["E107"]
    assert marked(HEAD + "layers: [{inline: [Reul]}, {inline: [Thanh], when: False}]\n") == [
        ("E103", "Reul"),
        ("E103", "Thanh"),
    ]


def test_inline_cannot_hide_work() -> None:
    inner = "{inline: [ReLU * 0], repeat: 2000}"
    assert codes(f"layers: [{{inline: [{inner}], repeat: 2000}}]\n") == ["E113"]


def test_a_text_with_half_a_surrogate_is_refused() -> None:
    assert codes("layers: [ReLU]\nname: \ud800\n") == ["E101"]
