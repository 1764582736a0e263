"""A text is taken only where it is the graph."""

from typing import Any

import pytest
from graphs import Flat, bundled, check
from hypothesis import given, settings
from hypothesis import strategies as st

from cnnspec import zoo
from cnnspec.graph import Graph
from cnnspec.language.format import format_text
from cnnspec.outline import refold
from cnnspec.outline.refolding import STRATEGIES

QUICK = ("lenet5", "resnet18", "densenet121", "googlenet", "unet", "shufflenet_v2_x0_5", "convnext_tiny", "mlp")


@pytest.mark.parametrize("name", QUICK)
def test_a_bundled_network_is_said(name: str) -> None:
    graph = bundled(name)
    refolded = refold(graph)
    assert set(check(graph, refolded).state_shapes()) == set(graph.state_shapes())
    assert not refolded.notes
    assert format_text(refolded.text) == refolded.text


@pytest.mark.long
@pytest.mark.parametrize("name", sorted(zoo.names()))
def test_every_bundled_network_is_said(name: str) -> None:
    graph = bundled(name)
    check(graph, refold(graph))


SCOPES = st.lists(st.sampled_from(["a", "b", "0", "1", "stage1", "stage2"]), max_size=3).map(".".join)
CLASSES = st.sampled_from(["Sequential", "Block", "Stage", "ModuleList", "Conv2d", "lower", "input", ""])


@st.composite
def scoped(draw: Any) -> tuple[Graph, dict[str, str]]:
    """A graph of any shape whose names put its nodes into any scopes, and classes that may be anything."""
    flat = Flat(4, 6, 6)
    for index in range(draw(st.integers(1, 14))):
        scope = draw(SCOPES)
        name = f"{scope}.n{index}".lstrip(".") if draw(st.booleans()) else f"{scope}.{index}".lstrip(".")
        known = [*flat.shapes]
        read = draw(st.sampled_from([flat.last, flat.last, *known]))
        match draw(st.integers(0, 5)):
            case 0:
                flat.conv(name, draw(st.sampled_from([4, 8])), draw(st.sampled_from([1, 3])), read)
            case 1:
                flat.add(name, "BatchNorm2d", read)
            case 2:
                alike = [each for each in known if flat.shapes[each] == flat.shapes[read]]
                flat.add(name, draw(st.sampled_from(["Add", "Mul", "Sub", "Div"])), read, draw(st.sampled_from(alike)))
            case 3:
                others = draw(st.lists(st.sampled_from(known), max_size=2))
                flat.add(name, "Concat", read, *others)
            case _:
                flat.add(name, draw(st.sampled_from(["ReLU", "Tanh", "Sigmoid"])), read)
    paths = {name.rpartition(".")[0] for name in flat.shapes if "." in name}
    classes = {path: draw(CLASSES) for path in sorted(paths)}
    outputs = (flat.last, *([draw(st.sampled_from([*flat.shapes][1:]))] if draw(st.booleans()) else []))
    return flat.graph(*dict.fromkeys(outputs)), classes


@given(scoped())
@settings(max_examples=60, deadline=None)
def test_any_scopes_are_said_or_taken_apart(drawn: tuple[Graph, dict[str, str]]) -> None:
    graph, classes = drawn
    check(graph, refold(graph, classes))


@pytest.mark.long
@given(scoped())
@settings(max_examples=1500, deadline=None)
def test_many_scopes_are_said_or_taken_apart(drawn: tuple[Graph, dict[str, str]]) -> None:
    graph, classes = drawn
    check(graph, refold(graph, classes))


HOSTILE = (
    "a b",
    "ü",
    "input",
    "forward",
    "if",
    "None",
    "x-y",
    "",
    "a" * 300,
    "0",
    "{i}",
    "*",
    "- a",
    "#",
    "yes",
    "training",
)


@pytest.mark.parametrize("word", HOSTILE)
def test_names_are_made_such_as_the_language_takes(word: str) -> None:
    flat = Flat(4, 6, 6)
    flat.conv(f"{word}.{word}", 4)
    flat.conv("_" if word in ("", "input") else word, 4)  # a node called `input` would be the input
    flat.add(f"{word}_act", "ReLU")
    flat.add("z", "Add", f"{word}.{word}", f"{word}_act")
    graph = flat.graph()
    refolded = refold(graph, {word: word})
    check(graph, refolded)


def test_a_layer_that_bears_the_name_of_a_scope_is_renamed_and_said() -> None:
    flat = Flat(4, 6, 6)
    flat.conv("a", 4)
    flat.conv("a.b", 4)
    flat.conv("a.c", 4)
    refolded = refold(flat.graph())
    check(flat.graph(), refolded)
    assert refolded.names["a"] == "a_"
    assert "`a` is `a_`" in refolded.notes[0]


def test_a_fold_that_is_wrong_is_never_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    graph = bundled("resnet18")
    right = refold(graph).text
    monkeypatch.setattr("cnnspec.outline.conditions._by_shapes", lambda *_: iter([("True", [False] * 8)]))
    check(graph, refold(graph))
    monkeypatch.setattr("cnnspec.outline.refolding.STRATEGIES", ())
    assert refold(graph).text.count("\n") > right.count("\n")
    assert STRATEGIES
