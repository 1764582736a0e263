"""What people write who know torch: each gets one error, and the way out that holds."""

from __future__ import annotations

import re

import pytest
import torch
from torch import nn

import cnnspec
from cnnspec.errors import Diagnostic, SpecError
from cnnspec.ops import operators

HEAD = "cnnspec: 1\ninput: [3, 32, 32]\nlayers:\n"


def errors(text: str) -> tuple[Diagnostic, ...]:
    with pytest.raises(SpecError) as caught:
        cnnspec.loads(text)
    return tuple(caught.value.diagnostics)


@pytest.mark.parametrize("line", ["Add(0, 2)", "Concat(1, 0)", "Conv2d(8, 3)(0)"])
def test_children_of_a_list_cannot_be_read(line: str) -> None:
    (found,) = errors(f"{HEAD}  - ReLU\n  - ReLU\n  - ReLU\n  - {line}\n")
    assert found.message == "only named children can be read: use a mapping"


SHORTCUTS = [
    ("Conv2d(16, 3, padding=1)", "[3, 32, 32]", "Add(input, a)"),
    ("Conv2d(16, 3, stride=2, padding=1)", "[3, 32, 32]", "Add(a, input)"),
    ("Conv2d(3, 3, stride=3, padding=1)", "[3, 31, 40]", "Add(input, a)"),
    ("Conv2d(8, 3, stride=(1, 2), padding=1)", "[3, 9, 9]", "Add(input, a)"),
    ("Conv1d(4, 4, stride=4)", "[2, 64]", "Add(input, a)"),
    ("Linear(7)", "[5]", "Add(input, a)"),
    ("AdaptiveAvgPool2d(2)", "[5, 9, 7]", "Add(input, a)"),
]


@pytest.mark.parametrize(("layer", "shape", "add"), SHORTCUTS)
def test_the_projection_that_is_offered_makes_the_sum_work(layer: str, shape: str, add: str) -> None:
    text = f"cnnspec: 1\ninput: {shape}\nlayers:\n  a: {layer}\n"
    (found,) = errors(f"{text}  add: {add}\n")
    assert found.code == "E205"
    match = re.match(r"`(.*)` of `(.*)` has the shape", str(found.help))
    assert match is not None
    call, node = match.groups()
    mended = f"{text}  p: {call}({node})\n  add: Add(p, {'a' if node == 'input' else 'input'})\n"
    assert cnnspec.loads(mended).graph.by_name["add"].op.op_name == "Add"


def test_no_projection_is_offered_where_no_stride_leads_there() -> None:
    (found,) = errors(f"{HEAD}  a: Conv2d(3, 3)\n  add: Add(a, input)\n")
    assert found.help is None


@pytest.mark.parametrize("kernel", ["3", "5", "(3, 5)", "4", "2"])
@pytest.mark.parametrize("rest", ["stride=2", "stride=2, dilation=3", "stride=(2, 4)"])
def test_the_padding_that_is_offered_divides_the_size(kernel: str, rest: str) -> None:
    (found,) = errors(f"{HEAD}  - Conv2d(8, {kernel}, padding=same, {rest})\n")
    match = re.search(r"; `(padding=.*)` (halves|divides)", found.message)
    assert match is not None
    graph = cnnspec.loads(f"{HEAD}  - Conv2d(8, {kernel}, {match[1]}, {rest})\n").graph
    wanted = (8, 16, 16) if "(2" not in rest else (8, 16, 8)
    assert graph.output_shape == wanted
    stride = (2, 4) if "(2" in rest else (2, 2)
    module = nn.Conv2d(3, 8, eval(kernel), stride, eval(match[1].removeprefix("padding=")), 3 if "dil" in rest else 1)
    assert module(torch.zeros(1, 3, 32, 32)).shape[1:] == wanted


def test_no_arguments_are_guessed_where_channels_are_unknown() -> None:
    found = errors(f"{HEAD}  - Conv2d(16, 3, paddin=1)\n  - Conv2d(16, 3, 1, 1)\n")
    assert [one.code for one in found] == ["E104", "E105"]
    assert found[1].help == "what follows `kernel_size` is written by name, and `in_channels` is left out"
    assert "stride=1, padding=1" in str(errors(f"{HEAD}  - Conv2d(16, 3, 1, 1)\n")[0].help)


@pytest.mark.parametrize("head", ["", "input: [3, 32, 32]\n"])
def test_several_inputs_are_told_once(head: str) -> None:
    body = "layers:\n  a: Conv2d(8, 3)(x)\n  b: Conv2d(8, 3)(y)\n  c: Add(a, b)\n"
    (found,) = errors(f"cnnspec: 1\n{head}inputs: [x, y]\n{body}")
    assert found.message == "a network has one input"
    assert found.place is not None
    assert found.place.line == (3 if head else 2)


def test_several_inputs_with_their_shapes_are_told_once() -> None:
    inputs = "inputs: {x: [3, 32, 32], y: [3, 32, 32]}\n"
    (found,) = errors(f"cnnspec: 1\n{inputs}layers:\n  a: Conv2d(8, 3)(x)\n  b: Conv2d(8, 3)(y)\n  c: Add(a, b)\n")
    assert found.message == "a network has one input"


def test_a_misspelt_input_in_long_form_is_read_as_what_is_meant() -> None:
    (found,) = errors("cnnspec: 1\ninputs: {shape: [3, 32, 32], mean: 0.5, std: 0.5}\nlayers:\n  - Conv2d(8, 3)\n")
    assert found.message == "a spec has no key `inputs`"
    assert str(found.label) == "did you mean `input`?"


def test_a_name_in_a_list_is_not_taken_for_a_cut_brace() -> None:
    (found,) = errors(f"{HEAD}  - conv: Conv2d(16, 3\n  - ReLU\n")
    assert found.help == "names belong to a mapping: drop the `- ` before every child"


OUTSIDE = [
    "LSTM", "GRU", "RNN", "LSTMCell", "MultiheadAttention", "TransformerEncoderLayer", "Embedding", "Fold", "Unfold",
    "Bilinear", "MaxUnpool2d", "FractionalMaxPool2d",
]  # fmt: skip


@pytest.mark.parametrize("name", [*OUTSIDE, "View"])
@pytest.mark.parametrize("line", ["{}(8)", "{}(8) if False"])
def test_what_no_block_can_be_made_of_is_told_as_no_part_of_the_language(name: str, line: str) -> None:
    assert name not in operators()
    assert name == "View" or issubclass(getattr(nn, name), nn.Module)
    (found,) = errors(f"{HEAD}  - ReLU\n  - {line.format(name)}\n")
    assert found.message == f"`{name}` is not part of the language"
    assert "blocks" not in str(found.help)


def test_a_block_may_have_such_a_name() -> None:
    text = f"{HEAD}  - Attention\nblocks:\n  Attention:\n    layers:\n      - Conv2d(8, 3)\n"
    assert cnnspec.loads(text).graph.output_shape == (8, 30, 30)
