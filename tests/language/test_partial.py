"""What is known of a spec in spite of its errors: every node that does not depend on one, and no other."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from strategies import specs

from cnnspec import zoo
from cnnspec.api import check
from cnnspec.errors import SpecError
from cnnspec.graph import Graph
from cnnspec.language import Outcome, Source, read_source, read_spec
from cnnspec.ops import Shape

calm = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])

# A layer as it is broken: what stands in its place. All but a line that cannot be read at all keep its name.
BROKEN: dict[str, Any] = {
    "an unknown operator": "Convv9d(8, 3)",
    "an unknown argument": {"type": "ReLU", "inplaced": True},
    "an argument out of range": {"type": "Conv2d", "out_channels": 0, "kernel_size": 1},
    "an undefined name": {"type": "Linear", "out_features": "width * nowhere"},
    "a window that does not fit": None,  # of the rank of the spec
    "an unknown read": {"type": "ReLU", "in": "nowhere"},
    "syntax inside a call": "Conv2d(8, 3",
    "a number in the place of a layer": 7,
    "an unknown condition": {"type": "ReLU", "when": "nowhere > 1"},
    "an unknown number of copies": {"layers": ["ReLU", "Tanh"], "repeat": "nowhere"},
    "a body with a key it does not take": {"layers": ["ReLU"], "widht": 3},
    "an empty body": {"layers": []},
}


def dump(spec: dict[str, Any], *, as_json: bool) -> Source:
    text = json.dumps(spec) if as_json else yaml.safe_dump(spec, sort_keys=False)
    return read_source("net.json" if as_json else "net.yaml", text.encode())


def dependents(graph: Graph, layer: str) -> set[str]:
    """The nodes of a layer and all that read from them, from the whole network."""
    found: set[str] = set()
    for node in graph:
        if node.name == layer or node.name.startswith(f"{layer}.") or found.intersection(node.inputs):
            found.add(node.name)
    return found


def shapes(outcome: Outcome) -> dict[str, Shape]:
    return {node.name: node.shape for node in outcome.nodes}


def assert_raises_its_diagnostics(source: Source, outcome: Outcome) -> None:
    assert outcome.graph is None
    with pytest.raises(SpecError) as caught:
        source.elaborate()
    assert tuple(caught.value.diagnostics) == outcome.diagnostics


@calm
@given(specs(), st.data())
def test_only_what_depends_on_the_broken_layer_is_missing(spec: dict[str, Any], data: st.DataObject) -> None:
    whole = dump(spec, as_json=True).outcome()
    assert whole.graph is not None
    assert whole.nodes == whole.graph.nodes
    assert not whole.diagnostics
    given_by = {node.name.split(".")[0] for node in whole.graph}
    layer = data.draw(st.sampled_from([name for name in spec["layers"] if name in given_by]))
    how = data.draw(st.sampled_from([*BROKEN]))
    rank = len(spec["input"]) - 1
    misfit = {"type": f"Conv{rank}d", "out_channels": 1, "kernel_size": 1000}
    layers = {**spec["layers"], layer: BROKEN[how] if BROKEN[how] is not None else misfit}
    source = dump({**spec, "layers": layers}, as_json=data.draw(st.booleans()))
    outcome = source.outcome()
    lost = dependents(whole.graph, layer)
    assert shapes(outcome) == {node.name: node.shape for node in whole.graph if node.name not in lost}, how
    assert [node for node in whole.nodes if node.name not in lost] == [*outcome.nodes]
    assert_raises_its_diagnostics(source, outcome)


def test_layers_beside_the_mistake_are_known_in_bundled_networks() -> None:
    text = zoo.bundled()["unet"].read_text("utf-8")
    whole = read_spec("unet.yaml", text.encode()).elaborate()
    source = read_source("unet.yaml", text.replace("down2: ", "down2: Uncertain(1)(inc) #").encode())
    outcome = source.outcome()
    lost = dependents(whole, "down2")
    assert 0 < len(outcome.nodes) < len(whole)
    assert {node.name for node in outcome.nodes} == {node.name for node in whole} - lost
    assert_raises_its_diagnostics(source, outcome)


SPEC = "cnnspec: 1\ninput: [3, 16, 16]\n"


@pytest.mark.parametrize(
    ("body", "known"),
    [
        # Branches beside a broken one have their names and shapes; the join has none.
        ("concat:\n  - Conv2d(4, 3, padding=1)\n  - Reul(3)\n  - Conv2d(8, 1)\n", {"0": (4, 16, 16), "2": (8, 16, 16)}),
        # How many copies there are is unknown, and with it the numbers of those that follow in the list.
        ("concat:\n  - ReLU\n  - ReLU * nowhere\n  - ReLU\n", {"0": (3, 16, 16)}),
        ("concat:\n  - ReLU\n  - ReLU if nowhere\n  - Tanh\n", {"0": (3, 16, 16)}),
        ("concat:\n  - ReLU\n  - {inline: [ReLU if nowhere, Tanh]}\n  - Tanh\n", {"0": (3, 16, 16)}),
        ("concat:\n  a: ReLU * nowhere\n  b: Tanh\n", {"b": (3, 16, 16)}),
        ("layers:\n  a{nowhere}: ReLU * 2\n  b: Tanh()(input)\n  c: ReLU\n", {"b": (3, 16, 16), "c": (3, 16, 16)}),
        ("layers:\n  a: Add(input)(input)\n  b: Tanh\n  c: ReLU()(input)\n", {"c": (3, 16, 16)}),
        # A wrong key of the header or a wrong name leaves every shape known.
        ("layers: [ReLU]\noutputs: [nowhere]\n", {"0": (3, 16, 16)}),
        ("layers: [ReLU]\nauthor: me\n", {"0": (3, 16, 16)}),
        ("layers: [ReLU]\nblocks: {B: {layers: [Nowhere]}}\n", {"0": (3, 16, 16)}),
        ("layers: [ReLU, Conv2d(width, 1)]\nparams: {width: nowhere}\n", {"0": (3, 16, 16)}),
        # The document cannot be worked out at all.
        ("layers: 3\n", {}),
        ("params: {n: int}\n", {}),
    ],
)
def test_what_is_known(body: str, known: dict[str, Shape]) -> None:
    source = read_source("net.yaml", (SPEC + body).encode())
    outcome = source.outcome()
    assert shapes(outcome) == known
    assert_raises_its_diagnostics(source, outcome)


BLOCK = "blocks:\n  B:\n    params: {out: int}\n    layers:\n      conv: Conv2d(8, 1)\n"


@pytest.mark.parametrize("call", ["B(8, wrong=1)", "B(8, 9)", "B"])
def test_every_copy_of_a_faulty_call_is_unknown(call: str) -> None:
    source = read_source("net.yaml", (SPEC + BLOCK + f"concat:\n  - ReLU\n  - {call} * 2\n").encode())
    outcome = source.outcome()
    assert shapes(outcome) == {"0": (3, 16, 16)}
    assert len(outcome.diagnostics) == 1


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("net.yaml", b""),
        ("net.yaml", b"\xff\xfe"),
        ("net.yaml", b"layers: [ReLU"),
        ("net.yaml", b"- ReLU\n"),
        ("net.yaml", b"name: x\n"),
        ("net.json", b'{"cnnspec": 1,'),
        ("net.json", b'{"cnnspec": 2}'),
    ],
)
def test_a_text_that_is_no_document_has_diagnostics_alone(name: str, data: bytes) -> None:
    with pytest.raises(SpecError) as caught:
        read_spec(name, data)
    source = read_source(name, data)
    for variant in (None, "big"):
        outcome = source.outcome(variant=variant)
        assert (outcome.graph, outcome.nodes) == (None, ())
        assert list(outcome.diagnostics) == caught.value.diagnostics
    assert check(source).diagnostics == outcome.diagnostics
    assert_raises_its_diagnostics(source, outcome)


def test_a_text_and_a_source_are_checked_as_a_file_is(tmp_path: Path) -> None:
    text = SPEC + "layers: [Conv2d(8, 3), BatchNorm2d, Conv2d(8, 99)]\nvariants: {big: {}}\n"
    path = tmp_path / "net.yaml"
    path.write_text(text, "utf-8")
    wanted = check(path)
    assert wanted.errors
    assert check(path, text=text) == wanted
    assert check(read_source(path)) == wanted
    path.write_text("nothing of this is read", "utf-8")
    assert check(path, text=text) == wanted


def test_an_absent_file_is_named_by_its_text() -> None:
    checked = check("not/on/disk.json", text='{"cnnspec": 1}')
    assert checked.path == "not/on/disk.json"
    assert checked.errors


INDEPENDENT: dict[str, list[str]] = {  # pairs of faults, of which neither follows from the other, and their codes
    "Conv2d(nowhere, 0)": ["E110", "E106"],
    "Conv2d(wrong=1, out_channels=0, kernel_size=nowhere)": ["E104", "E106", "E110"],
    "Conv2d(kernel_size=nowhere)": ["E110", "E105"],
    "Convv2d(8 * nowhere, 3)": ["E103", "E110"],
    "B(wrong=1)": ["E104", "E106"],
    "B": ["E105", "E106"],
    "B(8)()": ["E109", "E106"],
}


@pytest.mark.parametrize("call", INDEPENDENT)
def test_a_fault_hides_no_other(call: str) -> None:
    block = (
        "blocks:\n  B:\n    params: {out: int}\n    layers:\n      conv: Conv2d(out, 1)\n      pool: MaxPool2d(-2)\n"
    )
    outcome = read_source("net.yaml", (SPEC + block + f"layers:\n  - {call}\n").encode()).outcome()
    assert sorted(error.code for error in outcome.diagnostics) == sorted(INDEPENDENT[call])


def test_names_are_checked_in_a_network_of_too_many_nodes() -> None:
    body = "blocks: {Idle: {layers: [Linear(nowhere)]}}\nlayers: [{layers: [ReLU], repeat: 2000}]\n"
    outcome = read_source("net.yaml", (SPEC + body).encode()).outcome(max_nodes=1000)
    assert {error.code for error in outcome.diagnostics} == {"E110", "E113"}


def test_reads_are_checked_of_a_layer_whose_type_cannot_be_read() -> None:
    body = "layers:\n  - {type: Conv2d(8), in: nowhere}\n"
    outcome = read_source("net.yaml", (SPEC + body).encode()).outcome()
    assert {error.code for error in outcome.diagnostics} == {"E107", "E109"}


SHAPES = ("E201", "E202", "E203", "E204", "E205", "E207")


@calm
@given(specs(), st.data())
def test_two_faults_say_what_each_says_alone(spec: dict[str, Any], data: st.DataObject) -> None:
    """Only what a layer makes of a shape depends on the layers before it."""
    layers = data.draw(st.lists(st.sampled_from([*spec["layers"]]), min_size=1, max_size=2, unique=True))
    ways = [data.draw(st.sampled_from([how for how in BROKEN if BROKEN[how] is not None])) for _ in layers]
    faults = {layer: BROKEN[how] for layer, how in zip(layers, ways, strict=True)}

    def said(broken: dict[str, Any]) -> set[tuple[str, str]]:
        outcome = dump({**spec, "layers": {**spec["layers"], **broken}}, as_json=True).outcome()
        return {(error.code, error.message) for error in outcome.diagnostics if error.code not in SHAPES}

    together = said(faults)
    for layer, fault in faults.items():
        assert said({layer: fault}) <= together, ways
