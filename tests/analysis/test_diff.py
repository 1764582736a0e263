"""A difference names what changed and nothing else, wherever it stands."""

from __future__ import annotations

from random import Random

import pytest

import cnnspec
from cnnspec import api
from cnnspec.analysis.diff import Difference
from cnnspec.graph import PURPOSES, Purpose

BASE = ["Conv2d(8, 3, padding=1)", "ReLU", "Conv2d(16, 3, padding=1)", "ReLU", "MaxPool2d(2)", "Flatten", "Linear(10)"]


def spec(lines: list[str], shape: str = "[3, 8, 8]", head: str = "") -> api.Spec:
    mark = "" if ": " in lines[0] else "- "
    body = "".join(f"  {mark}{line}\n" for line in lines)
    return cnnspec.loads(f"cnnspec: 1\nname: net\ninput: {shape}\n{head}layers:\n{body}")


def kinds(difference: Difference) -> list[tuple[str, str | None, str | None]]:
    return [
        (change.kind, change.before.name if change.before else None, change.after.name if change.after else None)
        for change in difference.changes
    ]


@pytest.mark.parametrize("purpose", PURPOSES)
@pytest.mark.parametrize("name", ["lenet5", "resnet50", "googlenet"])
def test_a_network_does_not_differ_from_itself(name: str, purpose: Purpose) -> None:
    difference = api.diff(name, name, purpose=purpose)
    assert difference.equal
    assert difference.changes == ()
    assert difference.same == len(cnnspec.load(name).graph.network(purpose))
    assert all(total.ratio == 1 for total in (*difference.totals, *difference.other_totals))


@pytest.mark.parametrize("place", range(len(BASE)))
def test_a_layer_that_is_put_in_a_list_is_the_only_change(place: int) -> None:
    longer = [*BASE[:place], "Dropout(0.1)", *BASE[place:]]
    difference = api.diff(spec(BASE), spec(longer))
    assert kinds(difference) == [("added", None, str(place))]
    assert difference.same == len(BASE)
    assert difference.renamed == len(BASE) - place
    assert kinds(api.diff(spec(longer), spec(BASE))) == [("removed", str(place), None)]


def test_what_changes_and_what_only_follows() -> None:
    changed = [BASE[0], BASE[1], "Conv2d(32, 3, padding=1)", *BASE[3:]]
    difference = api.diff(spec(BASE), spec(changed))
    assert kinds(difference) == [
        ("changed", "2", "2"),
        ("resized", "3", "3"),
        ("resized", "4", "4"),
        ("resized", "5", "5"),
        ("resized", "6", "6"),
    ]
    assert difference.changes[0].call_before == "Conv2d(16, 3, padding=1)"
    assert difference.changes[0].call_after == "Conv2d(32, 3, padding=1)"
    totals = {total.name: total for total in difference.totals}
    assert totals["params"].before == 224 + 1168 + 2570
    assert totals["params"].after == 224 + 2336 + 5130
    assert totals["params"].ratio == pytest.approx(7690 / 3962)


def test_blocks_that_come_in_leave_their_neighbours_alone() -> None:
    difference = api.diff("resnet50", "resnet101")
    assert len(difference.changes) == len(difference.of("added")) == 170
    assert difference.same == len(cnnspec.load("resnet50").graph)
    difference = api.diff("resnet50", "resnext50_32x4d")
    assert difference.of("added") == difference.of("removed") == []
    assert len(difference.of("changed")) == 32


def test_reading_another_layer_is_a_change() -> None:
    lines = ["a: Conv2d(3, 3, padding=1)", "b: ReLU", "c: Conv2d(3, 1)"]
    difference = api.diff(spec([*lines, "d: Add(c, a)"]), spec([*lines, "d: Add(c, b)"]))
    assert kinds(difference) == [("changed", "d", "d")]
    assert difference.changes[0].reads
    difference = api.diff(spec([*lines, "d: Add(c, a)"]), spec([*lines, "d: Add(c, a, b)"]))
    assert kinds(difference) == [("changed", "d", "d")]


def test_other_outputs_and_other_inputs_are_differences() -> None:
    lines = ["a: Conv2d(3, 3, padding=1)", "b: ReLU", "c: Conv2d(3, 1)(a)"]
    assert not api.diff(spec(lines, head="outputs: [b]\n"), spec(lines, head="outputs: [c]\n")).equal
    assert api.diff(spec(lines, head="outputs: [b]\n"), spec(lines, head="outputs: [b]\n")).equal
    larger = api.diff(spec(lines), spec(lines, "[3, 9, 9]"))
    assert not larger.equal
    assert {change.kind for change in larger.changes} == {"resized"}


def test_names_that_have_all_changed_are_matched_by_what_they_call() -> None:
    named = [f"x{letter}: {line}" for letter, line in zip("abcdefg", BASE, strict=True)]
    difference = api.diff(spec(BASE), spec(named))
    assert difference.equal
    assert difference.renamed == len(BASE)


def test_a_number_in_a_list_is_no_name() -> None:
    before = ["Conv2d(8, 3, padding=1)", "ReLU", "MaxPool2d(2)", "Flatten", "Linear(10)"]
    after = ["Conv2d(8, 3, padding=1)", "SiLU", "Conv2d(8, 3)", "BatchNorm2d", "Tanh", "Flatten", "Linear(10)"]
    difference = api.diff(spec(before), spec(after))
    # As many layers on both sides took each other's place; else they came and went.
    assert ("removed", "2", None) in kinds(difference)
    assert [change.kind for change in difference.changes].count("added") == 4
    swapped = api.diff(spec(before), spec([before[0], "SiLU", "AvgPool2d(2)", *before[3:]]))
    assert kinds(swapped) == [("changed", "1", "1"), ("changed", "2", "2")]


def test_random_edits_are_found() -> None:
    rng = Random(6)
    for _ in range(60):
        before = [
            f"Conv2d({rng.choice((4, 8))}, {rng.choice((1, 3))}, padding=same)" for _ in range(rng.randint(3, 12))
        ]
        after = list(before)
        place = rng.randrange(len(after))
        if rng.random() < 0.5:
            after.insert(place, "Tanh")
            expected = {"added": 1, "removed": 0}
        else:
            del after[place]
            expected = {"added": 0, "removed": 1}
        difference = api.diff(spec(before), spec(after))
        assert {kind: len(difference.of(kind)) for kind in expected} == expected
        assert difference.of("changed") == []
        sides = [change.after if expected["added"] else change.before for change in difference.changes]
        assert len(after) == difference.same + len(difference.of("resized")) + expected["added"]
        assert any(side is not None for side in sides)


def test_thousands_of_layers_that_are_alike_are_compared_by_position() -> None:
    def deep(activation: str) -> api.Spec:
        block = f"blocks:\n  B:\n    layers:\n      - Conv2d(3, 1)\n      - {activation}\n"
        return spec(["B * 1000"], head=block)

    difference = api.diff(deep("ReLU"), deep("Tanh"))
    assert difference.same == len(difference.of("changed")) == len(difference.changes) == 1000


def test_as_plain_data() -> None:
    plain = api.diff(spec(BASE), spec(BASE[:-1])).to_dict()
    assert plain["equal"] is False
    assert plain["changes"][0]["kind"] == "removed"
    assert plain["changes"][0]["after"] is None
    assert plain["changes"][0]["before"]["call"] == "Linear(10)"
    assert plain["totals"]["layers"] == {"before": 7, "after": 6, "ratio": 6 / 7}
