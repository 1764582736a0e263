"""`inline`: layers of an inner list that take the next places of the list around it. And normalisation by parameter."""

from __future__ import annotations

import pytest

import cnnspec
from cnnspec.errors import SpecError
from cnnspec.graph import Graph

HEAD = "cnnspec: 1\ninput: [4, 32, 32]\n"


def graph(text: str, **params: object) -> Graph:
    return cnnspec.loads(HEAD + text, params=params).graph


def codes(text: str) -> list[str]:
    with pytest.raises(SpecError) as caught:
        cnnspec.loads(HEAD + text)
    return [diagnostic.code for diagnostic in caught.value.diagnostics]


def test_layers_take_the_places_of_the_list_around_them() -> None:
    net = graph(
        """params: {plan: [8, 0, 16], norm: None}
layers:
  features:
    - Conv2d(4, 1)
    - repeat: len(plan)
      inline:
        - Conv2d(plan[i], 3) if plan[i] > 0
        - norm if plan[i] > 0
        - ReLU if plan[i] > 0
        - MaxPool2d(2) if plan[i] == 0
    - Flatten
"""
    )
    assert [(node.name, node.op.op_name, node.inputs) for node in net] == [
        ("features.0", "Conv2d", ("input",)),
        ("features.1", "Conv2d", ("features.0",)),
        ("features.2", "ReLU", ("features.1",)),
        ("features.3", "MaxPool2d", ("features.2",)),
        ("features.4", "Conv2d", ("features.3",)),
        ("features.5", "ReLU", ("features.4",)),
        ("features.6", "Flatten", ("features.5",)),
    ]


def test_conditions_and_nesting() -> None:
    net = graph(
        """layers:
  - {when: 1 > 2, inline: [ReLU, ReLU]}
  - inline:
      - ReLU
      - [Tanh, Tanh]
      - {repeat: 2, inline: [Sigmoid]}
  - Flatten
"""
    )
    assert [node.name for node in net] == ["0", "1.0", "1.1", "2", "3", "4"]
    assert net.nodes[0].inputs == ("input",)


def test_side_by_side_they_are_branches() -> None:
    net = graph("layers:\n  - concat:\n      - ReLU\n      - {repeat: 2, inline: [Tanh, Sigmoid]}\n")
    assert net.nodes[-1].inputs == ("0.0", "0.1", "0.2", "0.3", "0.4")
    assert {node.inputs for node in net.nodes[:-1]} == {("input",)}
    assert net.output_shape == (20, 32, 32)


def test_nothing_left_of_it() -> None:
    net = graph("layers:\n  - ReLU\n  - {repeat: 3, inline: [ReLU if i > 5]}\n  - Flatten\n")
    assert [(node.name, node.inputs) for node in net] == [("0", ("input",)), ("1", ("0",))]


@pytest.mark.parametrize(
    "text",
    [
        "layers:\n  a: {inline: [ReLU]}\n",
        "layers:\n  - {inline: {a: ReLU}}\n",
        "layers:\n  - {inline: []}\n",
        "inline: [ReLU]\n",
        "layers:\n  - {inline: [ReLU], layers: [ReLU]}\n",
    ],
)
def test_refused(text: str) -> None:
    assert set(codes(text)) == {"E107"}


def normalised(mean: str, std: str, params: str) -> Graph:
    text = f"cnnspec: 1\ninput: {{shape: [3, 8, 8], mean: {mean}, std: {std}}}\nparams: {params}\nlayers: [ReLU]\n"
    return cnnspec.loads(text).graph


def test_normalisation_by_parameter() -> None:
    net = normalised("m", "s", "{m: [0.1, 0.2, 0.3], s: 0.5}".replace("s: 0.5", "s: [0.5, 0.5, 0.5]"))
    assert (net.mean, net.std) == ((0.1, 0.2, 0.3), (0.5, 0.5, 0.5))
    assert normalised("m", "0.5", "{m: 0.25}").mean == (0.25,) * 3


@pytest.mark.parametrize(
    ("mean", "std", "params", "code"),
    [
        ("m", "s", "{m: [0, 0, 0], s: [1, 0, 1]}", "E107"),
        ("m", "s", "{m: [0, True, 0], s: [1, 1, 1]}", "E107"),
        ("m", "s", "{m: [0, 0, 0], s: [1, 1]}", "E107"),
        ("m", "s", "{m: [0, 0], s: [1, 1]}", "E206"),
        ("m", "s", "{m: ReLU, s: [1, 1, 1]}", "E107"),
        ("m", "1", "{n: 1}", "E107"),
    ],
)
def test_normalisation_refused(mean: str, std: str, params: str, code: str) -> None:
    with pytest.raises(SpecError) as caught:
        normalised(mean, std, params)
    assert [diagnostic.code for diagnostic in caught.value.diagnostics] == [code]
